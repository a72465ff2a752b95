"""Keeps one part running: starts it, asks it how it is, starts it again when it ends or falls silent."""

import asyncio
import logging
import os
import time
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Final, NoReturn, TypeVar

from multimood.errors import ConfigurationError, MultimoodError, UnavailableError
from multimood.local.parts import Part
from multimood.local.process import Child
from multimood.local.state import Condition, PartStatus

T = TypeVar("T")
logger = logging.getLogger(__name__)

POLL_S: Final = 0.1
"""How often a starting part is asked whether it is ready."""
LOOK_S: Final = 5.0
"""How often a running part is asked how it is."""
SILENT_S: Final = 30.0
"""A part that says nothing for so long is taken for hung; on a loaded machine a shorter silence is normal."""
START_ATTEMPTS: Final = 3
BACKOFF_S: Final = (0.1, 0.5, 2.0, 5.0, 15.0, 30.0)
HEAL_EVERY_S: Final = 10.0
STEADY_S: Final = 15.0
"""A part that ran this long starts over with the shortest backoff."""


class StartError(Exception):
    """A part never became ready; the message says why."""

    def __init__(self, part: str, why: str) -> None:
        super().__init__(why)
        self.part = part


class Keeper:
    """The life of one part. Must be used from the main thread's event loop (see `Child`)."""

    def __init__(self, part: Part, changed: Callable[[], None], threads: Executor) -> None:
        self.part = part
        self.status = PartStatus(part.name, part.kind, port=part.port)
        self.ready = asyncio.Event()
        """Set at the first readiness and never cleared: others start after it, they do not stop with it."""
        self._changed = changed
        self._heal_at = 0.0
        self._threads = threads

    async def run(self) -> None:
        """Keep the part running until cancelled.

        Raises:
            StartError: it ended or timed out START_ATTEMPTS times without ever being ready.
        """
        lives = 0
        while True:
            began = time.monotonic()
            try:
                why = await self._live()
            except ConfigurationError as error:
                self._fail(str(error))
            lives = 1 if time.monotonic() - began > STEADY_S else lives + 1
            if not self.ready.is_set() and lives >= START_ATTEMPTS:
                self._fail(why)
            self.status.restarts += 1
            self._set("restarting", why)
            logger.warning("%s: %s; starting it again", self.part.name, why)
            await asyncio.sleep(BACKOFF_S[min(lives, len(BACKOFF_S)) - 1])

    async def end(self) -> None:
        """Stop the part, after `run` was cancelled."""
        failed = self.status.condition == "failed"
        if self.status.pid and not failed:
            self._set("stopping")
        await self._in_thread(self.part.server.stop)
        self.status.pid = 0
        if not failed:
            self._set("stopped")

    async def _live(self) -> str:
        """One life of the process, from start to end. Gives why it ended."""
        server = self.part.server
        try:
            server.start()
        except ConfigurationError:
            raise
        except MultimoodError as error:
            return str(error)
        child = server.child
        assert child is not None
        self.status.pid, self.status.started = child.identity.pid, child.identity.started
        self._set("starting")
        ended = asyncio.create_task(_ended(child))
        try:
            why = await self._until_ready(ended) or await self._look_after(ended)
        finally:
            ended.cancel()
        await self._in_thread(child.kill)  # nothing if it ended by itself
        await self._in_thread(server.stop)  # what else the server has to clear away
        self.status.pid = 0
        return why

    async def _until_ready(self, ended: "asyncio.Task[str]") -> str:
        """Wait for readiness. Gives why it never came, or nothing."""
        began = time.monotonic()
        while not await self._in_thread(self.part.server.ready):
            if time.monotonic() - began > self.part.start_within_s:
                return f"not ready after {self.part.start_within_s:.0f} s"
            await asyncio.wait([ended], timeout=POLL_S)
            if ended.done():
                return ended.result()
        self.status.ready_s = round(time.monotonic() - began, 2)
        self._set("ready")
        self.ready.set()
        logger.info("%s: ready after %.1f s", self.part.name, self.status.ready_s)
        return ""

    async def _look_after(self, ended: "asyncio.Task[str]") -> str:
        """Ask the part how it is until it ends. Gives why it ended, or was ended."""
        heard = time.monotonic()
        while time.monotonic() - heard < SILENT_S:
            await asyncio.wait([ended], timeout=LOOK_S)
            if ended.done():
                return ended.result()
            if hopeless := await self._heal():
                return hopeless
            is_alive = await self._in_thread(self.part.server.alive)
            heard = time.monotonic() if is_alive else heard
            is_ready = is_alive and await self._in_thread(self.part.server.ready)
            condition: Condition = "ready" if is_ready else "not ready"
            if condition != self.status.condition:
                self._set(condition, "" if is_ready else "waits for something it needs" if is_alive else "silent")
        return f"no sign of life for {SILENT_S:.0f} s"

    async def _heal(self) -> str:
        """Repair what died inside the part. Gives why that cannot be done, or nothing."""
        if self.part.heal is None or time.monotonic() < self._heal_at:
            return ""
        self._heal_at = time.monotonic() + HEAL_EVERY_S
        try:
            healed = await self._in_thread(self.part.heal)
        except UnavailableError as error:
            return str(error)
        if healed:
            logger.warning("%s: revived %s", self.part.name, ", ".join(healed))
            self.status.detail = f"revived {', '.join(healed)}"
            self._changed()
        return ""

    def _fail(self, why: str) -> NoReturn:
        self._set("failed", why)
        raise StartError(self.part.name, why)

    def _set(self, condition: Condition, detail: str = "") -> None:
        self.status.condition, self.status.detail, self.status.since = condition, detail, time.time()
        self._changed()

    async def _in_thread(self, ask: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, ask)


async def _ended(child: Child) -> str:
    """Wait for the end of a process, noticing it at once. Gives a description of it."""
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    descriptor = os.pidfd_open(child.pid)  # it is not reaped before `exit_code`, so the number is its own
    loop.add_reader(descriptor, over.set)
    try:
        await over.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
    code = child.exit_code()
    assert code is not None
    return f"ended by signal {-code}" if code < 0 else f"ended with code {code}"
