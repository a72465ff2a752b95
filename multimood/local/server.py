"""What the supervisor and the tests expect of every part they start."""

import time
from pathlib import Path
from typing import Final, Protocol

from multimood.errors import DeadlineExceededError, UnavailableError
from multimood.local.process import Child, tail

ATTEMPTS: Final = 3


class Server(Protocol):
    """A part of the system: one child process with a way to ask it whether it serves."""

    @property
    def name(self) -> str:
        """Short name, also of its log file."""

    @property
    def child(self) -> Child | None:
        """The process, None before the first start."""

    def start(self) -> None:
        """Start the process; returns before it serves."""

    def ready(self) -> bool:
        """Ask it now, in at most a few seconds. Never raises for a server that is down."""

    def alive(self) -> bool:
        """Ask whether it still works at all; a part that does not for long is restarted. Never raises."""

    def stop(self) -> None:
        """End it and wait: orderly if it listens, by force after its grace."""


def start_and_wait(server: Server, log: Path, timeout_s: float) -> None:
    """Start it and wait until it serves; one that ends meanwhile is started again, as the supervisor would.

    Triton's Python backend now and then breaks its own shared memory and takes the server with it, mostly in its first
    seconds (triton-inference-server/server, issue 8882).

    Raises:
        UnavailableError: it ended `ATTEMPTS` times; the message ends with its last log lines.
        DeadlineExceededError: it did not become ready in time.
    """
    for attempt in range(1, ATTEMPTS + 1):
        server.start()
        try:
            wait_ready(server, log, timeout_s)
        except UnavailableError:
            if attempt == ATTEMPTS:
                raise
            server.stop()
        else:
            return


def wait_ready(server: Server, log: Path, timeout_s: float) -> float:
    """Wait until the server serves; gives the seconds it took.

    Raises:
        UnavailableError: it ended meanwhile; the message ends with its last log lines.
        DeadlineExceededError: it did not become ready in time.
    """
    begin = time.monotonic()
    while not server.ready():
        waited = time.monotonic() - begin
        code = server.child.exit_code() if server.child else None
        if code is not None:
            raise UnavailableError(f"{server.name} ended with code {code} while starting; end of {log}:\n{tail(log)}")
        if waited > timeout_s:
            raise DeadlineExceededError(f"{server.name} not ready after {waited:.0f} s; end of {log}:\n{tail(log)}")
        time.sleep(0.05)
    return time.monotonic() - begin
