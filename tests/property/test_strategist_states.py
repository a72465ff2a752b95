"""The strategist under any order of events, any duplication and any crash, and its policy for any model."""

import asyncio
import math
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategist_world import Fusion, Life, Log, features, reply

from multimood import topics
from multimood.contracts.v1 import events_pb2 as pb
from services.strategist.exploration import Exploration
from services.strategist.policy import STRATEGIES, choose, eligible
from services.strategist.settings import StrategistSettings

pytestmark = pytest.mark.property

MOST_LIVES = 200


@st.composite
def traffic(draw: st.DrawFn) -> list[tuple[str, str, int]]:
    """Utterances of two conversations in order, replies after or before them, and repetitions of what came."""
    events: list[tuple[str, str, int]] = []
    said = {"a": 0, "b": 0}
    for _ in range(draw(st.integers(1, 10))):
        conversation = draw(st.sampled_from("ab"))
        kind = draw(st.sampled_from(["say", "say", "answer", "early", "again"]))
        if kind == "say":
            events.append(("say", conversation, said[conversation]))
            said[conversation] += 1
        elif kind == "answer" and said[conversation]:
            events.append(("answer", conversation, draw(st.integers(0, said[conversation] - 1))))
        elif kind == "early":
            events.append(("answer", conversation, said[conversation]))
        elif kind == "again" and events:
            events.append(draw(st.sampled_from(events)))
    return events


def message(event: tuple[str, str, int]) -> pb.Features | pb.Reply:
    kind, conversation, number = event
    level = pb.RISK_LEVEL_IMMINENT if number % 5 == 3 else pb.RISK_LEVEL_NONE
    if kind == "say":
        return features(f"{conversation}{number}", f"words {number}", conversation=conversation, level=level)
    return reply(f"{conversation}{number}", f"answer {number}", conversation)


async def run(events: Sequence[tuple[str, str, int]], crashes: Sequence[int], *, compacting: bool, turns: int) -> Log:
    """Give the events to one life after another; each dies before its output number so-and-so, the last never."""
    log, number, lives = Log(), 0, 0
    limits = StrategistSettings(turns=turns, retry_budget_s=0)
    while number < len(events):
        assert lives < MOST_LIVES
        life = Life(log, Fusion(), limits, crashes[lives] if lives < len(crashes) else -1)
        lives += 1
        while number < len(events) and await life.take(message(events[number])):
            number += 1
        if compacting:
            log.compact()
    return log


def bare(found: Sequence[pb.Decision]) -> list[bytes]:
    for one in found:
        del one.hops[:]
    return [one.SerializeToString(deterministic=True) for one in found]


@settings(max_examples=120, deadline=None)
@given(traffic(), st.lists(st.integers(0, 4), max_size=6), st.booleans(), st.sampled_from([2, 3, 12]))
def test_crashes_and_duplicates_leave_no_trace(
    events: list[tuple[str, str, int]], crashes: list[int], compacting: bool, turns: int
) -> None:
    calm = asyncio.run(run(events, (), compacting=False, turns=turns))
    rough = asyncio.run(run(events, crashes, compacting=compacting, turns=turns))
    assert bare(rough.of(topics.DECISION)) == bare(calm.of(topics.DECISION))
    said = {(conversation, number) for kind, conversation, number in events if kind == "say"}
    decisions = rough.of(topics.DECISION)
    assert len(decisions) == len(said)
    steps = {(one.context.conversation_id, one.step) for one in decisions}
    assert steps == said, "the n-th utterance of a conversation is step n"
    ends = [{state.context.conversation_id: state for state in log.of(topics.CONVERSATION)} for log in (calm, rough)]
    assert set(ends[0]) == set(ends[1])
    for conversation, state in ends[0].items():
        other = ends[1][conversation]
        state.revision = other.revision = 0
        assert state == other


@settings(max_examples=60, deadline=None)
@given(traffic())
def test_a_dialogue_holds_every_turn_once_and_ends_with_the_present_one(events: list[tuple[str, str, int]]) -> None:
    log = asyncio.run(run(events, (), compacting=False, turns=12))
    for decision in log.of(topics.DECISION):
        turns = [(turn.role, turn.utterance_id) for turn in decision.dialogue]
        assert len(set(turns)) == len(turns)
        assert turns[-1] == (pb.ROLE_USER, decision.context.utterance_id)
        people = [int(name[1:]) for role, name in turns if role == pb.ROLE_USER]
        assert people == list(range(people[0], people[-1] + 1))


@given(
    st.sampled_from(["mesc", "esconv"]),
    st.data(),
    st.integers(0, 40),
    st.one_of(
        st.just(Exploration()),
        st.builds(Exploration, st.just("epsilon"), st.floats(0.001, 1)),
        st.builds(Exploration, st.just("temperature"), st.floats(1, 10)),
    ),
    st.text(max_size=20),
)
def test_the_policy_for_any_model(
    taxonomy: str, data: st.DataObject, step: int, exploration: Exploration, seed: str
) -> None:
    labels = STRATEGIES[taxonomy]  # type: ignore[index]
    weights = data.draw(st.lists(st.floats(0, 1), min_size=len(labels), max_size=len(labels)))
    total = sum(weights) or 1.0
    model = {label: weight / total for label, weight in zip(labels, weights, strict=True)}
    choice = choose(model, taxonomy, step, exploration, seed)  # type: ignore[arg-type]
    names = eligible(taxonomy, step)  # type: ignore[arg-type]
    assert tuple(choice.strategy) == names
    assert math.fsum(choice.strategy.values()) == pytest.approx(1, abs=1e-12)
    if exploration.kind == "epsilon":
        assert min(choice.strategy.values()) >= 0.999 * exploration.amount / len(names)
    if exploration.kind == "none":
        assert not choice.explored
    assert choice.propensity == choice.strategy[choice.chosen] > 0
    assert choice == choose(model, taxonomy, step, exploration, seed)  # type: ignore[arg-type]
