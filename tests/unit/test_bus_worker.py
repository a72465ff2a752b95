"""The process around a processor, without a broker: who gets which partition, what is learnt, and what ends it."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import GroupAuthorizationFailedError, KafkaConnectionError
from bus_fakes import CANARY, Log, context
from faust.assignor.client_assignment import ClientAssignment, ClientMetadata
from faust.types import TP

from multimood import topics
from multimood.bus import Bus, Delivery, Worker, WorkerSettings
from multimood.bus import worker as worker_module
from multimood.bus.acks import Limits, OffsetTracker
from multimood.bus.transport import Batch
from multimood.contracts.v1 import events_pb2 as pb
from multimood.errors import AuthorizationError, ConfigurationError
from multimood.topics import Topic

pytestmark = pytest.mark.unit

INPUTS = (topics.UTTERANCE, topics.SCREENING, topics.EMBEDDING_TEXT)


class Processor:
    """Remembers what it is told."""

    limits = Limits(records=7)

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.recovers: Sequence[tuple[Topic, int | None]] = ((topics.FEATURES, 10),)
        self.recovered: list[str] = []
        self.given: list[Delivery] = []
        self.error: Exception | None = None
        self.drained = 0.0

    def recover(self, _topic: Topic, event: Any) -> None:
        self.recovered.append(event.message.context.utterance_id)

    async def process(self, deliveries: Sequence[Delivery]) -> None:
        if self.error:
            raise self.error
        self.given += deliveries

    def reset(self) -> None:
        pass

    async def drain(self, grace_s: float) -> None:
        self.drained = grace_s


class Tail:
    """What was published before, and a broker that may be away."""

    def __init__(self) -> None:
        self.read_calls: list[tuple[str, int, int | None, int | None]] = []
        self.failures: list[Exception] = []
        self.times: dict[tuple[str, int | None], int] = {}
        self.answers = True
        self.counts = dict.fromkeys((topic.name for topic in INPUTS), 4)

    async def read(self, topic: Topic, partition: int, last: int | None, since_ms: int | None) -> AsyncIterator[Any]:
        self.read_calls.append((topic.name, partition, last, since_ms))
        if self.failures:
            raise self.failures.pop(0)
        log = Log(topic).write(topic.message(context=context("c", "before"))).raw(b"\xff\xff")
        for record in log.records:
            yield record

    async def time_at(self, topic: Topic, _partition: int, offset: int | None) -> int | None:
        return self.times.get((topic.name, offset))

    async def reachable(self) -> bool:
        return self.answers

    async def partitions(self, _topics: Any) -> dict[str, int]:
        return self.counts

    async def stop(self) -> None:
        pass


@pytest.fixture
async def worker() -> Worker:
    one = Worker("test", INPUTS, Processor, settings=WorkerSettings(drain_s=0.5))
    one._tail = Tail()  # type: ignore[assignment]
    one._app._consumer = SimpleNamespace(
        epoch=1, beat=time.monotonic(), held=0, heads=dict, joined=True, flow_active=True, committed=lambda _tp: None,
        stop_flow=lambda: None, refusals=(), renew_password=lambda: None, check=lambda: None,
    )  # fmt: skip
    return one


def batch(log: Log, epoch: int = 1, partition: int = 0) -> Batch:
    deliveries = log.deliveries()
    return Batch(epoch, TP(log.topic.name, partition), [one.record for one in deliveries], log.tracker)


def said(name: str = "u") -> Log:
    return Log(topics.UTTERANCE).write(pb.Utterance(context=context("c", name)))


# --- who gets what ----------------------------------------------------------------------------------------------------


def assigned(worker: Worker, members: Sequence[str], partitions: int) -> dict[str, dict[str, list[int]]]:
    assignor = worker._app.assignor
    subscription = SimpleNamespace(
        subscription=[topic.name for topic in INPUTS],
        user_data=ClientMetadata(
            assignment=ClientAssignment(actives={}, standbys={}), url="http://here", changelog_distribution={},
            external_topic_distribution={}, topic_groups={},
        ).dumps(),
    )  # fmt: skip
    cluster = SimpleNamespace(partitions_for_topic=lambda _topic: set(range(partitions)))
    found = assignor.assign(cluster, dict.fromkeys(members, subscription))
    return {member: dict(assignment.assignment) for member, assignment in found.items()}


@pytest.mark.parametrize("partitions", [4, 6])
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
async def test_one_partition_number_of_all_topics_goes_to_one_worker_and_no_worker_idles(
    worker: Worker, count: int, partitions: int
) -> None:
    found = assigned(worker, [f"member{number}" for number in range(count)], partitions)
    owners: dict[int, set[str]] = {}
    for member, by_topic in found.items():
        assert len({tuple(sorted(numbers)) for numbers in by_topic.values()}) <= 1, "topics were torn apart"
        for numbers in by_topic.values():
            for number in numbers:
                owners.setdefault(number, set()).add(member)
    assert sorted(owners) == list(range(partitions))
    assert all(len(owner) == 1 for owner in owners.values())
    busy = {member for owner in owners.values() for member in owner}
    assert len(busy) == min(count, partitions), "a worker was left without work"


async def test_faust_is_made_to_use_that_assignor(worker: Worker) -> None:
    assert worker._app.conf.table_standby_replicas > 0, "else it would take one that tears topics apart"
    assert worker._app.assignor.replicas == 0


async def test_the_processors_limits_are_the_consumers(worker: Worker) -> None:
    assert worker._app.transport._limits == Limits(records=7)


async def test_topics_that_differ_in_partitions_are_refused(worker: Worker) -> None:
    await worker._check_counts()
    worker._tail.counts[topics.SCREENING.name] = 3  # type: ignore[attr-defined]
    with pytest.raises(Exception, match=r"equal partition counts, these have not: .*'multimood.screening.v1': 3"):
        await worker._check_counts()


# --- what is taken ----------------------------------------------------------------------------------------------------


async def test_the_past_is_read_once_per_partition_and_assignment(worker: Worker) -> None:
    processor: Processor = worker.processor  # type: ignore[assignment]
    for epoch, partition in ((1, 0), (1, 0), (1, 1), (2, 0)):
        worker._app._consumer.epoch = epoch
        await worker._take(batch(said(), epoch, partition))
    assert [call[1] for call in worker._tail.read_calls] == [0, 1, 0]  # type: ignore[attr-defined]
    assert processor.recovered == ["before"] * 3, "what cannot be decoded is passed over"
    assert len(processor.given) == 4


async def test_the_past_goes_back_to_the_oldest_record_that_comes_again(worker: Worker) -> None:
    tail: Any = worker._tail
    committed = {topics.UTTERANCE.name: 7, topics.SCREENING.name: 40, topics.EMBEDDING_TEXT.name: None}
    worker._app._consumer.committed = lambda tp: committed[tp.topic]
    tail.times = {(topics.SCREENING.name, 40): 900_000, (topics.EMBEDDING_TEXT.name, None): 950_000}
    await worker._take(batch(said()))
    assert tail.read_calls == [(topics.FEATURES.name, 0, 10, 900_000 - worker_module.CLOCK_SLACK_MS)]


async def test_the_past_is_read_as_soon_as_a_partition_is_there(worker: Worker) -> None:
    worker._app._consumer.flow_active = False
    await worker._on_assigned(None, {TP(topic.name, number) for topic in INPUTS for number in (2, 5)})
    await asyncio.sleep(0.03)
    assert worker._tail.read_calls == [], "what was committed is not known yet"  # type: ignore[attr-defined]
    assert worker._owed == {2, 5}
    worker._app._consumer.flow_active = True
    await asyncio.sleep(0.03)
    assert [call[1] for call in worker._tail.read_calls] == [2, 5]  # type: ignore[attr-defined]
    assert worker._owed == set()
    await worker._take(batch(said(), 1, 5))
    assert len(worker._tail.read_calls) == 2, "and not again with the first record"  # type: ignore[attr-defined]


async def test_a_partition_that_goes_while_its_past_is_read_is_not_waited_for(worker: Worker) -> None:
    worker._app._consumer.flow_active = False
    await worker._on_assigned(None, {TP(INPUTS[0].name, 2)})
    await worker._on_revoked()
    worker._app._consumer.flow_active = True
    await asyncio.sleep(0.03)
    assert (worker._tail.read_calls, worker._owed) == ([], set())  # type: ignore[attr-defined]


async def test_reading_the_past_waits_for_the_broker(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "PAUSE_S", 0.001)
    worker._tail.failures = [KafkaConnectionError(), OSError()]  # type: ignore[attr-defined]
    await worker._take(batch(said()))
    assert len(worker.processor.given) == 1  # type: ignore[attr-defined]
    assert not worker._failed.is_set()


async def test_what_is_stale_is_not_taken(worker: Worker) -> None:
    log = said()
    stale = batch(log)
    log.move()
    await worker._take(stale)
    worker._draining = True
    await worker._take(batch(said()))
    assert worker.processor.given == []  # type: ignore[attr-defined]


async def test_an_error_of_the_processor_ends_the_worker_and_what_follows_is_not_taken(worker: Worker) -> None:
    processor: Processor = worker.processor  # type: ignore[assignment]
    processor.error = ValueError(CANARY)

    async def batches() -> AsyncIterator[Batch]:
        yield batch(said())
        processor.error = None
        yield batch(said())

    await worker._consume(batches())
    assert worker._failed.is_set()
    assert processor.given == [], "Faust would have committed past the first"


async def test_the_processor_can_end_the_worker(worker: Worker) -> None:
    worker.processor.bus.crash(ValueError(CANARY))  # type: ignore[attr-defined]
    assert worker._failed.is_set()


# --- what it depends on -----------------------------------------------------------------------------------------------


class Started:
    """In place of broker and Faust: notes what came in which order."""

    def __init__(self, worker: Worker, *answers: bool | Exception) -> None:
        self.steps: list[str] = []
        self.answers = list(answers)
        worker._fits, worker._is_fit = self.fits, False
        worker._connect = self.connect  # type: ignore[method-assign]
        worker._app.start = self.start

    async def connect(self) -> None:
        self.steps.append("connect")

    async def start(self) -> None:
        self.steps.append("start")

    async def fits(self) -> bool:
        self.steps.append("fits")
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


async def test_what_it_depends_on_is_looked_at_before_it_takes_work(worker: Worker) -> None:
    started = Started(worker, True)
    await worker._start()
    assert started.steps == ["connect", "fits", "start"]
    assert (await worker._ready())["fits"] is True


async def test_what_is_away_is_looked_at_when_it_comes(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "PAUSE_S", 0.001)
    started = Started(worker, False, False, True)
    assert (await worker._ready())["fits"] is False
    await worker._start()
    assert started.steps == ["connect", "fits", "start", "fits", "fits"]
    assert (await worker._ready())["fits"] is True
    assert not worker._failed.is_set()


@pytest.mark.parametrize("before", [[], [False]])
async def test_the_wrong_one_ends_it_as_a_fault_of_the_set_up(
    worker: Worker, before: list[bool], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "PAUSE_S", 0.001)
    started = Started(worker, *before, ConfigurationError("of 9 where 8 is needed"))
    await worker._start()
    assert ("start" in started.steps) == bool(before)
    assert worker._failed.is_set()
    assert worker._code == 2
    (record,) = [record for record in caplog.records if record.levelname == "CRITICAL"]
    assert (record.reason, record.exc_info) == ("of 9 where 8 is needed", None)  # type: ignore[attr-defined]


# --- health -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def stall(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "STALL_S", 0.02)


def consumer_of(worker: Worker, **trackers: OffsetTracker) -> Any:
    consumer = worker._app._consumer
    consumer.heads = lambda: {
        TP(name, 0): tracker.head for name, tracker in trackers.items() if tracker.head is not None
    }
    consumer.held = sum(tracker.held for tracker in trackers.values())
    consumer.beat = time.monotonic()
    return consumer


async def alive(worker: Worker) -> bool:
    return all((await worker._alive()).values())


@pytest.mark.usefixtures("stall")
async def test_one_stuck_partition_among_busy_ones_is_a_stall(worker: Worker) -> None:
    stuck, busy = OffsetTracker(0), OffsetTracker(0)
    stuck.open(0)
    for offset in range(4):
        busy.open(offset)
        consumer_of(worker, stuck=stuck, busy=busy)
        verdict = await alive(worker)
        busy.done(offset)
        await asyncio.sleep(0.01)
    assert not verdict
    stuck.done(0)
    consumer_of(worker, stuck=stuck, busy=busy)
    assert await alive(worker)


@pytest.mark.usefixtures("stall")
async def test_a_partition_that_moves_on_is_none_however_seldom_it_is_asked(worker: Worker) -> None:
    tracker = OffsetTracker(0)
    for offset in range(3):
        tracker.open(offset)
        consumer_of(worker, busy=tracker)
        assert await alive(worker)
        await asyncio.sleep(0.03)
        tracker.done(offset)


@pytest.mark.usefixtures("stall")
async def test_waiting_for_somebody_else_is_none(worker: Worker) -> None:
    tracker = OffsetTracker(0)
    tracker.open(0)
    worker._holds = lambda: 1
    for _ in range(3):
        consumer_of(worker, waiting=tracker)
        assert await alive(worker)
        await asyncio.sleep(0.015)


@pytest.mark.usefixtures("stall")
async def test_a_consumer_that_looks_for_nothing_is_a_stall_unless_there_is_no_broker(worker: Worker) -> None:
    worker._app._consumer.beat -= 1
    assert not await alive(worker)
    worker._tail.answers = False  # type: ignore[attr-defined]
    assert await alive(worker)
    worker._crash(ValueError())
    assert not await alive(worker)


@pytest.mark.usefixtures("stall")
async def test_nor_is_it_one_while_the_brokers_refuse_it(worker: Worker) -> None:
    worker._app._consumer.beat -= 1
    worker._sender.refusals.note("said", AuthorizationError("not for you"))
    assert await alive(worker), "a restart would not help"
    worker._sender.refusals.note("said", None)
    assert not await alive(worker)


async def test_a_group_that_shuts_it_out_ends_it_and_says_so(worker: Worker, caplog: pytest.LogCaptureFixture) -> None:
    def refuse() -> None:
        raise GroupAuthorizationFailedError("multimood.test")

    worker._app._consumer.check = refuse
    await asyncio.wait_for(worker._watch(), 5)
    assert (worker._failed.is_set(), worker._code) == (True, 1)
    (record,) = [record for record in caplog.records if record.levelname == "CRITICAL"]
    assert (record.code, record.exc_info) == ("authorization", None)  # type: ignore[attr-defined]
    assert "group multimood.test" in record.reason  # type: ignore[attr-defined]


async def test_it_is_ready_when_all_that_it_needs_is_there(worker: Worker) -> None:
    async def yes() -> bool:
        return True

    async def fails() -> bool:
        raise ConnectionError

    worker._checks = {"store": yes}
    names = ("broker", "consuming", "taken_over", "authorised", "not_draining", "store")
    assert await worker._ready() == dict.fromkeys(names, True)
    worker._owed = {3}
    worker._refusals.note("reading", AuthorizationError("not for you"))
    worker._checks = {"store": fails}
    worker._tail.answers = False  # type: ignore[attr-defined]
    worker._app._consumer.joined = False
    worker._draining = True
    assert await worker._ready() == dict.fromkeys(names, False)


# --- the end ----------------------------------------------------------------------------------------------------------


async def test_one_step_of_the_end_that_fails_or_hangs_keeps_none_from_being_taken(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "STOP_STEP_S", 0.02)
    taken = []

    async def fail() -> None:
        raise ValueError(CANARY)

    async def cancelled() -> None:
        raise asyncio.CancelledError

    async def hang() -> None:
        await asyncio.sleep(60)

    async def last() -> None:
        taken.append("last")

    async def nothing() -> None:
        pass

    monkeypatch.setattr(worker._app, "stop", nothing)
    monkeypatch.setattr(worker_module.telemetry, "shutdown", lambda: taken.append("telemetry"))
    worker._on_stop = (fail, cancelled, hang, last)
    worker._sender = SimpleNamespace(stop=nothing)  # type: ignore[assignment]
    await worker._shut_down()
    assert taken == ["last", "telemetry"]
    assert worker.processor.drained == 0.5  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"MULTIMOOD_JOINER_CAPACITY": "0"}, {"settings": "JoinerSettings"}),
        ({"MULTIMOOD_KAFKA_PARTITIONS": "several"}, {"settings": "KafkaSettings"}),
    ],
)
def test_a_setting_that_cannot_work_is_named(environment: dict[str, str], told: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "services.joiner"], env={**os.environ, **environment}, capture_output=True, text=True,
        check=False, timeout=30,
    )  # fmt: skip
    line = json.loads(done.stderr.splitlines()[-1])
    assert done.returncode == 2
    assert {key: line[key] for key in told} == told
    assert list(line["faults"]) == [next(iter(environment)).rpartition("_")[2].lower()]
