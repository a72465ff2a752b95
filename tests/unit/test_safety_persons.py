"""Persons of many conversations: each utterance once, bounded, and the same advice for the same words."""

import time

import pytest

from multimood.contracts.v1 import events_pb2 as pb
from multimood.safety import Counts, PersonJudge, Persons, Screener
from multimood.safety.persons import ADVICE, risk_of_words

pytestmark = pytest.mark.unit

SCREENER, JUDGE = Screener.load(), PersonJudge.load()
DARK = "I tried to kill myself two years ago and I wish it had worked. I do not see a reason to go on."


def counts(text: str) -> Counts:
    return Counts.of(text, SCREENER.screen(text), SCREENER.rules)


def context(utterance_id: str, conversation: str = "c", tenant: str = "t") -> pb.Context:
    return pb.Context(tenant=tenant, conversation_id=conversation, utterance_id=utterance_id)


def test_an_utterance_counts_once_however_often_and_as_whatever_it_comes() -> None:
    once, often = Persons(JUDGE, 0.5), Persons(JUDGE, 0.5)
    for number in range(6):
        text, name = (DARK, f"u{number}") if number % 2 else ("I made soup.", f"u{number}")
        heard = once.at_risk(context(name), counts(text))
        assert often.at_risk(context(name), counts(text)) == heard
        for again in (text, "a transcript of it", DARK):
            assert often.at_risk(context(name), counts(again)) == heard
    assert often.at_risk(context("last"), counts("Well.")) == once.at_risk(context("last"), counts("Well."))


def test_what_was_thought_of_an_utterance_stays() -> None:
    persons = Persons(JUDGE, 0.5)
    assert not persons.at_risk(context("u0"), counts("I made soup."))
    assert persons.at_risk(context("u1"), counts(DARK))
    assert persons.at_risk(context("u2"), counts("I made soup."))
    assert not persons.at_risk(context("u0"), counts("I made soup."))


def test_conversations_and_tenants_are_apart() -> None:
    persons = Persons(JUDGE, 0.5)
    assert persons.at_risk(context("u0"), counts(DARK))
    assert not persons.at_risk(context("u1", conversation="d"), counts("I made soup."))
    assert not persons.at_risk(context("u1", tenant="other"), counts("I made soup."))


def test_the_memory_is_bounded_and_forgets_who_was_silent_longest() -> None:
    persons = Persons(JUDGE, 0.5, most=3)
    for number in range(5):
        persons.at_risk(context("u", conversation=str(number)), counts(DARK))
    assert len(persons) == 3
    assert persons.at_risk(context("v", conversation="4"), counts("I made soup."))
    assert not persons.at_risk(context("v", conversation="0"), counts("I made soup."))
    for number in range(200):
        persons.at_risk(context(f"w{number}", conversation="4"), counts("I made soup."))
    persons.forget(context("", conversation="4"))
    persons.forget(context("", conversation="never there"))
    assert len(persons) == 2
    persons.clear()
    assert len(persons) == 0


def test_it_adds_little_to_a_message() -> None:
    persons, text = Persons(JUDGE, 0.5), DARK * 5
    verdict = SCREENER.screen(text)
    taken = []
    for number in range(200):
        begun = time.perf_counter()
        persons.at_risk(context(f"u{number}"), Counts.of(text, verdict, SCREENER.rules))
        taken.append(time.perf_counter() - begun)
    assert sorted(taken)[len(taken) // 2] < 0.002


@pytest.mark.parametrize("level", [pb.RISK_LEVEL_NONE, pb.RISK_LEVEL_LOW, pb.RISK_LEVEL_IMMINENT])
def test_the_risk_of_words_is_without_the_advice(level: pb.RiskLevel) -> None:
    assert risk_of_words(pb.Screening(level=level, rules=["en.a.b"])) == level
    assert risk_of_words(pb.Screening(level=pb.RISK_LEVEL_LOW, rules=[ADVICE])) == pb.RISK_LEVEL_NONE


def test_who_counts_as_at_risk_is_the_policys_to_say() -> None:
    assert Persons(JUDGE, 0.01).at_risk(context("u"), counts(DARK))
    assert not Persons(JUDGE, 1.0).at_risk(context("u"), counts(DARK))
    assert not Persons(JUDGE, 0.01).at_risk(context("u"), counts("I made soup.")), "without any sign nobody is"
