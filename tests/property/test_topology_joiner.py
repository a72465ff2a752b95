"""The joiner around records in memory: what it waits for and how long, to the moment, whatever moves meanwhile."""

import asyncio
from typing import Any

import pytest
from topology import SEND_S, Topology
from topology_services import joiner, said
from virtual_time import virtually

from multimood import topics
from multimood.clock import loop_time
from multimood.contracts.v1 import events_pb2 as pb
from multimood.encoding import topic_of
from multimood.topics import Topic

pytestmark = pytest.mark.property

TEXT, AUDIO, VIDEO = pb.MODALITY_TEXT, pb.MODALITY_AUDIO, pb.MODALITY_VIDEO
DEADLINE_S, ORPHAN_S = 10.0, 30.0
SOON = 2 * SEND_S


def utterance(name: str, *modalities: pb.Modality) -> pb.Utterance:
    made = said(name, f"c-{name}")
    del made.manifest[:]
    made.manifest.extend(modalities or (TEXT, VIDEO))
    return made


def screening(name: str) -> pb.Screening:
    return pb.Screening(context=said(name, f"c-{name}").context, level=pb.RISK_LEVEL_NONE)


def embedding(name: str, modality: pb.Modality = TEXT) -> pb.Embedding:
    context = said(name, f"c-{name}").context
    return pb.Embedding(context=context, modality=modality, vector=b"\0\0\0\0", shape=[1])


def parts(name: str) -> list[tuple[Topic, Any]]:
    """All that belongs to an utterance in words and pictures."""
    return [
        (topics.UTTERANCE, utterance(name)),
        (topics.SCREENING, screening(name)),
        *((topic_of(modality), embedding(name, modality)) for modality in (TEXT, VIDEO)),
    ]


def say(top: Topology, *what: tuple[Topic, Any]) -> None:
    for topic, message in what:
        top.publish(topic, message)


def found(top: Topology) -> list[tuple[str, int]]:
    """Who was joined, and with how many vectors."""
    return [(one.context.utterance_id, len(one.embeddings)) for one in top.messages(topics.FEATURES)]


@virtually
async def test_what_is_complete_waits_for_nothing() -> None:
    async with Topology(joiner()) as top:
        say(top, *parts("a"))
        await asyncio.sleep(SOON)
        assert (found(top), top.lag("joiner")) == ([("a", 2)], 0)


@virtually
async def test_what_is_not_complete_waits_for_its_deadline_and_no_longer() -> None:
    async with Topology(joiner(deadline_s=DEADLINE_S)) as top:
        said_a, *_, video = parts("a")
        say(top, said_a, video)
        await asyncio.sleep(DEADLINE_S - 0.001)
        assert (found(top), top.lag("joiner")) == ([], 2)
        await asyncio.sleep(0.001 + SOON)
        assert (found(top), top.lag("joiner")) == ([("a", 1)], 0)
        (features,) = top.messages(topics.FEATURES)
        assert [(one.modality, one.reason) for one in features.missing] == [(TEXT, pb.MISSING_REASON_DEADLINE)]
        assert not features.HasField("screening")


@virtually
async def test_the_deadline_is_the_utterances_and_not_its_parts() -> None:
    async with Topology(joiner(deadline_s=DEADLINE_S, orphan_s=ORPHAN_S)) as top:
        said_a, *rest = parts("a")
        say(top, rest[0], rest[1])
        await asyncio.sleep(ORPHAN_S - 1)
        say(top, said_a)
        await asyncio.sleep(DEADLINE_S - 0.01)
        assert found(top) == []
        await asyncio.sleep(0.1)
        assert found(top) == [("a", 1)]


@virtually
async def test_parts_without_their_utterance_are_let_go_and_it_is_joined_without_them() -> None:
    async with Topology(joiner(deadline_s=DEADLINE_S, orphan_s=ORPHAN_S)) as top:
        said_a, screened, text, video = parts("a")
        say(top, screened, text)
        await asyncio.sleep(ORPHAN_S - 0.01)
        assert top.lag("joiner") == 2
        await asyncio.sleep(0.02)
        assert (found(top), top.lag("joiner")) == ([], 0)
        say(top, said_a, video)
        await asyncio.sleep(DEADLINE_S + 1)
        assert (found(top), top.lag("joiner")) == ([("a", 1)], 0)


@virtually
async def test_latecomers_and_duplicates_change_nothing_and_are_acknowledged() -> None:
    async with Topology(joiner()) as top:
        said_a, screened, text, video = parts("a")
        say(top, text, screened, text, said_a, said_a)
        await asyncio.sleep(DEADLINE_S + 1)
        assert found(top) == [("a", 1)]
        say(top, video, text, said_a)
        await asyncio.sleep(DEADLINE_S + 1)
        assert (found(top), top.lag("joiner")) == ([("a", 1)], 0)


@virtually
async def test_of_two_parts_of_a_kind_a_vector_beats_its_absence_and_else_the_first_stays() -> None:
    async with Topology(joiner()) as top:
        said_a, screened, _, _ = parts("a")
        absent = pb.Embedding(
            context=screened[1].context, modality=TEXT, missing=pb.MISSING_REASON_MODEL_UNAVAILABLE
        )  # fmt: skip
        first, second = embedding("a"), embedding("a")
        second.vector = b"\1\1\1\1"
        lost = pb.Embedding(context=absent.context, modality=VIDEO, missing=pb.MISSING_REASON_NO_FACE)
        for part in (absent, first, second, absent):
            say(top, (topics.EMBEDDING_TEXT, part))
        say(top, screened, said_a, (topics.EMBEDDING_VIDEO, lost))
        await asyncio.sleep(SOON)
        (features,) = top.messages(topics.FEATURES)
        assert [one.vector for one in features.embeddings] == [first.vector]
        assert [(one.modality, one.reason) for one in features.missing] == [(VIDEO, pb.MISSING_REASON_NO_FACE)]
        assert top.lag("joiner") == 0


@virtually
async def test_every_order_of_arrival_gives_the_same_bytes() -> None:
    seen = set()
    for turn in range(4):
        async with Topology(joiner()) as top:
            order = parts("a")[turn:] + parts("a")[:turn]
            for part in order:
                say(top, part)
                await asyncio.sleep(1)
            (features,) = top.messages(topics.FEATURES)
            del features.hops[:]
            seen.add(features.SerializeToString(deterministic=True))
    assert len(seen) == 1


@virtually
async def test_beyond_its_capacity_orphans_go_first_and_then_the_oldest_go_on_early() -> None:
    async with Topology(joiner(capacity=2)) as top:
        say(top, (topics.SCREENING, screening("orphan")))
        for name in ("a", "b", "c"):
            await asyncio.sleep(1)
            say(top, (topics.UTTERANCE, utterance(name)), (topics.SCREENING, screening(name)))
        await asyncio.sleep(0.1)
        assert found(top) == [("a", 0)]
        assert top.lag("joiner") == 4, "the orphan and what went on are done, two wait"
        await asyncio.sleep(DEADLINE_S)
        assert (found(top), top.lag("joiner")) == ([("a", 0), ("b", 0), ("c", 0)], 0)


@virtually
async def test_a_partition_that_waits_too_much_is_not_read_further_and_the_other_is() -> None:
    async with Topology(joiner(waiting_records=3), partitions=2) as top:
        names = [f"n{number}" for number in range(12)]
        say(top, *((topics.SCREENING, screening(name)) for name in names))
        await asyncio.sleep(1)
        (member,) = top.members["joiner"]
        assert [tracker.held for tracker in member._trackers.values() if tracker.held] == [3, 3]
        await asyncio.sleep(3 * ORPHAN_S)
        assert top.lag("joiner") == 0


@virtually
async def test_a_rebalance_in_the_middle_of_a_join_begins_it_anew_and_loses_no_part() -> None:
    async with Topology(joiner()) as top:
        said_a, screened, text, video = parts("a")
        say(top, said_a, text)
        await asyncio.sleep(6)
        top.rebalance("joiner")
        await asyncio.sleep(6)
        assert found(top) == [], "its time began anew with the new owner"
        say(top, screened, video)
        await asyncio.sleep(SOON)
        assert (found(top), top.lag("joiner")) == ([("a", 2)], 0)


@virtually
async def test_what_one_worker_has_half_joined_another_joins_wholly() -> None:
    async with Topology(joiner()) as top:
        names = [f"n{number}" for number in range(8)]
        for name in names:
            say(top, *parts(name)[:2])
        await asyncio.sleep(1)
        top.start("joiner")
        for name in names[:4]:
            say(top, *parts(name)[2:])
        await asyncio.sleep(1)
        assert sorted(found(top)) == [(name, 2) for name in names[:4]]
        await top.kill("joiner")
        for name in names[4:]:
            say(top, *parts(name)[2:])
        await asyncio.sleep(1)
        assert sorted(found(top)) == [(name, 2) for name in names]
        assert top.lag("joiner") == 0


@virtually
async def test_published_and_killed_before_it_knew_it_is_not_published_again() -> None:
    async with Topology(joiner()) as top:
        say(top, *parts("a"))
        await asyncio.sleep(SEND_S * 0.75)
        assert (found(top), top.lag("joiner")) == ([("a", 2)], 4)
        await top.kill("joiner")
        top.start("joiner")
        await asyncio.sleep(DEADLINE_S + 1)
        assert (found(top), top.lag("joiner")) == ([("a", 2)], 0)


@virtually
async def test_an_outage_of_the_broker_delays_what_is_joined_and_acknowledges_nothing() -> None:
    async with Topology(joiner()) as top:
        say(top, *parts("a"), parts("b")[0])
        top.broker.up.clear()
        await asyncio.sleep(60)
        assert (found(top), top.lag("joiner")) == ([], 5)
        top.broker.up.set()
        await asyncio.sleep(SOON)
        assert (found(top), top.lag("joiner")) == ([("a", 2), ("b", 0)], 0)


@virtually
async def test_an_orderly_end_finishes_what_is_being_published_and_leaves_what_waits() -> None:
    async with Topology(joiner()) as top:
        say(top, *parts("a"), parts("b")[0])
        await asyncio.sleep(SEND_S / 4)
        began = loop_time()
        await top.leave("joiner")
        assert loop_time() - began < SEND_S, "what waits for others is not waited for"
        assert (found(top), top.lag("joiner")) == ([("a", 2)], 1)
        top.start("joiner")
        await asyncio.sleep(DEADLINE_S + SOON)
        assert found(top) == [("a", 2), ("b", 0)]


@virtually
async def test_what_nobody_can_read_is_a_dead_letter_as_it_is_and_holds_nothing_up() -> None:
    async with Topology(joiner()) as top:
        top.raw(topics.SCREENING, b"\xff\xff", b"anything", [("own", b"\x00\xfe"), ("ce_id", b"i")])
        top.raw(topics.TRANSCRIPT, b"\xff\xff")
        say(top, *parts("a"))
        await asyncio.sleep(1)
        (letter,) = top.letters(topics.SCREENING)
        assert (letter.value, letter.key, letter.headers[:2]) == (
            b"\xff\xff", b"anything", (("own", b"\x00\xfe"), ("ce_id", b"i")),
        )  # fmt: skip
        assert dict(letter.headers)["mm_reason"] == b"invalid_event"
        assert top.letters(topics.TRANSCRIPT) == [], "another's affair"
        assert (found(top), top.lag("joiner")) == ([("a", 2)], 0)
