"""An embedded system for the length of a `with` block: what tests and benchmarks run against."""

import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from multimood.errors import DeadlineExceededError, NotFoundError, UnavailableError
from multimood.local.endpoints import Endpoints
from multimood.local.places import DataFolder, checkout
from multimood.local.ports import NO_DETOURS
from multimood.local.process import Child, tail
from multimood.local.services import SERVERS, SERVICES
from multimood.local.state import PartStatus, SystemState
from multimood.settings import StoreSettings

STOP_WITHIN_S: Final = 60.0


def command(data: Path, only: Sequence[str] | None, via: Mapping[str, int] = NO_DETOURS) -> list[str]:
    """Give the command line that supervises a system in the folder."""
    argv = [sys.executable, "-m", "multimood.local.supervisor", "--data", str(data)]
    argv += [] if only is None else ["--only", ",".join(only)]
    return [*argv, "--via", ",".join(f"{name}={port}" for name, port in via.items())] if via else argv


def explain(folder: DataFolder, state: SystemState | None) -> str:
    """Say in a few lines why a start failed: the part, what became of it, the end of its log."""
    part = state.parts.get(state.failure) if state else None
    if part is None:
        return f"the supervisor ended; end of {folder.log('supervisor')}:\n{tail(folder.log('supervisor'))}"
    log = folder.log(part.name)
    ending = f"; end of {log}:\n{tail(log)}" if log.exists() else ""
    return f"{part.name} did not start: {part.detail}{ending}"


class Stack:
    """The chosen servers and services, all of them by default, supervised as `multimood up` does it.

    `via`: where proxies for the services listen (see `multimood.local.parts.assemble`).

    Use it from a long-lived thread (the main one): the kernel kills the system when that thread ends.
    """

    def __init__(
        self,
        data: Path,
        services: Sequence[str] | None = None,
        servers: Sequence[str] = SERVERS,
        *,
        env: Mapping[str, str] | None = None,
        via: Mapping[str, int] = NO_DETOURS,
        start_within_s: float = 300.0,
    ) -> None:
        self._folder = DataFolder(data.absolute())
        self._only = (*servers, *((service.name for service in SERVICES) if services is None else services))
        self._extra = dict(env or {})
        self._via = via
        self._start_within_s = start_within_s
        self._supervisor: Child | None = None
        self._endpoints: Endpoints | None = None

    def __enter__(self) -> Self:
        """Start everything and wait until it is ready.

        Raises:
            UnavailableError: a part did not start; the message ends with the last lines of its log.
        """
        self._supervisor = Child(
            command(self._folder.root, self._only, self._via),
            log=self._folder.log("supervisor"),
            env={**os.environ, **self._extra},
            cwd=checkout(),
        )
        try:
            self._await_start(self._supervisor)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End everything, in order."""
        if self._supervisor is not None:
            self._supervisor.stop(STOP_WITHIN_S)

    @property
    def endpoints(self) -> Endpoints:
        """Addresses and credentials."""
        if self._endpoints is None:
            raise UnavailableError("the system was not started: use Stack in a with statement")
        return self._endpoints

    @property
    def env(self) -> dict[str, str]:
        """Environment variables for clients of the system."""
        return self.endpoints.env

    @property
    def kafka_brokers(self) -> str:
        """Address (host:port) of the broker."""
        return self.endpoints.kafka_brokers

    @property
    def s3(self) -> StoreSettings:
        """The store, with its credentials."""
        return self.endpoints.s3

    @property
    def triton_url(self) -> str:
        """Address (host:port) of Triton's gRPC endpoint."""
        return self.endpoints.triton_url

    @property
    def gateway(self) -> str:
        """Address (host:port) of the gateway's gRPC endpoint."""
        return self.endpoints.gateway

    @property
    def api_key(self) -> str:
        """A key that the gateway accepts."""
        return self.endpoints.api_key

    @property
    def services(self) -> dict[str, PartStatus]:
        """The services as they are now."""
        return {name: part for name, part in self.parts.items() if part.kind == "service"}

    @property
    def parts(self) -> dict[str, PartStatus]:
        """Servers and services as they are now."""
        return self._state().parts

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> PartStatus:
        """Signal a part; gives its status from before.

        Raises:
            NotFoundError: no such part, or it has no process at the moment.
        """
        part = self.parts.get(name)
        if part is None or part.identity is None or not part.identity.send(number):
            raise NotFoundError(f"{name!r} has no process to signal")
        return part

    def wait_ready(self, name: str, *, restarts: int = 0, timeout_s: float = 60.0) -> PartStatus:
        """Wait until the part is ready and was started again at least so many times.

        Raises:
            NotFoundError: no such part.
            DeadlineExceededError: not within the time.
        """
        if name not in self.parts:
            raise NotFoundError(f"no part {name!r}; there are {', '.join(self.parts)}")
        deadline = time.monotonic() + timeout_s
        while True:
            part = self.parts[name]
            if part.condition == "ready" and part.restarts >= restarts:
                return part
            if time.monotonic() > deadline:
                raise DeadlineExceededError(f"{name} is {part.condition} after {timeout_s:.0f} s: {part.detail}")
            time.sleep(0.05)

    def _await_start(self, supervisor: Child) -> None:
        deadline = time.monotonic() + self._start_within_s
        while True:
            state = SystemState.read(self._folder)
            ours = state is not None and state.supervisor == supervisor.identity
            if state and ours and state.phase == "ready":
                self._endpoints = Endpoints(self._folder, state.ports)
                return
            if supervisor.exit_code() is not None:
                raise UnavailableError(explain(self._folder, SystemState.read(self._folder) if ours else None))
            if time.monotonic() > deadline:
                late = [part.name for part in state.parts.values() if part.ready_s is None] if state else ["supervisor"]
                raise DeadlineExceededError(f"not ready after {self._start_within_s:.0f} s: {', '.join(late)}")
            time.sleep(0.1)

    def _state(self) -> SystemState:
        state = SystemState.read(self._folder)
        if state is None or not state.running:
            raise UnavailableError(f"no system runs in {self._folder.root}")
        return state
