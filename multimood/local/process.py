"""A child process that is started, watched and ended exactly: never a process that merely has the same number."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from multimood.errors import ConfigurationError

_START_TIME = 19  # index of `starttime` among the fields after the command name in /proc/<pid>/stat
_STATE = 0
_LARGE_LOG = 32 << 20
NICE: Final = 10
"""Of a child that gives way. The kernel counts a tenth of the weight of one that does not."""
GROUP_TRIES: Final = 30


@dataclass(frozen=True, slots=True)
class Identity:
    """A process and nothing else: numbers are reused, a number with its start time (clock ticks since boot) is not."""

    pid: int
    started: int

    @classmethod
    def of(cls, pid: int) -> "Identity | None":
        """Find the process that has this number now; None if there is none or it is a zombie."""
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            return None
        fields = stat[stat.rindex(")") + 2 :].split()  # the command name may hold spaces and brackets
        return None if fields[_STATE] in "ZX" else cls(pid, int(fields[_START_TIME]))

    def alive(self) -> bool:
        """Tell whether this very process runs."""
        return Identity.of(self.pid) == self

    def send(self, number: signal.Signals) -> bool:
        """Signal this very process; False if it is gone.

        The descriptor is taken before the identity is compared, so the number cannot change owners in between.
        """
        try:
            descriptor = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return False
        try:
            if not self.alive():
                return False
            signal.pidfd_send_signal(descriptor, number)
        except ProcessLookupError:
            return False
        finally:
            os.close(descriptor)
        return True

    def uptime_s(self) -> float:
        """Seconds since it started."""
        return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - self.started / os.sysconf("SC_CLK_TCK"))


class Child:
    """A process in a session of its own, killed by the kernel if the thread that started it dies.

    Start it from a long-lived thread (the main one): the kernel's promise is bound to that thread.

    One that `gives_way` gets a tenth of the processor where one that does not wants it too, and all that is left over.
    """

    def __init__(
        self, argv: Sequence[str], *, log: Path, env: Mapping[str, str], cwd: Path | None = None,
        gives_way: bool = False,
    ) -> None:  # fmt: skip
        _make_room(log)
        with log.open("ab") as out:
            self._process = _spawn(["nice", "-n", str(NICE), *argv] if gives_way else argv, out, env, cwd)
        if gives_way:
            _group_gives_way(self._process.pid)
        identity = Identity.of(self._process.pid)
        # Unreaped, so at worst a zombie: then the number is ours alone and any start time will never match.
        self.identity = identity or Identity(self._process.pid, -1)

    @property
    def pid(self) -> int:
        """Process id, also of its session and group."""
        return self._process.pid

    def exit_code(self) -> int | None:
        """None while it runs; negative: the signal that ended it. What it left in its group is ended with it."""
        if self._process.returncode is None and self._ended():
            self._sweep()
        return self._process.poll()

    def send(self, number: signal.Signals) -> None:
        """Signal the process (not its group); nothing happens when it has ended."""
        # Not Popen.send_signal: it would reap a process that has just ended, before its group is ended too.
        if not self._ended():
            os.kill(self.pid, number)

    def stop(self, grace_s: float) -> int:
        """SIGTERM, after the grace SIGKILL to the whole group. Gives the exit code."""
        self.send(signal.SIGTERM)
        deadline = time.monotonic() + grace_s
        while not self._ended() and time.monotonic() < deadline:
            time.sleep(0.02)
        return self.kill()

    def kill(self) -> int:
        """SIGKILL to the whole group, then wait."""
        if self._process.returncode is None:
            self._sweep()
        return self._process.wait()

    def _ended(self) -> bool:
        """Look without reaping: the number stays ours, so that its group can still be signalled safely."""
        if self._process.returncode is not None:
            return True
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def _sweep(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):  # only the zombie is left in it
            os.killpg(self.pid, signal.SIGKILL)


def _spawn(argv: Sequence[str], out: IO[bytes], env: Mapping[str, str], cwd: Path | None) -> "subprocess.Popen[bytes]":
    # setpriv becomes the shell, which becomes the program (same pid). A preexec_fn would do the same between fork and
    # exec, where Python code may deadlock once other threads exist. If the parent was killed before the kernel had made
    # its promise, the child has another one by now, and ends.
    ours = '[ "$PPID" = "$0" ] && exec "$@"'
    command = ["setpriv", "--pdeathsig", "KILL", "--", "sh", "-c", ours, str(os.getpid()), *argv]
    try:
        return subprocess.Popen(  # noqa: S603 - the argv is ours
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, env=dict(env), cwd=cwd,
            start_new_session=True,
        )  # fmt: skip
    except FileNotFoundError as missing:
        raise ConfigurationError("setpriv is not on the PATH: install util-linux") from missing


def _group_gives_way(session: int) -> None:
    """Where the kernel shares the processor among sessions (autogroup), a niceness counts only inside of its own."""
    for _ in range(GROUP_TRIES):
        try:
            Path(f"/proc/{session}/autogroup").write_text(str(NICE))
        except BlockingIOError:  # one in a tenth of a second may be changed, by whoever is not root
            time.sleep(0.1)
        except OSError:
            return  # there are no such groups, or the child has ended
        else:
            return


def _make_room(log: Path) -> None:
    """Begin a new file when the old one is large; one old file is kept."""
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists() and log.stat().st_size > _LARGE_LOG:
        log.replace(log.with_suffix(".log.1"))


def tail(log: Path, lines: int = 15) -> str:
    """Last lines of a log file, or an empty text."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 200 * lines))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])
    except OSError:
        return ""
