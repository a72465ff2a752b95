"""What is tried again, for how long, and whom it keeps waiting, in an encoder around records in memory."""

import asyncio
from itertools import pairwise
from typing import Any

import pytest
from strategist_world import Fusion
from topology import SEND_S, Record, Topology
from topology_services import Embedder, Writer, joiner, responder, said, sentinel, strategist, text_encoder
from virtual_time import virtually

from multimood import topics
from multimood.bus.letters import Letter, replay_of
from multimood.bus.retry import RetryPolicy
from multimood.clock import loop_time
from multimood.contracts.v1 import events_pb2 as pb
from multimood.errors import UnavailableError

pytestmark = pytest.mark.property

BUDGET_S = 6.0
AWAY = UnavailableError("away")
SOON = 0.1


def names(top: Topology) -> list[str]:
    return [one.context.utterance_id for one in top.messages(topics.EMBEDDING_TEXT)]


def reasons(top: Topology) -> dict[str, int]:
    return {one.context.utterance_id: one.missing for one in top.messages(topics.EMBEDDING_TEXT)}


def say(top: Topology, *utterances: pb.Utterance) -> None:
    top.publish(topics.UTTERANCE, *utterances)


@virtually
async def test_a_model_that_comes_back_is_found_by_ever_longer_steps() -> None:
    model = Embedder(takes_s=0)
    async with Topology(text_encoder(model)) as top:
        model.failures = {"": AWAY}
        say(top, said("a"))
        await asyncio.sleep(2)
        assert (names(top), top.lag("text_encoder")) == ([], 1)
        model.failures.clear()
        await asyncio.sleep(BUDGET_S)
        assert (reasons(top), top.lag("text_encoder")) == ({"a": 0}, 0)
        longest = RetryPolicy().first_s
        for before, after in pairwise(at for at, _ in model.asked):
            assert longest / 2 <= round(after - before, 6) <= longest
            longest = min(2 * longest, RetryPolicy().longest_s)


@pytest.mark.parametrize("takes_s", [0.0, 0.5, 4.0])
def test_one_that_stays_away_costs_the_budget_and_an_attempt_at_most(takes_s: float) -> None:
    @virtually
    async def scenario() -> None:
        model = Embedder(takes_s)
        async with Topology(text_encoder(model)) as top:
            model.failures = {"": AWAY}
            say(top, said("a"))
            await asyncio.sleep(BUDGET_S + takes_s + SOON)
            assert reasons(top) == {"a": pb.MISSING_REASON_MODEL_UNAVAILABLE}
            assert (top.lag("text_encoder"), top.letters(topics.UTTERANCE)) == (0, [])
            assert len(model.asked) <= 1 + BUDGET_S / max(takes_s, RetryPolicy().first_s / 2)

    scenario()


@virtually
async def test_a_conversation_that_is_tried_again_keeps_its_order_and_no_other_waiting() -> None:
    model = Embedder()
    async with Topology(text_encoder(model, concurrency=1), partitions=1) as top:
        model.failures = {"stuck": AWAY}
        say(top, said("a1", "a", "stuck"), said("a2", "a"), *(said(f"b{n}", f"b{n}") for n in range(5)))
        await asyncio.sleep(1)
        assert names(top) == [f"b{n}" for n in range(5)], "one at a time, and one of them rests"
        assert top.lag("text_encoder") == 7, "nothing behind the first is committed"
        model.failures.clear()
        await asyncio.sleep(BUDGET_S)
        assert names(top)[5:] == ["a1", "a2"]
        assert top.lag("text_encoder") == 0


@virtually
async def test_poison_is_a_dead_letter_at_once_with_all_it_had_and_delays_nobody() -> None:
    model = Embedder()
    async with Topology(text_encoder(model), partitions=1) as top:
        model.failures = {"poison": ValueError("poison")}
        say(top, said("a1", "a", "poison"), said("a2", "a"), said("b", "b"))
        await asyncio.sleep(SOON)
        (letter,) = top.letters(topics.UTTERANCE)
        original = top.broker.records(topics.UTTERANCE.name)[0]
        assert (letter.value, letter.key, letter.headers[: len(original.headers)]) == (
            original.value, original.key, original.headers,
        )  # fmt: skip
        told = Letter.of(letter)
        assert (told.reason, told.error, told.attempts, told.service) == ("ValueError", "ValueError", 1, "text_encoder")
        assert (told.origin.topic, told.origin.partition, told.origin.offset) == (original.topic, 0, 0)
        assert (sorted(names(top)), top.lag("text_encoder")) == (["a2", "b"], 0)


def replay(top: Topology, letter: Record) -> None:
    back = replay_of(Letter.of(letter), letter)
    top.broker.append(back.topic, back.key, back.value, back.headers)


@virtually
async def test_a_letter_that_comes_back_is_handled_like_new_and_once_however_often_it_comes() -> None:
    model = Embedder()
    async with Topology(text_encoder(model)) as top:
        model.failures = {"poison": ValueError()}
        say(top, said("a", text="poison"))
        await asyncio.sleep(SOON)
        (letter,) = top.letters(topics.UTTERANCE)
        replay(top, letter)
        await asyncio.sleep(SOON)
        assert len(top.letters(topics.UTTERANCE)) == 2, "still poison: a letter again"
        model.failures.clear()
        for again in (*top.letters(topics.UTTERANCE), letter):
            replay(top, again)
        await asyncio.sleep(SOON)
        assert (reasons(top), names(top), top.lag("text_encoder")) == ({"a": 0}, ["a"], 0)


@virtually
async def test_a_partition_that_moves_in_the_middle_of_a_retry_is_answered_once_by_its_next_owner() -> None:
    model = Embedder()
    async with Topology(text_encoder(model, retry_budget_s=60), partitions=1) as top:
        model.failures = {"": AWAY}
        say(top, said("a1", "a"), said("a2", "a"))
        await asyncio.sleep(50)
        second = top.start("text_encoder")
        top.members["text_encoder"].reverse()
        top.rebalance("text_encoder")
        assert second.held == 0, "it has not read yet"
        await asyncio.sleep(20)
        assert names(top) == [], "the first owner passes no verdict, the second has time of its own"
        model.failures.clear()
        await asyncio.sleep(BUDGET_S)
        assert (names(top), set(reasons(top).values()), top.lag("text_encoder")) == (["a1", "a2"], {0}, 0)


@pytest.mark.parametrize("failure", [None, ValueError(), AWAY])
def test_what_is_in_work_when_its_partition_moves_gets_its_verdict_from_the_next_owner(
    failure: BaseException | None,
) -> None:
    @virtually
    async def scenario() -> None:
        model = Embedder(takes_s=2)
        async with Topology(text_encoder(model, retry_budget_s=1), partitions=1) as top:
            model.failures = {"": failure} if failure is not None else {}
            say(top, said("a"))
            await asyncio.sleep(1)
            top.start("text_encoder")
            top.members["text_encoder"].reverse()
            top.rebalance("text_encoder")
            await asyncio.sleep(1.5)
            assert (names(top), top.letters(topics.UTTERANCE)) == ([], []), "the first one is through, and says nothing"
            await asyncio.sleep(1)
            assert len(names(top)) + len(top.letters(topics.UTTERANCE)) == 1
            assert top.lag("text_encoder") == 0

    scenario()


@pytest.mark.parametrize("how", ["moves", "dies", "leaves"])
def test_whatever_ends_a_retry_in_the_middle_it_begins_again(how: str) -> None:
    @virtually
    async def scenario() -> None:
        model = Embedder()
        async with Topology(text_encoder(model)) as top:
            model.failures = {"stuck": AWAY}
            say(top, said("a1", "a", "stuck"), said("a2", "a"), said("b", "b"))
            await asyncio.sleep(2)
            if how == "moves":
                top.rebalance("text_encoder")
            elif how == "dies":
                await top.kill("text_encoder")
                top.start("text_encoder")
            else:
                began = loop_time()
                await top.leave("text_encoder", grace_s=1)
                assert loop_time() - began < 1 + SOON
                top.start("text_encoder")
            await asyncio.sleep(1)
            assert (names(top), top.letters(topics.UTTERANCE)) == (["b"], [])
            model.failures.clear()
            await asyncio.sleep(BUDGET_S)
            assert (names(top), set(reasons(top).values()), top.lag("text_encoder")) == (["b", "a1", "a2"], {0}, 0)

    scenario()


@virtually
async def test_an_orderly_end_answers_what_was_begun() -> None:
    model = Embedder(takes_s=5)
    async with Topology(text_encoder(model)) as top:
        say(top, said("a"))
        await asyncio.sleep(1)
        await top.leave("text_encoder", grace_s=15)
        assert (loop_time(), names(top), top.lag("text_encoder")) == (pytest.approx(5 + SEND_S), ["a"], 0)


@virtually
async def test_a_backlog_is_read_no_further_than_the_limits_and_in_order() -> None:
    model = Embedder()
    async with Topology(text_encoder(model), partitions=1) as top:
        model.failures = {"": AWAY}
        say(top, *(said(f"u{n}", f"c{n % 7}") for n in range(1200)))
        await asyncio.sleep(1)
        (member,) = top.members["text_encoder"]
        assert member.held == 500, "the limit of a partition"
        top.rebalance("text_encoder")
        assert member.processor.held <= 7, "what was not begun is forgotten: it comes again"  # type: ignore[attr-defined]
        model.failures.clear()
        await asyncio.sleep(60)
        assert (len(names(top)), top.lag("text_encoder")) == (1200, 0)
        for conversation in range(7):
            mine = [int(name[1:]) for name in names(top) if int(name[1:]) % 7 == conversation]
            assert mine == sorted(mine)


@virtually
async def test_a_language_model_that_is_silent_for_one_keeps_no_other_waiting() -> None:
    services: Any = (sentinel(), joiner(), strategist(Fusion()), text_encoder(Embedder()))
    async with Topology(*services, responder(Writer(silent_on="riddle"), generations=4), partitions=1) as top:
        say(top, said("a1", "a", "a riddle"), said("a2", "a"), *(said(f"b{n}", f"b{n}") for n in range(5)))
        await asyncio.sleep(3)
        assert sorted(one.context.utterance_id for one in top.messages(topics.REPLY)) == [f"b{n}" for n in range(5)]
        await asyncio.sleep(12)
        *_, first, second = top.messages(topics.REPLY)
        assert (first.context.utterance_id, first.source) == ("a1", pb.REPLY_SOURCE_VETTED_FALLBACK)
        assert (second.context.utterance_id, second.source) == ("a2", pb.REPLY_SOURCE_GENERATED)
        assert top.lag("responder") == 0
