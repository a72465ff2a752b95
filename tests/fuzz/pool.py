"""Child processes that run cases, and the one who watches them: a crash or a hang ends a child, never the run."""

import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from fuzz.outcome import Outcome

TESTS = Path(__file__).parents[1]
START_S = 60.0
"""A child imports half the product before its first answer."""
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
RENEWED_AFTER = 5_000
"""Cases after which a child is replaced, so that what leaks a little does not look like one case's peak."""


class Child:
    """One process and the case it is at."""

    def __init__(self, kind: str, seed: str, scratch: Path) -> None:
        self.input = scratch / f"{id(self)}.input"
        """Where a child that handles files puts the one that it is at."""
        path = os.pathsep.join((str(TESTS), str(TESTS.parent)))
        with (scratch / "errors.log").open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "fuzz.child", kind, seed], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=errors, env={**os.environ, "PYTHONPATH": path, "FUZZ_INPUT": str(self.input), **ONE_THREAD},
            )  # fmt: skip
        self.ran = 0

    def run(self, target: str, number: int, limit_s: float) -> Outcome:
        """Run a case. Ends the process when the case does not end."""
        process, begin = self._process, time.monotonic()
        assert process.stdin is not None
        assert process.stdout is not None
        limit_s += 0 if self.ran else START_S
        self.ran += 1
        try:
            process.stdin.write(f"{target} {number}\n".encode())
            process.stdin.flush()
        except BrokenPipeError:
            pass
        answer = b""
        while not answer.endswith(b"\n"):
            left = begin + limit_s - time.monotonic()
            if left <= 0 or not select.select([process.stdout], [], [], left)[0]:
                self.end()
                return Outcome("finding", time.monotonic() - begin, finding=f"hang: no end within {limit_s:g} s")
            piece = os.read(process.stdout.fileno(), 65_536)
            if not piece:
                return Outcome("finding", time.monotonic() - begin, finding=f"crash: {_end_of(process)}")
            answer += piece
        return Outcome(**json.loads(answer))

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def end(self) -> None:
        """Kill it."""
        self._process.kill()
        self._process.wait()


def _end_of(process: "subprocess.Popen[bytes]") -> str:
    code = process.wait()
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def run_all(
    kind: str,
    seed: str,
    cases: Sequence[tuple[str, int]],
    *,
    limit_s: float,
    processes: int,
    scratch: Path,
    seen: Callable[[str, int, Outcome, Path], None],
) -> None:
    """Run cases, several at once; `seen` is told of each end and where its input is, one at a time."""
    waiting, lock = iter(cases), threading.Lock()

    def take() -> Iterator[tuple[str, int]]:
        while True:
            with lock:
                case = next(waiting, None)
            if case is None:
                return
            yield case

    def work() -> None:
        child = Child(kind, seed, scratch)
        try:
            for target, number in take():
                if not child.alive or child.ran >= RENEWED_AFTER:
                    child.end()
                    child = Child(kind, seed, scratch)
                outcome = child.run(target, number, limit_s)
                with lock:
                    seen(target, number, outcome, child.input)
        finally:
            child.end()

    threads = [threading.Thread(target=work) for _ in range(processes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
