"""Service processes, records and what became of them: what the tests of the bus share."""

import asyncio
import json
import os
import signal
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from aiokafka import AIOKafkaProducer
from bus_log import records_of
from kafka import KafkaAdminClient

from multimood.bus.envelope import encode_headers, output
from multimood.contracts.v1 import events_pb2 as pb
from multimood.local.ports import HOST, assign
from multimood.local.process import Child
from multimood.settings import KafkaSettings
from multimood.topics import DEAD_LETTER_ROOM, Topic, key_of

TESTS = Path(__file__).parent
PARTITIONS = 4


class Service:
    """A service as a process of its own: started, asked, killed."""

    def __init__(self, module: str, brokers: str, folder: Path, name: str, env: Mapping[str, str]) -> None:
        self.log = folder / f"{name}.log"
        self.spans = folder / name
        self._module = module
        self._brokers = brokers
        self._env = dict(env)
        self._child: Child | None = None
        self.port = 0

    def start(self) -> "Service":
        """Start it (again), on another port."""
        self.port = assign(["health"])["health"]
        env = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join((str(TESTS.parent), str(TESTS))),
            "MULTIMOOD_KAFKA_BROKERS": self._brokers,
            "MULTIMOOD_KAFKA_SESSION_TIMEOUT_S": "6",
            "MULTIMOOD_HEALTH_PORT": str(self.port),
            "MULTIMOOD_TELEMETRY_FOLDER": str(self.spans),
            **self._env,
        }
        self._child = Child([sys.executable, "-m", self._module], log=self.log, env=env)
        return self

    @property
    def child(self) -> Child:
        """The process."""
        assert self._child is not None, "start() first"
        return self._child

    def send(self, number: signal.Signals) -> None:
        """Signal it."""
        self.child.send(number)

    def wait(self, within_s: float) -> int:
        """Wait for its end and give the exit code. Raises TimeoutError."""
        deadline = time.monotonic() + within_s
        while (code := self.child.exit_code()) is None:
            if time.monotonic() > deadline:
                raise TimeoutError(f"still running after {within_s} s: {self.tail()}")
            time.sleep(0.05)
        return code

    def kill(self) -> None:
        """SIGKILL, and wait."""
        if self._child is not None:
            self._child.kill()

    def ask(self, path: str) -> tuple[int, str]:
        """Status and body of its health server; (0, "") when it does not listen."""
        try:
            with urllib.request.urlopen(f"http://{HOST}:{self.port}{path}", timeout=8) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refusal:
            return refusal.code, refusal.read().decode()
        except OSError:
            return 0, ""

    def checks(self, path: str = "/readyz") -> dict[str, bool]:
        """Its checks by name; empty when it does not listen."""
        body = self.ask(path)[1]
        return dict(json.loads(body)["checks"]) if body else {}

    def wait_ready(self, within_s: float = 60.0) -> "Service":
        """Wait until it says it is ready. Raises TimeoutError with the end of its log."""
        deadline = time.monotonic() + within_s
        while self.ask("/readyz")[0] != 200:
            code = self.child.exit_code()
            if code is not None or time.monotonic() > deadline:
                raise TimeoutError(f"not ready (exit code {code}): {self.checks()} {self.tail()}")
            time.sleep(0.1)
        return self

    def tail(self, lines: int = 15) -> str:
        """End of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


def create(brokers: str, topics: Iterable[Topic], partitions: int = PARTITIONS) -> None:
    """Create topics and their dead letters as `multimood topics apply` would."""
    largest = KafkaSettings().max_message_bytes
    wanted: dict[str, Any] = {}
    for topic in topics:
        for name, limit in ((topic.name, topic.max_message_bytes), (topic.dead_letters, largest + DEAD_LETTER_ROOM)):
            configuration = {"max.message.bytes": str(limit)}
            wanted[name] = {"num_partitions": partitions, "replication_factor": 1, "configs": configuration}
    admin = KafkaAdminClient(bootstrap_servers=brokers)
    try:
        admin.create_topics(wanted)
    finally:
        admin.close()


def utterance(run: str, conversation: int | str, number: int | str, text: str = "") -> pb.Utterance:
    """Something said."""
    context = pb.Context(tenant="t", conversation_id=f"{run}-c{conversation}", utterance_id=f"{run}-{number}")
    return pb.Utterance(context=context, manifest=[pb.MODALITY_TEXT], text=text or f"words {number}")


class Writer:
    """Publishes as a platform would."""

    def __init__(self, brokers: str) -> None:
        self._producer = AIOKafkaProducer(
            bootstrap_servers=brokers, acks="all", enable_idempotence=True, max_request_size=4 << 20
        )

    async def __aenter__(self) -> Self:
        await self._producer.start()
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await self._producer.stop()

    async def begin(self, topic: Topic, message: Any, traceparent: str = "") -> Any:
        """Begin to publish an event; await what it gives for the record's place."""
        out = output(topic, message)
        headers = encode_headers(out, "platform", traceparent)
        return await self._producer.send(
            topic.name, message.SerializeToString(), key=key_of(message.context), headers=headers
        )

    async def say(self, topic: Topic, *messages: Any, traceparent: str = "") -> list[Any]:
        """Publish events, in this order."""
        return await asyncio.gather(*[await self.begin(topic, message, traceparent) for message in messages])

    async def raw(
        self, topic: Topic, value: bytes | None, key: bytes | None = b"t/c", headers: Sequence[tuple[str, bytes]] = ()
    ) -> Any:
        """Publish any record."""
        return await self._producer.send_and_wait(topic.name, value, key=key, headers=list(headers))


async def wait_records(brokers: str, name: str, count: int, within_s: float = 30.0) -> list[Any]:
    """Wait until a topic holds so many records, and give them. Raises AssertionError."""
    deadline = time.monotonic() + within_s
    while True:
        found = await records_of(brokers, [name])
        if len(found) >= count:
            return found
        assert time.monotonic() < deadline, f"{len(found)} of {count} records in {name} after {within_s} s"
        await asyncio.sleep(0.3)


def header_of(record: Any, name: str) -> str:
    """Text of a record's header."""
    return next((value.decode() for key, value in record.headers if key == name), "")


async def wait_committed(brokers: str, group: str, topic: Topic, within_s: float = 20.0) -> None:
    """Wait until a group has nothing left to read. Raises AssertionError."""
    deadline = time.monotonic() + within_s
    while True:
        lag = await asyncio.to_thread(lag_of, brokers, group, topic)
        if lag == 0:
            return
        assert time.monotonic() < deadline, f"{group} lags by {lag} in {topic.name} after {within_s} s"
        await asyncio.sleep(0.3)


def lag_of(brokers: str, group: str, topic: Topic) -> int:
    """Records of a topic that a group has not committed."""
    admin = KafkaAdminClient(bootstrap_servers=brokers)
    try:
        committed = admin.list_group_offsets([group])[group]
        from kafka import TopicPartition

        tps = [TopicPartition(topic.name, number) for number in range(PARTITIONS)]
        ends = admin.list_partition_offsets(dict.fromkeys(tps, -1))
        done = {tp: max(0, committed[tp].offset) if tp in committed else 0 for tp in tps}
        return sum(ends[tp].offset - done[tp] for tp in tps)
    finally:
        admin.close()
