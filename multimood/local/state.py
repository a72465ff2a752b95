"""What the supervisor tells the world: one JSON file, replaced whole at every change, read by everyone else."""

import fcntl
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from multimood.errors import UnavailableError
from multimood.local.places import DataFolder
from multimood.local.process import Identity

Phase = Literal["starting", "ready", "stopping", "stopped", "failed"]
Condition = Literal["waiting", "starting", "ready", "not ready", "restarting", "stopping", "stopped", "failed"]


@dataclass(slots=True)
class PartStatus:
    """One part: a server, a service, or the step that creates the topics."""

    name: str
    kind: Literal["server", "step", "service"]
    condition: Condition = "waiting"
    pid: int = 0
    started: int = 0
    """Start time of the process in clock ticks since boot; with the pid it names the process for good."""
    port: int = 0
    since: float = field(default_factory=time.time)
    """Unix time of the last change of condition."""
    ready_s: float | None = None
    """How long the last start took."""
    restarts: int = 0
    detail: str = ""

    @property
    def identity(self) -> Identity | None:
        """The process, None while there is none."""
        return Identity(self.pid, self.started) if self.pid else None


@dataclass(slots=True)
class SystemState:
    """The whole system."""

    supervisor: Identity
    phase: Phase = "starting"
    began: float = field(default_factory=time.time)
    ready_s: float | None = None
    failure: str = ""
    """Name of the part that made the start fail."""
    ports: dict[str, int] = field(default_factory=dict)
    parts: dict[str, PartStatus] = field(default_factory=dict)

    @property
    def running(self) -> bool:
        """The supervisor lives."""
        return self.supervisor.alive()

    def write(self, folder: DataFolder) -> None:
        """Replace the file. No secrets are in it; those have files of their own."""
        part = folder.state.with_suffix(".part")
        part.write_text(json.dumps(asdict(self), indent=1))
        part.replace(folder.state)

    @classmethod
    def read(cls, folder: DataFolder) -> "SystemState | None":
        """Read the last state written, also of a system that is gone; None if there never was one."""
        try:
            raw: dict[str, Any] = json.loads((folder.root / "run" / "state.json").read_text())
            parts = {name: PartStatus(**part) for name, part in raw.pop("parts").items()}
            return cls(supervisor=Identity(**raw.pop("supervisor")), parts=parts, **raw)
        except (
            FileNotFoundError,
            ValueError,
            TypeError,
            KeyError,
            AttributeError,
        ):  # never written, or by another version
            return None


@contextmanager
def exclusive(folder: DataFolder) -> Iterator[None]:
    """Own the data folder while the block runs; the kernel ends the ownership with the process.

    Raises:
        UnavailableError: another supervisor owns it.
    """
    with folder.lock.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UnavailableError(f"a system already runs in {folder.root}: `multimood down` ends it") from None
        yield
