"""The parts of a node as processes: started once, each with a log, watched while something waits for them."""

import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tools.cluster.places import ClusterError


@dataclass(slots=True)
class Processes:
    """Everything that was started, by name."""

    logs: Path
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str, argv: Sequence[str], env: Mapping[str, str] | None = None) -> None:
        """Start a part; its log is name.log."""
        with (self.logs / f"{name}.log").open("wb") as log:
            self.running[name] = subprocess.Popen(
                argv, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env={**os.environ, **(env or {})},
            )  # fmt: skip

    def wait(self, what: str, is_there: Callable[[], bool], within_s: float = 120.0) -> None:
        """Wait until something is there.

        Raises:
            ClusterError: a part ended meanwhile, or it took too long; the message has the end of the log.
        """
        deadline = time.monotonic() + within_s
        while not is_there():
            for name, process in self.running.items():
                if process.poll() is not None:
                    raise ClusterError(f"{name} ended with code {process.returncode}:\n{self.tail(name)}")
            if time.monotonic() > deadline:
                raise ClusterError(f"{what}: not within {within_s:.0f} s; the logs are in {self.logs}")
            time.sleep(0.2)

    def tail(self, name: str, lines: int = 15) -> str:
        """Give the end of a part's log."""
        return "\n".join((self.logs / f"{name}.log").read_text(errors="replace").splitlines()[-lines:])
