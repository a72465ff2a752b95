"""A worker that is started before its topics are made, as on a cluster where everything is applied at once."""

import asyncio
import json
import secrets
import urllib.error
import urllib.request
from types import SimpleNamespace

import pytest
from kafka import KafkaAdminClient

from multimood.bus import Worker, WorkerSettings
from multimood.contracts.v1 import events_pb2 as pb
from multimood.local.kafka import KafkaServer
from multimood.local.ports import HOST, assign
from multimood.settings import HealthSettings, KafkaSettings
from multimood.topics import Topic

pytestmark = pytest.mark.integration


def new_topic() -> Topic:
    return Topic(f"test.{secrets.token_hex(4)}.v1", pb.Utterance, 60_000)


def make(kafka: KafkaServer, *topics: Topic) -> None:
    admin = KafkaAdminClient(bootstrap_servers=f"{HOST}:{kafka.port}")
    try:
        admin.create_topics({topic.name: {"num_partitions": 2, "replication_factor": 1} for topic in topics})
    finally:
        admin.close()


async def checks(port: int) -> dict[str, bool]:
    def ask() -> dict[str, bool]:
        try:
            with urllib.request.urlopen(f"http://{HOST}:{port}/readyz", timeout=5) as answer:
                return json.load(answer)["checks"]
        except urllib.error.HTTPError as refusal:
            return json.load(refusal)["checks"]

    return await asyncio.to_thread(ask)


async def test_is_not_ready_before_its_topics_and_ready_soon_after(kafka: KafkaServer) -> None:
    consumed, recovered = new_topic(), new_topic()
    port = assign(["health"])["health"]
    settings = WorkerSettings(
        kafka=KafkaSettings(brokers=f"{HOST}:{kafka.port}", group_prefix=secrets.token_hex(4)),
        health=HealthSettings(host=HOST, port=port),
    )
    # Nothing is published, so of the processor only what it recovers from is looked at, and its end.
    processor = SimpleNamespace(
        recovers=((recovered, 10),), reset=lambda: None, drain=lambda _seconds: asyncio.sleep(0)
    )
    worker = Worker("test", (consumed,), lambda _bus: processor, settings=settings)  # type: ignore[arg-type, return-value]
    running = asyncio.create_task(worker.run())
    try:
        await asyncio.sleep(1.5)
        assert (await checks(port))["consuming"] is False
        make(kafka, consumed)
        await asyncio.sleep(1.5)
        assert (await checks(port))["consuming"] is False, "what it recovers from is missing still"
        make(kafka, recovered)
        async with asyncio.timeout(30):
            while not all((await checks(port)).values()):  # noqa: ASYNC110 - only asking shows it
                await asyncio.sleep(0.2)
    finally:
        worker._stop.set()
        assert await asyncio.wait_for(running, 30) == 0
