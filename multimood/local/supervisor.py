"""The background process of the embedded mode: starts the parts, keeps them running, ends them in order."""

import argparse
import asyncio
import importlib
import logging
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from multimood.errors import MultimoodError
from multimood.local.endpoints import kafka_on
from multimood.local.keeper import Keeper, StartError
from multimood.local.parts import assemble, port_names
from multimood.local.places import DataFolder
from multimood.local.ports import NO_DETOURS, assign
from multimood.local.process import Identity
from multimood.local.services import TOPICS_STEP, chosen
from multimood.local.state import PartStatus, SystemState, exclusive
from multimood.settings import KafkaSettings

logger = logging.getLogger(__name__)

TOPICS_WITHIN_S: Final = 60.0


class Supervisor:
    """One embedded system. Runs in the main thread: the kernel kills the parts when that thread ends."""

    def __init__(self, folder: DataFolder, only: Sequence[str] | None, via: Mapping[str, int] = NO_DETOURS) -> None:
        before = SystemState.read(folder)
        if before is not None:
            _end_leftovers(before)
        names = chosen(only)
        ports = assign(port_names(names, via), before.ports if before else None)
        self._folder = folder
        self._threads = ThreadPoolExecutor(max_workers=16, thread_name_prefix="ask")
        self._keepers = [Keeper(part, self._write, self._threads) for part in assemble(folder, ports, names, via)]
        self._events = {keeper.part.name: keeper.ready for keeper in self._keepers}
        identity = Identity.of(os.getpid())
        assert identity is not None
        self._state = SystemState(identity, ports=ports, parts={one.part.name: one.status for one in self._keepers})
        if "kafka" in self._events:
            self._state.parts[TOPICS_STEP] = PartStatus(TOPICS_STEP, "step")
            self._events[TOPICS_STEP] = asyncio.Event()

    async def run(self) -> int:
        """Run until SIGTERM or SIGINT, or until a part cannot be started. Gives the exit code."""
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        self._write()
        stopped = asyncio.create_task(stop.wait())
        work = asyncio.create_task(self._work())
        await asyncio.wait([stopped, work], return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        work.cancel()
        failures = (await asyncio.gather(work, return_exceptions=True))[0]
        await self._end()
        return self._conclude(failures if isinstance(failures, BaseExceptionGroup) else None)

    async def _work(self) -> None:
        async with asyncio.TaskGroup() as group:
            for keeper in self._keepers:
                group.create_task(self._keep(keeper))
            if TOPICS_STEP in self._events:
                group.create_task(self._apply_topics())
            group.create_task(self._announce())

    async def _keep(self, keeper: Keeper) -> None:
        for need in keeper.part.needs:
            await self._events[need].wait()
        await keeper.run()

    async def _apply_topics(self) -> None:
        """Create the topics as soon as the broker takes requests; a broker that just started may refuse some."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._threads, importlib.import_module, "multimood.bus.admin")
        await self._events["kafka"].wait()
        status = self._state.parts[TOPICS_STEP]
        status.condition, status.since = "starting", time.time()
        self._write()
        settings = kafka_on(self._state.ports["kafka"])
        began = time.monotonic()
        while True:
            try:
                made = await loop.run_in_executor(self._threads, _apply, settings)
                break
            except MultimoodError as error:
                if time.monotonic() - began > TOPICS_WITHIN_S:
                    status.condition, status.detail = "failed", str(error)
                    raise StartError(TOPICS_STEP, str(error)) from None
                await asyncio.sleep(0.2)
        status.condition, status.since, status.ready_s = "ready", time.time(), round(time.monotonic() - began, 2)
        status.detail = f"{len(made)} created" if made else ""
        self._events[TOPICS_STEP].set()
        self._write()

    async def _announce(self) -> None:
        for event in self._events.values():
            await event.wait()
        self._state.phase, self._state.ready_s = "ready", round(time.time() - self._state.began, 1)
        logger.info("everything is ready after %.1f s", self._state.ready_s)
        self._write()

    async def _end(self) -> None:
        """Services first, so that they can finish what they began; then what they need."""
        self._state.phase = "stopping"
        self._write()
        for kind in ("service", "server"):
            await asyncio.gather(*(keeper.end() for keeper in self._keepers if keeper.part.kind == kind))

    def _conclude(self, failures: BaseExceptionGroup[BaseException] | None) -> int:
        self._state.phase = "stopped"
        if failures is not None:
            first = failures.exceptions[0]
            self._state.phase = "failed"
            self._state.failure = first.part if isinstance(first, StartError) else "supervisor"
            logger.error(
                "%s: %s", self._state.failure, first, exc_info=None if isinstance(first, StartError) else first
            )
        self._write()
        return 0 if failures is None else 1

    def _write(self) -> None:
        self._state.write(self._folder)


def _apply(settings: KafkaSettings) -> list[str]:
    from multimood.bus.admin import apply_topics  # noqa: PLC0415 - a second of imports, spent while the broker starts

    return apply_topics(settings)


def _end_leftovers(before: SystemState) -> None:
    """Kill exactly what an earlier supervisor started and the kernel did not end with it."""
    for part in before.parts.values():
        if part.identity is not None and part.identity.send(signal.SIGKILL):
            logger.warning("ended %s (pid %d), left over from an earlier system", part.name, part.pid)


def main() -> int:
    """Entry point of `python -m multimood.local.supervisor`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the system's state")
    parser.add_argument("--only", help="comma-separated names of parts; default: all")
    parser.add_argument(
        "--via", default="", help="comma-separated <name of port>=<port>: where proxies for the services listen"
    )
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("kafka").setLevel(logging.ERROR)  # it reports each refused attempt while the broker starts
    os.umask(0o077)
    folder = DataFolder(arguments.data.absolute())
    try:
        with exclusive(folder):
            only = None if arguments.only is None else arguments.only.split(",")
            via = {name: int(port) for name, _, port in (one.partition("=") for one in arguments.via.split(",") if one)}
            return asyncio.run(Supervisor(folder, only, via).run())
    except MultimoodError as error:
        logger.error("%s", error)  # noqa: TRY400 - the message says it all
        return 1


if __name__ == "__main__":
    sys.exit(main())
