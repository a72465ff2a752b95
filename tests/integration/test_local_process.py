"""Processes are started, watched and ended exactly."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from multimood.local.process import NICE, Child, Identity, tail

pytestmark = pytest.mark.integration


def eventually(holds: Callable[[], bool], within_s: float = 10.0) -> bool:
    deadline = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def python(code: str, log: Path) -> Child:
    return Child([sys.executable, "-u", "-c", textwrap.dedent(code)], log=log, env=dict(os.environ))


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "child.log"


def test_a_number_reused_by_another_process_is_never_signalled() -> None:
    with subprocess.Popen(["sleep", "60"]) as other:
        real = Identity.of(other.pid)
        assert real is not None
        impostor = Identity(other.pid, real.started - 1)
        assert not impostor.alive()
        assert not impostor.send(signal.SIGKILL)
        assert other.poll() is None
        assert real.send(signal.SIGTERM)
        assert other.wait(10) == -signal.SIGTERM
    assert Identity.of(other.pid) is None


def test_an_orderly_child_is_given_its_time(log: Path) -> None:
    child = python(
        """
        import signal, time
        signal.signal(signal.SIGTERM, lambda *_: (print("clearing up"), time.sleep(0.3), exit(7)))
        print("up")
        signal.pause()
        """,
        log,
    )
    assert eventually(lambda: "up" in tail(log))
    assert child.exit_code() is None
    assert child.stop(grace_s=10) == 7
    assert "clearing up" in tail(log)


def test_a_deaf_child_and_its_children_are_killed_after_the_grace(log: Path) -> None:
    child = python(
        """
        import signal, subprocess
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print(subprocess.Popen(["sleep", "60"]).pid)
        signal.pause()
        """,
        log,
    )
    assert eventually(lambda: tail(log).strip().isdigit())
    grandchild = Identity.of(int(tail(log)))
    assert grandchild is not None
    begin = time.monotonic()
    assert child.stop(grace_s=0.3) == -signal.SIGKILL
    assert time.monotonic() - begin < 5
    assert eventually(lambda: not grandchild.alive())


def test_what_a_dead_child_left_in_its_group_ends_with_it(log: Path) -> None:
    child = python(
        """
        import subprocess
        print(subprocess.Popen(["sleep", "60"]).pid)
        """,
        log,
    )
    assert eventually(lambda: child.exit_code() == 0)
    left = Identity.of(int(tail(log)))
    assert left is None or eventually(lambda: not left.alive())


def test_children_end_with_a_parent_that_is_killed(tmp_path: Path, log: Path) -> None:
    code = f"""
        import os, signal
        from pathlib import Path
        from multimood.local.process import Child
        print(Child(["sleep", "60"], log=Path({str(tmp_path / "grandchild.log")!r}), env=dict(os.environ)).pid)
        signal.pause()
        """
    parent = subprocess.Popen([sys.executable, "-u", "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = Identity.of(int(parent.stdout.readline()))
    assert child is not None
    assert child.alive()
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert eventually(lambda: not child.alive())


def test_a_child_gives_way_with_all_that_it_starts(log: Path) -> None:
    group = Path("/proc/self/autogroup")
    show = f"sleep 0.5; nice; cut -d' ' -f3 {group}" if group.exists() else "sleep 0.5; nice; echo {nice}"
    for gives_way, nice in ((True, NICE), (False, 0)):
        child = Child(["sh", "-c", show.format(nice=nice)], log=log, env=dict(os.environ), gives_way=gives_way)
        assert eventually(lambda: child.exit_code() is not None)  # noqa: B023 - asked at once
        assert tail(log, 2).split() == [str(min(19, os.nice(0) + nice)), str(nice)]


def test_a_large_log_is_put_aside_once(log: Path) -> None:
    log.write_bytes(b"x" * (33 << 20))
    python("print('fresh')", log).stop(grace_s=5)
    assert log.stat().st_size < 100
    assert log.with_suffix(".log.1").stat().st_size == 33 << 20
