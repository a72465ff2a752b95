"""The supervisor with real parts: it restarts what dies, ends what it started, and leaves everything else alone."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from kafka import KafkaAdminClient

from multimood.errors import NotFoundError, UnavailableError
from multimood.local.places import DataFolder
from multimood.local.process import Identity
from multimood.local.stack import Stack
from multimood.local.state import SystemState, exclusive
from multimood.topics import TOPICS

pytestmark = pytest.mark.integration

SERVICE = "joiner"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Broker, store and one service that needs nothing else."""
    with Stack(tmp_path_factory.mktemp("small"), services=[SERVICE], servers=["kafka", "store"]) as running:
        yield running


def multimood(*arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [str(Path(sys.executable).parent / "multimood"), *arguments]
    return subprocess.run(argv, capture_output=True, text=True, timeout=110, check=False)


def test_topics_are_there_when_it_is_ready(small: Stack) -> None:
    admin = KafkaAdminClient(bootstrap_servers=small.kafka_brokers)
    try:
        assert {topic.name for topic in TOPICS} <= set(admin.list_topics())
    finally:
        admin.close()


def test_a_killed_service_is_back_within_seconds(small: Stack) -> None:
    before = small.services[SERVICE]
    begin = time.monotonic()
    small.kill(SERVICE)
    after = small.wait_ready(SERVICE, restarts=before.restarts + 1)
    assert time.monotonic() - begin < 20
    assert after.identity != before.identity
    assert after.port == before.port
    assert Identity.of(before.pid) != before.identity


@pytest.mark.parametrize("name", ["kafka", "store"])
def test_a_killed_server_is_back_on_the_same_port(small: Stack, name: str) -> None:
    before = small.parts[name]
    small.kill(name)
    after = small.wait_ready(name, restarts=before.restarts + 1)
    assert after.identity != before.identity
    assert after.port == before.port
    small.wait_ready(SERVICE)


def test_a_service_that_ends_in_order_is_started_again_too(small: Stack) -> None:
    before = small.services[SERVICE]
    small.kill(SERVICE, signal.SIGTERM)
    assert small.wait_ready(SERVICE, restarts=before.restarts + 1).identity != before.identity


def test_an_unknown_part_cannot_be_killed(small: Stack) -> None:
    with pytest.raises(NotFoundError, match="nobody"):
        small.kill("nobody")


def test_a_folder_has_one_supervisor(small: Stack) -> None:
    folder = small.endpoints.data
    with pytest.raises(UnavailableError, match="already runs"), exclusive(folder):
        pass


def test_a_part_that_cannot_start_is_named_with_the_end_of_its_log(tmp_path: Path) -> None:
    broken = {"MULTIMOOD_KAFKA_PARTITIONS": "none"}
    with pytest.raises(UnavailableError, match=r"(?s)MULTIMOOD_KAFKA|partitions"):  # noqa: SIM117
        with Stack(tmp_path, services=[], servers=["kafka"], env=broken):
            pass
    state = SystemState.read(DataFolder(tmp_path))
    assert state is None or not state.running


def test_down_ends_what_up_started_and_nothing_else(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "100"], start_new_session=True) as bystander:
        try:
            started = multimood("up", "--data", str(tmp_path), "--only", "kafka,store")
            assert started.returncode == 0, started.stdout + started.stderr
            again = multimood("up", "--data", str(tmp_path))
            assert again.returncode == 0
            assert "already running" in again.stdout
            report = json.loads(multimood("status", "--data", str(tmp_path), "--json").stdout)
            assert report["running"]
            assert {name: part["condition"] for name, part in report["parts"].items()} == {
                "kafka": "ready", "store": "ready", "topics": "ready",
            }  # fmt: skip
            ours = [Identity(**report["supervisor"])]
            ours += [Identity(part["pid"], part["started"]) for part in report["parts"].values() if part["pid"]]
            assert len(ours) == 3
            assert all(one.alive() for one in ours)
            ended = multimood("down", "--data", str(tmp_path))
            assert ended.returncode == 0, ended.stdout + ended.stderr
            assert "kafka" in ended.stdout
            assert not any(one.alive() for one in ours)
            assert bystander.poll() is None
            assert "nothing runs" in multimood("down", "--data", str(tmp_path)).stdout
        finally:
            bystander.terminate()
            multimood("down", "--data", str(tmp_path))


def test_parts_end_with_a_supervisor_that_is_killed_and_the_next_start_works(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    with Stack(tmp_path, services=[], servers=["kafka"]) as stack:
        port = stack.parts["kafka"].port
        kafka = stack.parts["kafka"].identity
        state = SystemState.read(folder)
        assert state is not None
        assert kafka is not None
        os.kill(state.supervisor.pid, signal.SIGKILL)
        deadline = time.monotonic() + 10
        while kafka.alive() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not kafka.alive()
    with Stack(tmp_path, services=[], servers=["kafka"]) as stack:
        assert stack.parts["kafka"].port == port


def test_a_left_over_process_is_ended_and_its_successor_in_number_is_not(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "100"]) as leftover, subprocess.Popen(["sleep", "100"]) as stranger:
        real, other = Identity.of(leftover.pid), Identity.of(stranger.pid)
        assert real is not None
        assert other is not None
        part = {"kind": "server", "condition": "ready"}
        state = {
            "supervisor": {"pid": 1, "started": -1},
            "parts": {
                "kafka": {"name": "kafka", "pid": real.pid, "started": real.started, **part},
                "store": {"name": "store", "pid": other.pid, "started": other.started + 1, **part},
            },
        }
        DataFolder(tmp_path).state.write_text(json.dumps(state))
        try:
            with Stack(tmp_path, services=[], servers=["store"]):
                assert leftover.wait(10) == -signal.SIGKILL
                assert stranger.poll() is None
        finally:
            leftover.kill()
            stranger.kill()
