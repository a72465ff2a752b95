"""A growing reply: what may leave when, and what the whole becomes."""

from itertools import pairwise

import pytest

from multimood.generation.draft import CUT, Draft
from multimood.generation.sentences import sentence_ends

pytestmark = pytest.mark.unit


def draft(*pieces: str, sentences: int = 0, characters: int = 1000) -> Draft:
    made = Draft(most_sentences=sentences, most_characters=characters)
    for piece in pieces:
        made.add(piece)
    return made


def leaving(text: str, sentences: int = 0) -> list[str]:
    """What leaves after each letter."""
    made = draft(sentences=sentences)
    pieces = []
    for letter in text:
        made.add(letter)
        pieces += [piece] if (piece := made.take()) else []
    return pieces


def test_the_last_word_stays_until_the_next_one_is_whole() -> None:
    made = draft("I")
    assert (made.seen(), made.take()) == ("", "")
    made.add(" hear")
    assert (made.seen(), made.take()) == ("I", "")
    made.add(" you")
    assert (made.seen(), made.take()) == ("I hear", "I")
    made.add(". ")
    assert (made.seen(), made.take()) == ("I hear you.", " hear")


def test_words_leave_whole() -> None:
    assert leaving("I hear you, dear friend. Yes") == ["I", " hear", " you,", " dear"]


def test_a_number_leaves_when_all_of_it_was_seen() -> None:
    assert leaving("Call 0800 123 45 67 now or later then") == ["Call", " 0800 123 45 67", " now", " or"]
    assert leaving("Write to a@b.org today or not") == ["Write", " to", " a@b.org", " today"]
    made = draft("0800 123 45 ")
    assert made.take() == ""


def test_nothing_without_a_letter_is_shown_to_the_guard() -> None:
    made = draft('... "1. ')
    assert made.seen() == ""
    made.add("Rest ")
    assert made.seen() == '... "1. Rest'


def test_leading_space_and_control_characters_are_no_part_of_it() -> None:
    made = draft("\n ", " \x00I\ud800", "\thear\x1b you.\n\n")
    assert made.finish(cut=False) == "I hear you."


def test_enough_sentences_are_enough() -> None:
    made = draft("One. Two! ", sentences=2)
    assert not made.full, "a closing quotation mark might follow"
    made.add("Th")
    assert made.full
    made.add("ree.")
    assert made.finish(cut=False) == "One. Two!"


def test_a_flood_is_cut() -> None:
    made = draft("word " * 100, characters=42)
    assert made.full
    assert made.finish(cut=False) == "word " * 7 + "word" + CUT
    assert draft("One. Two and three and", characters=12).finish(cut=False) == "One."


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("I hear you. That sounds ha", "I hear you."),
        ("I hear you.", "I hear you."),
        ("I hear you. What now? ", "I hear you. What now?"),
        ("I hear yo", "I hear…"),
        ("Take 3.5 mg, e.g. tod", "Take 3.5 mg, e.g.…"),
        ("I", ""),
        ("", ""),
    ],
)
def test_a_cut_reply_ends_with_a_finished_sentence(text: str, whole: str) -> None:
    assert draft(text).finish(cut=True) == whole


def test_what_has_left_stays_in_a_cut_reply() -> None:
    made = draft("I hear you. That sounds very ha")
    assert made.take() == "I hear you. That sounds"
    assert made.finish(cut=True) == f"I hear you. That sounds very{CUT}"


def test_when_tokens_run_out_a_new_sentence_waits_for_its_end() -> None:
    made = draft("I hear you. ")
    assert made.take() == "I hear"
    made.scarce = True
    made.add("That sounds very ")
    assert made.take() == " you."
    assert made.finish(cut=True) == "I hear you."
    made.add("hard. And then")
    assert made.take() == " That sounds very hard."


def test_a_sentence_that_has_begun_to_leave_goes_on() -> None:
    made = draft("I hear you and ")
    assert made.take() == "I hear you"
    made.scarce = True
    made.add("I care ")
    assert made.take() == " and I"


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        ("One. Two. Three.", ["One.", " Two.", " Three."]),
        ("Really?! Yes...", ["Really?!", " Yes..."]),
        ('He said "no." Then left.', ['He said "no."', " Then left."]),
        ("(Breathe.) Well.", ["(Breathe.)", " Well."]),
        ("Dr. Who, e.g. Tom. Yes.", ["Dr. Who, e.g. Tom.", " Yes."]),
        ("It was J. R. Smith.", ["It was J. R. Smith."]),
        ("So do I. You too.", ["So do I.", " You too."]),
        ("1. Rest. 2. Eat.", ["1. Rest.", " 2. Eat."]),
        ("Well... maybe not.", ["Well... maybe not."]),
        ("It is 3.5 now.", ["It is 3.5 now."]),
        ("大丈夫。話して!", ["大丈夫。", "話して!"]),
        ("no end", []),
    ],
)
def test_sentences(text: str, ends: list[str]) -> None:
    offsets = [0, *sentence_ends(text, is_all=True)]
    assert [text[a:b] for a, b in pairwise(offsets)] == ends
    assert list(sentence_ends(text, is_all=False)) == [end for end in offsets[1:] if end < len(text)]
