"""Long texts, hostile texts, and what the classifier may and may not do."""

# ruff: noqa: RUF001 - look-alike letters are what is tested

import time

import numpy as np
import pytest

from multimood.safety import Screener
from multimood.safety.classifier import Classifier, Thresholds, sentences
from multimood.safety.normalise import plain, readings
from multimood.safety.rules import RuleSet
from multimood.safety.screener import MOST_CHARACTERS, TRUNCATED, WINDOW

pytestmark = pytest.mark.unit

FILLER = "We talked about the garden and the weather. "


@pytest.fixture(scope="module")
def screener() -> Screener:
    return Screener.load()


@pytest.mark.parametrize("before", [0, WINDOW - 20, WINDOW - 5, 3 * WINDOW, 100_000])
def test_a_crisis_is_found_wherever_it_stands(screener: Screener, before: int) -> None:
    filler = FILLER * (before // len(FILLER) + 1)
    text = f"{filler[:before]} I want to kill myself. {FILLER * 200}"
    assert screener.screen(text).crisis


def test_words_across_a_windows_edge_are_found(screener: Screener) -> None:
    for shift in range(0, 60, 3):
        filler = ("word " * WINDOW)[: WINDOW - 30 + shift]
        assert screener.screen(f"{filler} i want to kill myself").crisis


def test_a_text_without_spaces_is_read_too(screener: Screener) -> None:
    assert screener.screen("x" * 3 * WINDOW + " I want to die").crisis


def test_what_is_left_out_of_a_huge_text_is_said(screener: Screener) -> None:
    verdict = screener.screen(FILLER * (2 * MOST_CHARACTERS // len(FILLER)))
    assert verdict.level == "low"
    assert TRUNCATED in verdict.rules
    assert screener.screen("a " * MOST_CHARACTERS + ". I want to die").crisis


@pytest.mark.parametrize(
    "unit",
    [
        "a",
        "i want to ",
        "k1ll ",
        "not kill ",
        "\u200b",
        "e\u0301",
        "\u0301",
        '"',
        "k i l l ",
        ".",
        "k*",
        "a!",
        "\ufdfa",
        "\ud800",
        "\n",
        "\u0430a",
        "aaaab",
        'he said " i want to ',
        "@",
        "1a",
        "i want to just ",
    ],
)
def test_time_is_linear_in_hostile_text(screener: Screener, unit: str) -> None:
    def cost(length: int) -> float:
        text = (unit * length)[:length]
        started = time.process_time()
        screener.screen(text)
        return time.process_time() - started

    small = min(cost(30_000) for _ in range(2))
    assert cost(120_000) < 12 * small + 0.1
    assert small < 1.0


def test_an_utterance_takes_well_under_five_milliseconds(screener: Screener) -> None:
    text = "I had a long talk with my sister about what happened at work, and I still feel bad about it. " * 3
    costs = []
    for _ in range(200):
        started = time.process_time()
        screener.screen(text)
        costs.append(time.process_time() - started)
    assert sorted(costs)[197] < 0.005


def test_the_classifier_can_raise_to_elevated_but_not_beyond() -> None:
    sure = Classifier(np.full(1 << 10, 5.0, np.float32), 0.0, Thresholds(0.1, 0.2), "always")
    verdict = Screener(RuleSet.load(), sure).screen("we went to the market today")
    assert verdict.level == "elevated"
    assert verdict.rules == ("classifier",)
    assert verdict.score > 0.99
    assert verdict.version.endswith("+always")


def test_the_classifier_does_not_see_what_was_explained_away(screener: Screener) -> None:
    assert screener.screen("I am not going to kill myself").score < screener.screen("I am going to kill myself").score


def test_very_short_texts_are_left_to_the_rules(screener: Screener) -> None:
    assert screener.screen("pills").score == 0.0


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("ＫＩＬＬ", "kill"),
        ("kìll", "kill"),
        ("ki\u200bll", "kill"),
        ("don\u2019t", "dont"),
        ("s.u.i.c.i.d.e", "suicide"),
        ("STRASSE straße", "strasse strasse"),
        ("d\u0456\u0435", "die"),
        ("\u043c\u0438\u0440", "\u043c\u0438\u0440"),
    ],
)
def test_plain(text: str, wanted: str) -> None:
    assert plain(text) == wanted


def test_readings_of_a_disguised_word() -> None:
    assert ["kill"] in readings("k1ll")
    assert ["kill"] in readings("ki11")
    assert ["kill"] in readings("k*ll", ("kill",))
    assert readings("plain words, here.") == [["plain", "words", ",", "here", "."]]


def test_sentences_cut_long_ones_in_overlapping_pieces() -> None:
    pieces = sentences(["w"] * 100)
    assert [len(piece) for piece in pieces] == [40, 40, 40, 40]
    assert sentences(["a", ".", "b", ",", "c"]) == [["a"], ["b", "c"]]
