"""A reply model by promotion, canary and rollback, with the real responder, broker and Triton, as an operator does it.

The champion is the shipped model; what challenges it are models of a few thousand weights that always say the same.
"""

import contextlib
import hashlib
import secrets
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from reply_world import ReplyPlatform, check_replies, run_of_replies, tiny_weights, version_of
from rollout_world import Commands, ended, until
from service_process import Process

from multimood.bus.admin import apply_topics
from multimood.cli.rollout_place import goods_of
from multimood.contracts.v1 import events_pb2 as pb
from multimood.local.kafka import KafkaServer
from multimood.local.parts import TRITON_PORTS
from multimood.local.places import checkout
from multimood.local.ports import assign
from multimood.local.repository import lay_out
from multimood.local.server import wait_ready
from multimood.local.triton import TritonServer
from multimood.rollout.bring import Place
from multimood.rollout.candidate import candidate_of
from multimood.rollout.errors import PromotionRefusedError
from multimood.rollout.repository import FolderRepository
from multimood.rollout.serving import Servers
from multimood.rollout.shipped import REPLIES, shipped
from multimood.rollout.steps import steps_of
from multimood.settings import KafkaSettings

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

QUICK = ("--operator", "clinic", "--least", 10, "--lease", 9)
FIRST = shipped(REPLIES)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return tiny_weights(tmp_path_factory.mktemp("weights"), kind="Hi, you.", curt="Ask him.", silent="")


@pytest.fixture(scope="module")
def broker(kafka: KafkaServer) -> KafkaSettings:
    settings = KafkaSettings(brokers=kafka.brokers)
    apply_topics(settings)
    return settings


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    """Triton on a repository as the embedded system has it."""
    folder = tmp_path_factory.mktemp("triton")
    shutil.copytree(checkout() / "triton_models" / REPLIES, folder / "shipped" / REPLIES)
    own = TritonServer(folder / "triton.log", assign(TRITON_PORTS), lay_out(folder / "shipped", folder / "models"))
    own.start()
    try:
        wait_ready(own, own.log, 120)
        yield own
    finally:
        own.stop()


@pytest.fixture
def commands(broker: KafkaSettings, server: TritonServer, tmp_path: Path) -> Commands:
    assert server.repository is not None
    http = f"127.0.0.1:{server.ports['triton.http']}"
    return Commands(broker, http, server.repository, tmp_path / "audit", REPLIES)


@pytest.fixture
async def responder(broker: KafkaSettings, server: TritonServer, tmp_path: Path) -> AsyncIterator[Process]:
    env = {
        "MULTIMOOD_TRITON_URL": server.url, "MULTIMOOD_RESPONDER_MAX_TOKENS": "10",
        "MULTIMOOD_RESPONDER_MAX_SENTENCES": "1", "MULTIMOOD_RESPONDER_FIRST_TOKEN_S": "40",
        "MULTIMOOD_RESPONDER_WHOLE_S": "60", "MULTIMOOD_RESPONDER_QUEUE_S": "60",
    }  # fmt: skip
    async with Process("responder", broker, tmp_path, f"t{secrets.token_hex(4)}", **env) as process:
        yield process


def state(server: TritonServer, repository: Path) -> tuple[set[str], list[str]]:
    """What Triton serves, and what lies in the repository."""
    served = {f"{one.model}:{one.version}" for one in server._http.versions() if one.state == "READY"}
    return served, sorted(path.relative_to(repository).as_posix() for path in repository.glob("*/*"))


def processes(repository: Path) -> list[str]:
    """Those that serve version 1."""
    program = f"{repository / REPLIES}/1/".encode()
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            if program in file.read_bytes():
                found.append(file.parent.name)
    assert found
    return found


async def rows(broker: KafkaSettings, platform: ReplyPlatform) -> dict[str, int]:
    """Every reply is checked; how many each version wrote."""
    await platform.finish()
    assert set(platform.counts.values()) == {1}, "nothing lost, nothing twice"
    return check_replies(platform.replies, await steps_of(broker, REPLIES), FIRST)


async def test_what_must_not_be_served_is_refused_and_leaves_nothing(
    commands: Commands, made: dict[str, bytes], tmp_path: Path, server: TritonServer
) -> None:
    before = state(server, commands.repository)
    leftover = commands.repository / f"{REPLIES}_trial"
    leftover.mkdir()  # of a promotion that was killed
    place = Place(REPLIES, FolderRepository(commands.repository), Servers.at(commands.triton), FIRST)
    faults = {
        "no-weights": (b"no weights", "cannot load these weights"),
        "half": (made["kind"][: len(made["kind"]) // 2], "cannot load these weights"),
        "silent": (made["silent"], "writes nothing"),
    }
    for name, (weights, why) in faults.items():
        candidate = candidate_of(run_of_replies(tmp_path / name, weights, FIRST.sha256.hex()))
        with pytest.raises(PromotionRefusedError, match=why):
            await place.bring(goods_of(candidate), ())
    code, _, err = await commands.run("promote", tmp_path / "half", "--operator", "o")
    assert (code, "cannot load these weights" in " ".join(err.split())) == (1, True), err
    stale = run_of_replies(tmp_path / "stale", made["kind"], "ab" * 32)
    code, _, err = await commands.run("promote", stale, "--operator", "o")
    assert (code, "train and judge it anew with --base" in " ".join(err.split())) == (1, True), err
    assert state(server, commands.repository) == before
    assert not commands.records()
    assert not await commands.steps()


async def test_a_better_model_becomes_the_champion_while_its_responder_dies_and_can_be_taken_back(
    commands: Commands, made: dict[str, bytes], tmp_path: Path, responder: Process, server: TritonServer
) -> None:
    broker, run = commands.kafka, run_of_replies(tmp_path / "run", made["kind"], FIRST.sha256.hex())
    before = processes(commands.repository)
    async with ReplyPlatform(broker, {"1": 0.5}, otherwise=0.6) as platform:
        process = await commands.start("promote", run, *QUICK, "--share", "0.5")
        await commands.challenger(made["kind"])
        responder.kill()
        responder.start()
        code, out, err = await ended(process)
        assert code == 0, out + err
        assert "completed" in out
        standing = await commands.status()
        version = standing["champion"]["version"]
        assert standing["champion"]["sha256"] == hashlib.sha256(made["kind"]).hexdigest()
        seen = len(platform.replies)
        await until(lambda: len(platform.replies) > seen + 15)
        assert {(version_of(one), one.text) for one in platform.replies[-10:]} == {(version, "Hi, you.")}
        code, _, err = await commands.run("promote", run, *QUICK)
        assert (code, "is the champion already" in err) == (1, True), err

        code, _, err = await commands.run("rollback", "--model", REPLIES, "--to", "none")
        assert (code, "has no version 'none'" in err) == (1, True), err
        code, out, err = await commands.run("rollback", "--model", REPLIES, "--reason", "a complaint")
        assert code == 0, err
        assert f"responder: {FIRST} is the champion" in out
        seen = len(platform.replies)
        await until(lambda: len(platform.replies) > seen + 15)
        assert {version_of(one) for one in platform.replies[-5:]} == {"1"}
        wrote = await rows(broker, platform)
    assert min(wrote["1"], wrote[version]) > 10
    steps = await commands.steps()
    taken = [step for step in steps if step["reason"] != "the lease is renewed"]
    assert [step["stage"] for step in taken] == ["canary", "completed", "rolled_back"]
    assert [one["step"] for one in commands.records()] == [step["step"] for step in taken]
    figures = {figure["name"]: figure for figure in taken[1]["figures"]}
    assert figures["trust"]["verdict"] == "harmless"
    assert figures["unanswered"].get("challenger", 0) == 0
    assert state(server, commands.repository)[0] == {f"{REPLIES}:1", f"{REPLIES}:{version}"}
    assert f'version="{version}"' in await responder.metrics()
    assert processes(commands.repository) == before, "what served was not loaded anew"


async def test_one_whose_replies_are_worse_is_rolled_back_by_itself(
    commands: Commands, made: dict[str, bytes], tmp_path: Path, responder: Process
) -> None:
    broker, run = commands.kafka, run_of_replies(tmp_path / "run", made["curt"], FIRST.sha256.hex())
    async with ReplyPlatform(broker, {"1": 0.6}, otherwise=0.1) as platform:
        code, out, err = await commands.run("promote", run, *QUICK, "--share", "0.5")
        assert code == 3, out + err
        assert "rolled back: worse: trust 0.1" in out
        standing = await commands.status()
        assert (standing["state"], standing["champion"]["version"]) == ("rolled back", "1")
        wrote = await rows(broker, platform)
    assert sum(wrote.values()) - wrote["1"] > 5
    rules = tmp_path / "approvals.toml"
    rules.write_text('operator = "nightly"\nlearners = ["sft"]\n')
    code, _, err = await commands.run("promote", run, "--policy-file", rules)
    assert (code, "taken back before" in err) == (1, True), err
    assert all(one.source == pb.REPLY_SOURCE_GENERATED for one in platform.replies)
