"""The broker comes late, dies under load, comes back, or does not: a service of the bus outlives all of it."""

import asyncio
import secrets
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from bus_harness import Service, Writer, create, utterance, wait_committed
from bus_log import records_of
from bus_service import SERVICE, topics_of

from multimood.contracts.v1 import events_pb2 as pb
from multimood.local.kafka import KafkaServer
from multimood.local.ports import assign
from multimood.local.server import wait_ready

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

DRAIN_S = 3.0


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    """One of its own that may be killed; not running."""
    folder = tmp_path_factory.mktemp("outage")
    ports = assign(KafkaServer.PORTS)
    server = KafkaServer(folder, folder / "kafka.log", ports["kafka"], ports["kafka.controller"], heap_mb=256)
    yield server
    if server.child is not None:
        server.child.kill()


def up(broker: KafkaServer) -> None:
    broker.start()
    wait_ready(broker, broker.log, 120)


def down(broker: KafkaServer) -> None:
    assert broker.child is not None
    broker.child.kill()


def until(condition: bool, service: Service, name: str, within_s: float) -> None:
    deadline = time.monotonic() + within_s
    while service.checks().get(name) is not condition:
        assert time.monotonic() < deadline, f"{name} is not {condition}: {service.checks()} {service.tail()}"
        time.sleep(0.2)


async def talk(broker: KafkaServer, run: str, done: asyncio.Event) -> int:
    said, _ = topics_of(run)
    sent, futures = 0, []
    async with Writer(broker.brokers) as writer:
        while not done.is_set():
            futures.append(await writer.begin(said, utterance(run, sent % 20, sent)))
            sent += 1
            await asyncio.sleep(0.01)
        await asyncio.gather(*futures)
    return sent


async def test_an_outage_delays_and_loses_nothing(broker: KafkaServer, tmp_path: Path) -> None:
    run = f"out{secrets.token_hex(3)}"
    said, answered = topics_of(run)
    env = {"MULTIMOOD_ECHO_RUN": run, "MULTIMOOD_KAFKA_GROUP_PREFIX": run}
    service = Service("bus_service", broker.brokers, tmp_path, "echo", env).start()
    try:
        # Before the broker, and before the topics.
        await asyncio.to_thread(until, False, service, "broker", 20)
        assert service.ask("/healthz")[0] == 200
        await asyncio.to_thread(up, broker)
        await asyncio.sleep(1)
        assert service.ask("/readyz")[0] == 503
        create(broker.brokers, topics_of(run))
        await asyncio.to_thread(service.wait_ready)

        # Under load.
        done = asyncio.Event()
        talking = asyncio.create_task(talk(broker, run, done))
        await asyncio.sleep(1.5)
        down(broker)
        await asyncio.to_thread(until, False, service, "broker", 20)
        assert service.ask("/healthz")[0] == 200, "a restart would not bring the broker back"
        await asyncio.sleep(1)
        await asyncio.to_thread(up, broker)
        await asyncio.to_thread(until, True, service, "broker", 30)
        await asyncio.sleep(2)
        done.set()
        sent = await asyncio.wait_for(talking, 60)
        await wait_committed(broker.brokers, f"{run}.{SERVICE}", said, within_s=60)
        replies = Counter(
            pb.Reply.FromString(record.value).context.utterance_id
            for record in await records_of(broker.brokers, [answered.name])
        )
        assert replies.keys() == {f"{run}-{number}" for number in range(sent)}
        assert not await records_of(broker.brokers, [said.dead_letters])
        assert service.child.exit_code() is None

        # For good: with work that cannot be finished.
        async with Writer(broker.brokers) as writer:
            await writer.say(said, *(utterance(run, f"s{number}", f"s{number}", "slow:0.6") for number in range(40)))
            await asyncio.sleep(0.3)
            down(broker)
            await asyncio.sleep(1)
            began = time.monotonic()
            service.send(signal.SIGTERM)
            assert await asyncio.to_thread(service.wait, DRAIN_S + 10) == 0
            assert time.monotonic() - began < DRAIN_S + 9
            # And what it left is done by the next one.
            service.start()
            await asyncio.to_thread(up, broker)
            await asyncio.to_thread(service.wait_ready)
            await wait_committed(broker.brokers, f"{run}.{SERVICE}", said, within_s=60)
        replies = Counter(
            pb.Reply.FromString(record.value).context.utterance_id
            for record in await records_of(broker.brokers, [answered.name])
        )
        assert {f"{run}-s{number}" for number in range(40)} <= replies.keys()
    finally:
        service.kill()


async def test_sigterm_is_heard_while_waiting_for_a_broker(tmp_path: Path) -> None:
    port = assign(["nobody"])["nobody"]
    env = {"MULTIMOOD_ECHO_RUN": "none", "MULTIMOOD_KAFKA_GROUP_PREFIX": "none"}
    service = Service("bus_service", f"127.0.0.1:{port}", tmp_path, "echo", env).start()
    try:
        await asyncio.to_thread(until, False, service, "broker", 20)
        began = time.monotonic()
        service.send(signal.SIGTERM)
        assert await asyncio.to_thread(service.wait, 10) == 0
        assert time.monotonic() - began < 5
    finally:
        service.kill()
