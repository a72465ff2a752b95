"""What holds of the screener for any text."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multimood.safety import LEVELS, Screener, rank

pytestmark = pytest.mark.property

SCREENER = Screener.load()
CRISES = st.sampled_from(
    (
        "I want to die",
        "I am going to kill myself tonight",
        "I cut myself again to cope",
        "Ich will nicht mehr leben",
        "quiero morirme",
        "je veux mourir",
        "my husband beats me every night",
        "I wrote a suicide note",
    )
)
WORDS = st.sampled_from(
    (
        "i",
        "want",
        "to",
        "die",
        "kill",
        "myself",
        "not",
        "never",
        "dont",
        "my",
        "life",
        "end",
        "it",
        "all",
        "tonight",
        "pills",
        "of",
        "laughing",
        "he",
        "said",
        '"',
        ".",
        ",",
        "?",
        "and",
        "if",
        "mich",
        "umbringen",
        "me",
        "matar",
        "song",
        "used",
        "k1ll",
    )
)
TALK = st.one_of(st.text(max_size=200), st.lists(WORDS, max_size=30).map(" ".join))
INVISIBLE = st.sampled_from(("\u200b", "\u200d", "\u00ad", "\ufeff", "\u2060"))


@given(st.text(max_size=400), st.text(max_size=12))
def test_never_raises_and_always_says_something(text: str, locale: str) -> None:
    verdict = SCREENER.screen(text, locale)
    assert verdict.level in LEVELS
    assert 0.0 <= verdict.score <= 1.0
    assert verdict == SCREENER.screen(text, locale)


@given(
    TALK, st.text(alphabet=st.characters(codec="utf-8", categories=("Cs", "Cc", "Cf", "Mn", "Co", "So")), max_size=60)
)
def test_survives_anything_unicode(text: str, odd: str) -> None:
    assert SCREENER.screen(odd + text + odd).level in LEVELS


@given(TALK, CRISES)
@settings(max_examples=200)
def test_a_crisis_sentence_after_any_talk_is_a_crisis(talk: str, crisis: str) -> None:
    alone, both = SCREENER.screen(crisis), SCREENER.screen(f"{talk}\n{crisis}")
    assert rank(both.level) >= rank(alone.level)


@given(TALK, TALK)
@settings(max_examples=200)
def test_saying_more_never_lowers_the_verdict(first: str, more: str) -> None:
    before, after = SCREENER.screen(first), SCREENER.screen(f"{first}\n{more}")
    assert rank(after.level) >= rank(before.level)


@given(CRISES, st.data())
def test_invisible_characters_change_nothing(crisis: str, data: st.DataObject) -> None:
    places = data.draw(st.lists(st.integers(0, len(crisis)), max_size=8))
    hidden = crisis
    for place in sorted(places, reverse=True):
        hidden = hidden[:place] + data.draw(INVISIBLE) + hidden[place:]
    assert SCREENER.screen(hidden) == SCREENER.screen(crisis)


@given(st.lists(WORDS, max_size=30).map(" ".join))
def test_case_changes_nothing(text: str) -> None:
    assert SCREENER.screen(text.upper()) == SCREENER.screen(text)
    assert SCREENER.screen(text.title()) == SCREENER.screen(text)


@given(st.text(min_size=1, max_size=80))
def test_the_verdict_holds_no_word_of_the_text(text: str) -> None:
    marked = f"xyzzyplugh {text}"
    assert "xyzzy" not in repr(SCREENER.screen(marked))
