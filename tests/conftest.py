"""Real servers for the tests that want them: started when first asked for, on free ports, ended exactly."""

import os
import secrets
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from kafka import KafkaAdminClient
from real_clips import Clips, make_clips

from multimood.local.kafka import KafkaServer
from multimood.local.places import checkout
from multimood.local.ports import assign
from multimood.local.server import Server, start_and_wait
from multimood.local.stack import Stack
from multimood.local.store import ObjectStore

START_WITHIN_S = 240.0
"""Generous: the machine may be running other things."""
EMPTY_WITHIN_S = 30.0
ENDS_WITHIN_S = 20.0
SHORT = "24"
"""Tokens of a reply: enough for a sentence."""


def _run(server: Server, log: Path) -> Iterator[Server]:
    try:
        start_and_wait(server, log, START_WITHIN_S)
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def broker_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    """A broker that all modules share, one after another."""
    folder = tmp_path_factory.mktemp("kafka")
    ports = assign(KafkaServer.PORTS)
    log = folder / "kafka.log"
    yield from _run(KafkaServer(folder, log, ports["kafka"], ports["kafka.controller"]), log)


@pytest.fixture(scope="module")
def kafka(broker_process: KafkaServer) -> Iterator[KafkaServer]:
    """A broker without topics, for one module: a new group reads all there is, and must not find others' records."""
    yield broker_process
    _empty(broker_process.brokers)


def _empty(brokers: str) -> None:
    """Delete all topics, and wait until none is there. Groups have names of their own in every test."""
    admin = KafkaAdminClient(bootstrap_servers=brokers)
    try:
        deadline = time.monotonic() + EMPTY_WITHIN_S
        while names := [name for name in admin.list_topics() if not name.startswith("__")]:
            assert time.monotonic() < deadline, f"not deleted: {names}"
            admin.delete_topics(names, raise_errors=False)
    finally:
        admin.close()


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    """An S3 store with the three buckets, and one for keys that change."""
    folder = tmp_path_factory.mktemp("store")
    log = folder / "store.log"
    yield from _run(
        ObjectStore(folder, log, assign(ObjectStore.PORTS), ("media", "experience", "keys", "keys-rewrap")), log
    )


@pytest.fixture(scope="session")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Triton with every model of the repository."""
    from multimood.local.parts import TRITON_PORTS
    from multimood.local.triton import TritonServer

    folder = tmp_path_factory.mktemp("triton")
    log = folder / "triton.log"
    yield from _run(TritonServer(log=log, ports=assign(TRITON_PORTS)), log)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The full system: broker, store, Triton and the nine services. Replies are short, for most of a turn is theirs."""
    with Stack(tmp_path_factory.mktemp("stack"), env={"MULTIMOOD_RESPONDER_MAX_TOKENS": SHORT}) as running:
        yield running


DATA = Path(os.environ.get("MULTIMOOD_DATA", checkout().parent / "shared" / "data"))


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Clips:
    """A voice and a face, real ones where there are any."""
    return make_clips(tmp_path_factory.mktemp("clips"), DATA)


@pytest.fixture(scope="session")
def labelled_data() -> Path:
    """Folder with the labelled data, from $MULTIMOOD_DATA or beside the checkout; skips where there is none."""
    folder = DATA
    if not folder.is_dir():
        pytest.skip(f"no labelled data: set MULTIMOOD_DATA to its folder ({folder} does not exist)")
    return folder


@dataclass(frozen=True, slots=True)
class ChatServer:
    """An OpenAI-compatible endpoint with a real model behind it."""

    url: str
    """With its /v1."""
    key: str


@pytest.fixture(scope="session")
def llamacpp() -> Iterator[ChatServer]:
    """llama.cpp's own server with the small model that set-up fetches."""
    python, key = checkout() / ".venv-triton/bin/python", secrets.token_hex(8)
    if not python.exists():
        pytest.skip(f"{python} is not there: run `make setup`")
    script = Path(__file__).parent / "llamacpp_process.py"
    process = subprocess.Popen([python, script, key], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        address = process.stdout.readline().strip()
        assert address.startswith("http://127.0.0.1:"), "the server ended before it answered"
        yield ChatServer(f"{address}/v1", key)
    finally:
        process.stdin.close()
        try:
            process.wait(ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
