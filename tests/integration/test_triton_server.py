"""The Triton launcher: what it notices and repairs, how it ends, what it leaves behind."""

import asyncio
import json
import shutil
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import aclosing, suppress
from pathlib import Path

import numpy as np
import pytest

from multimood.errors import MultimoodError, UnavailableError
from multimood.inference import InferenceClient
from multimood.inference.errors import DeadModelError
from multimood.local.parts import TRITON_PORTS
from multimood.local.places import checkout
from multimood.local.ports import HOST, assign
from multimood.local.process import Identity
from multimood.local.server import start_and_wait, wait_ready
from multimood.local.stack import Stack
from multimood.local.triton import TritonServer
from multimood.settings import TritonSettings

pytestmark = pytest.mark.integration

FRAMES = {"frames": np.zeros((1, 448, 448, 3), np.uint8)}
CHAT = {
    "messages": np.array([json.dumps([{"role": "user", "content": "Tell me a long story."}]).encode()], dtype=object),
    "max_tokens": np.array([1500], np.int32),
    "temperature": np.array([0.3], np.float32),
    "seed": np.array([1], np.int64),
}


def copied(folder: Path, *models: str) -> Path:
    """A repository of its own with some of the models."""
    for model in models:
        shutil.copytree(checkout() / "triton_models" / model, folder / model)
    return folder


def made(folder: Path, *models: str) -> TritonServer:
    return TritonServer(folder / "triton.log", assign(TRITON_PORTS), copied(folder / "models", *models))


def stubs(server: TritonServer) -> dict[str, Identity]:
    assert server.child is not None
    return stubs_of(server.child.pid)


def stubs_of(pid: int) -> dict[str, Identity]:
    """The process of each model, by the model's name."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            arguments = (folder / "cmdline").read_bytes().decode().split("\0")
        except OSError:
            continue
        if parent == pid and arguments[0].endswith("triton_python_backend_stub"):
            identity = Identity.of(int(folder.name))
            assert identity is not None
            found[Path(arguments[1]).parts[-3]] = identity
    return found


def regions(server: TritonServer) -> list[str]:
    return [region.name for region in Path("/dev/shm").glob(f"{server._regions}*")]


def client_of(server: TritonServer, deadline_s: float = 3.0) -> InferenceClient:
    return InferenceClient(TritonSettings(url=server.url, deadline_s=deadline_s))


async def embed(server: TritonServer) -> None:
    client = client_of(server)
    try:
        await client.infer("video_encoder", FRAMES)
    finally:
        await client.close()


def running(folder: Path) -> Iterator[TritonServer]:
    """A server of the two models that are loaded fastest, one of each kind."""
    server = made(folder, "video_encoder", "responder")
    try:
        start_and_wait(server, server.log, 60)
        yield server
    finally:
        server.stop()


@pytest.fixture
def small(tmp_path: Path) -> Iterator[TritonServer]:
    """One for a test that leaves it broken or ended."""
    yield from running(tmp_path)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    """One for the tests that leave it whole."""
    yield from running(tmp_path_factory.mktemp("shared"))


def test_starting_returns_at_once_and_stopping_soon(tmp_path: Path) -> None:
    server = made(tmp_path, "video_encoder", "responder")
    assert not server.ready()
    begin = time.monotonic()
    server.start()
    assert time.monotonic() - begin < 2
    try:
        wait_ready(server, server.log, 60)
        assert set(stubs(server)) == {"video_encoder", "responder"}
        assert regions(server)
        processes = [*stubs(server).values()]
    finally:
        begin = time.monotonic()
        server.stop()
    assert time.monotonic() - begin < 8
    assert not any(one.alive() for one in processes)
    assert not regions(server)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    assert not server.ready()
    assert not server.alive()


async def test_stopping_takes_no_longer_because_somebody_reads_a_stream(small: TritonServer) -> None:
    client = client_of(small, 60)
    async with aclosing(client.stream("responder", CHAT)) as pieces:
        await anext(pieces)
        begin = time.monotonic()
        await asyncio.to_thread(small.stop)
        assert time.monotonic() - begin < small.grace_s + 3
        with suppress(MultimoodError):  # cut off
            assert [one async for one in pieces][-1].outputs["finish"][0]  # or come to its end in time
    await client.close()
    assert not regions(small)


def test_a_killed_server_leaves_nothing_behind_and_starts_again_on_the_same_ports(small: TritonServer) -> None:
    assert small.child is not None
    processes = [*stubs(small).values()]
    small.child.send(signal.SIGKILL)
    small.stop()
    assert not regions(small)
    deadline = time.monotonic() + 2
    while any(one.alive() for one in processes):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    small.start()
    wait_ready(small, small.log, 60)


def test_it_listens_on_the_loopback_address_only(shared: TritonServer) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # a documentation address: nothing is sent
        except OSError:
            pytest.skip("this machine has no address but the loopback one")
        outside = probe.getsockname()[0]
    for port in shared.ports.values():
        socket.create_connection((HOST, port), timeout=2).close()
        with pytest.raises(OSError, match=r"refused|timed out"):
            socket.create_connection((outside, port), timeout=2)


async def test_healthy_models_are_left_alone(shared: TritonServer) -> None:
    before = stubs(shared)
    for _ in range(3):
        assert await asyncio.to_thread(shared.heal) == []
    assert stubs(shared) == before


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["dead", "hung"])
async def test_a_model_whose_process_is_gone_is_revived(shared: TritonServer, number: signal.Signals) -> None:
    before = stubs(shared)
    assert before["video_encoder"].send(number)
    await asyncio.sleep(0.2)
    assert shared.ready(), "the server itself does not notice; if it does one day, heal() is not needed any more"
    with pytest.raises(UnavailableError) as failed:
        await embed(shared)
    if number == signal.SIGKILL:
        assert isinstance(failed.value, DeadModelError)
    healed: list[str] = []
    for _ in range(3):
        healed += await asyncio.to_thread(shared.heal)
    assert healed == ["video_encoder"]
    await embed(shared)
    after = stubs(shared)
    assert after["responder"] == before["responder"]
    assert after["video_encoder"] != before["video_encoder"]
    before["video_encoder"].send(signal.SIGKILL)  # a stopped one is still there


async def test_a_model_is_revived_while_a_stream_was_on_its_way(shared: TritonServer) -> None:
    client = client_of(shared, 2)
    pieces = client.stream("responder", CHAT)
    await anext(pieces)
    stubs(shared)["responder"].send(signal.SIGKILL)
    with pytest.raises(UnavailableError):
        assert [one async for one in pieces]
    assert await asyncio.to_thread(shared.heal) == ["responder"]
    async with aclosing(client.stream("responder", CHAT)) as pieces:
        await anext(pieces)
    await client.close()


async def test_a_busy_model_is_not_taken_for_dead(shared: TritonServer) -> None:
    """Every slot of the responder is taken and more chats wait."""
    client = client_of(shared, 60)
    before = stubs(shared)
    short = {**CHAT, "max_tokens": np.array([60], np.int32)}

    async def finish() -> bytes:
        pieces = [one async for one in client.stream("responder", short)]
        return bytes(pieces[-1].outputs["finish"][0])

    chats = [asyncio.create_task(finish()) for _ in range(6)]
    for _ in range(4):
        await asyncio.sleep(0.2)
        assert await asyncio.to_thread(shared.heal) == []
    assert stubs(shared) == before
    assert await asyncio.gather(*chats) == [b"length"] * 6
    await client.close()


async def test_a_model_that_cannot_be_revived_asks_for_a_restart(small: TritonServer) -> None:
    assert small.repository is not None
    (small.repository / "video_encoder" / "1" / "model.onnx").write_bytes(b"no graph")
    stubs(small)["video_encoder"].send(signal.SIGKILL)
    await asyncio.sleep(0.2)
    with pytest.raises(UnavailableError, match="video_encoder does not come back"):
        await asyncio.to_thread(small.heal)
    assert small.alive()
    assert not small.ready()


def test_a_server_that_is_down_has_nothing_to_heal(small: TritonServer) -> None:
    small.stop()
    assert small.heal() == []


def test_a_model_that_cannot_be_loaded_ends_the_start(tmp_path: Path) -> None:
    server = made(tmp_path, "video_encoder")
    assert server.repository is not None
    (server.repository / "video_encoder" / "1" / "model.onnx").write_bytes(b"no graph")
    server.start()
    try:
        with pytest.raises(UnavailableError, match="triton ended with code"):
            wait_ready(server, server.log, 60)
    finally:
        server.stop()
    assert not regions(server)


def test_the_supervisor_revives_a_model(tmp_path: Path) -> None:
    with Stack(tmp_path, services=[], servers=["triton"]) as stack:
        part = stack.parts["triton"]
        server = TritonServer(stack.endpoints.data.log("triton"), stack.endpoints.ports)
        victim = stubs_of(part.pid)["text_encoder"]
        assert victim.send(signal.SIGKILL)
        deadline = time.monotonic() + 60
        while "text_encoder" not in stack.parts["triton"].detail:
            assert time.monotonic() < deadline, "not revived within a minute"
            time.sleep(0.2)
        assert stack.parts["triton"].detail == "revived text_encoder"
        assert stack.parts["triton"].restarts == 0
        stack.wait_ready("triton")
        assert victim not in stubs_of(part.pid).values()
        server._http.canary("text_encoder")
