"""Each dependency is frozen and killed in turn while utterances flow: who needs it says so, nobody grows or restarts,
and afterwards every utterance has its outcome.

MULTIMOOD_OUTAGE_S is how long each is down, MULTIMOOD_OUTAGE_REPORT where the figures go (JSON).
"""

import asyncio
import json
import logging
import os
import secrets
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest
from own_system import OwnSystem
from real_clips import Clips

from benchmarks.memory import peaks, sample
from multimood.audit.reading import audit
from multimood.audit.summary import Summary
from multimood.client import TurnInput
from multimood.local.kafka import KafkaServer
from multimood.local.parts import TRITON_PORTS
from multimood.local.ports import HOST, assign
from multimood.local.process import Child
from multimood.local.server import Server, wait_ready
from multimood.local.services import SERVICES
from multimood.local.store import ObjectStore
from multimood.local.triton import TritonServer
from multimood.settings import StoreSettings

logger = logging.getLogger(__name__)

OUTAGE_S = float(os.environ.get("MULTIMOOD_OUTAGE_S", "7"))
"""Longer than a group's session timeout (6 s, tests/service_process.py): who is frozen is taken for dead meanwhile."""
REPORT = os.environ.get("MULTIMOOD_OUTAGE_REPORT", "")
pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600 + 16 * int(OUTAGE_S))]

TESTS = Path(__file__).parent.parent
EVERY_S = 0.4
"""Somebody says something."""
CRISIS_EVERY, SOUND_EVERY, FILM_EVERY = 10, 8, 15
NOTICED_WITHIN_S = 60.0
BACK_WITHIN_S = 120.0
SETTLE_S = 180.0
MAY_GROW_MB = 150.0
"""During an outage, in one service: what waits is bounded by numbers, and decoded media are large."""

ALL = frozenset(f"{service.name}-0" for service in SERVICES)


def of(*services: str) -> frozenset[str]:
    return frozenset(f"{service}-0" for service in services)


NEED = {
    "broker": ALL,
    "store": of("audio_encoder", "video_encoder", "reward"),
    "triton": of("text_encoder", "audio_encoder", "video_encoder", "strategist"),
    "llm": of("responder"),
}
"""Who is not ready without it. The gateway takes words without the store, reward scores without its judge."""
OUTAGES = [(name, blow) for name in NEED for blow in (signal.SIGSTOP, signal.SIGKILL)]


class LanguageModel:
    """An endpoint in a process of its own."""

    name = "llm"

    def __init__(self, folder: Path) -> None:
        self.log = folder / "llm.log"
        self.child: Child | None = None
        self._port = assign(["llm"])["llm"]
        self.url = f"http://{HOST}:{self._port}/v1"

    def start(self) -> None:
        argv = [sys.executable, "-m", "llm_process", str(self._port)]
        self.child = Child(argv, log=self.log, env={**os.environ, "PYTHONPATH": str(TESTS)})

    def ready(self) -> bool:
        """Services ask it themselves."""
        return True

    alive = ready

    def stop(self) -> None:
        if self.child:
            self.child.kill()


@dataclass(frozen=True)
class World:
    """The services, and what they depend on."""

    system: OwnSystem
    servers: dict[str, Server]

    def freeze(self, name: str) -> None:
        """It takes connections and says nothing. Triton's models run on: they are asked by nobody."""
        self._child(name).send(signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        self._child(name).send(signal.SIGCONT)

    def kill(self, name: str) -> None:
        self._child(name).kill()

    def start(self, name: str) -> None:
        self.servers[name].start()

    def _child(self, name: str) -> Child:
        child = self.servers[name].child
        assert child is not None
        return child


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    ports = assign((*KafkaServer.PORTS, *ObjectStore.PORTS, *TRITON_PORTS))
    buckets = StoreSettings().media_bucket, StoreSettings().experience_bucket, StoreSettings().keys_bucket
    kafka = KafkaServer(tmp_path / "kafka", tmp_path / "kafka.log", ports["kafka"], ports["kafka.controller"])
    store = ObjectStore(tmp_path / "store", tmp_path / "store.log", ports, buckets)
    triton = TritonServer(tmp_path / "triton.log", ports)
    llm = LanguageModel(tmp_path)
    servers: dict[str, Server] = {"broker": kafka, "store": store, "triton": triton, "llm": llm}
    with ExitStack() as stack:
        for server in servers.values():
            server.start()
            stack.callback(server.stop)
        for server, log in ((kafka, kafka.log), (store, store.log), (triton, triton.log)):
            wait_ready(server, log, 240)
        system = OwnSystem(tmp_path, kafka, store, triton, llm.url, MULTIMOOD_RESPONDER_GENERATIONS="8")
        stack.callback(system.stop)
        for service in SERVICES:
            system.start(service.name)
        yield World(system, servers)


class Platform:
    """Says something again and again, whatever happens; what was not confirmed is sent again."""

    def __init__(self, system: OwnSystem, clips: Clips) -> None:
        self.confirmed: list[str] = []
        self._system = system
        self._clips = clips
        self._run = f"out-{secrets.token_hex(3)}"

    async def speak(self, until: asyncio.Event) -> int:
        """Gives how many turns there were, once all are confirmed."""
        number = 0
        async with self._system.client("gateway-0") as client, asyncio.TaskGroup() as group:

            async def publish(turn: TurnInput) -> None:
                await self._system.publish(turn, [client], within_s=OUTAGE_S + BACK_WITHIN_S)
                self.confirmed.append(turn.utterance_id)

            while not until.is_set():
                group.create_task(publish(self._turn(number)))
                number += 1
                await asyncio.sleep(EVERY_S)
        return number

    def _turn(self, number: int) -> TurnInput:
        crisis, sound, film = (number % every == every - 1 for every in (CRISIS_EVERY, SOUND_EVERY, FILM_EVERY))
        return TurnInput(
            f"{self._run}-c{number % 20}", utterance_id=f"{self._run}-u{number}",
            text="I want to kill myself." if crisis else f"This is worry number {number}.",
            audio=self._clips.audio if sound else b"", video=self._clips.video if film else b"",
            learning_consent=number % 2 == 0,
        )  # fmt: skip


@dataclass
class Outage:
    """What was seen of one."""

    dependency: str
    blow: str
    noticed_s: float = 0.0
    """Until everybody who needs it said so."""
    back_s: float = 0.0
    """From its return until everybody was ready again; a killed server's start is in it."""
    grown_mb: dict[str, float] | None = None
    """By service, above what it held before, at most."""


async def unready(system: OwnSystem) -> frozenset[str]:
    answers = await asyncio.gather(*(system.is_ready(name) for name in ALL))
    return frozenset(name for name, ready in zip(ALL, answers, strict=True) if not ready)


async def until(system: OwnSystem, wanted: Callable[[frozenset[str]], bool], within_s: float, what: str) -> float:
    """Wait until those who are not ready are as wanted; gives the seconds."""
    began = time.monotonic()
    while not wanted(found := await unready(system)):
        assert time.monotonic() - began < within_s, f"{what}: not ready are {sorted(found)}"
        await asyncio.sleep(0.2)
    return round(time.monotonic() - began, 1)


async def suffer(world: World, name: str, blow: signal.Signals) -> Outage:
    """One outage from beginning to end."""
    seen, need, system = Outage(name, blow.name), NEED[name], world.system
    pids = system.pids()
    before = sample(pids)
    async with peaks(pids) as most:
        began = time.monotonic()
        (world.freeze if blow is signal.SIGSTOP else world.kill)(name)
        seen.noticed_s = await until(system, lambda found: found == need, NOTICED_WITHIN_S, f"{name} is down")
        while time.monotonic() - began < OUTAGE_S:
            assert need <= await unready(system), f"{name} is down, and somebody who needs it is ready"
            await asyncio.sleep(0.5)
        (world.thaw if blow is signal.SIGSTOP else world.start)(name)
        seen.back_s = await until(system, lambda found: not found, BACK_WITHIN_S, f"{name} is back")
    seen.grown_mb = {who: round(most[who] - before[who], 1) for who in sorted(before)}
    assert system.pids() == pids, "a service ended"
    return seen


async def settled(system: OwnSystem, confirmed: list[str]) -> Summary:
    deadline = time.monotonic() + SETTLE_S
    while True:
        summary = await audit(system.kafka, system.s3, confirmed=confirmed)
        if (summary.is_sound and summary.is_whole) or time.monotonic() > deadline:
            return summary
        await asyncio.sleep(3)


async def test_each_dependency_may_go_away_and_come_back(world: World, clips: Clips) -> None:
    system, over = world.system, asyncio.Event()
    await system.ready(ALL, within_s=120)
    platform = Platform(system, clips)
    speaking = asyncio.create_task(platform.speak(over))
    await asyncio.sleep(5)
    seen = []
    for name, blow in OUTAGES:
        seen.append(await suffer(world, name, blow))
        logger.warning("%s", seen[-1])
        await asyncio.sleep(2)
    over.set()
    said = await asyncio.wait_for(speaking, OUTAGE_S + BACK_WITHIN_S)
    summary = await settled(system, platform.confirmed)
    report: dict[str, Any] = {
        "outage_s": OUTAGE_S, "outages": [asdict(one) for one in seen], "outcomes": summary.as_json(),
        "mb_at_the_end": sample(system.pids()),
    }  # fmt: skip
    logger.warning("%s", summary.as_json())
    if REPORT:
        Path(REPORT).write_text(json.dumps(report, indent=1) + "\n")  # noqa: ASYNC240 - nothing goes on any more

    assert summary.accepted == len(platform.confirmed) == said
    assert summary.is_sound, summary.as_json()
    assert summary.is_whole, summary.as_json()
    assert not summary.outcomes["rejected"], summary.as_json()
    for one in seen:
        assert one.grown_mb is not None
        assert {who: grown for who, grown in one.grown_mb.items() if grown > MAY_GROW_MB} == {}, one
