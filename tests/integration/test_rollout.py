"""Promotion, canary and rollback with the real strategist, broker and Triton, by the commands of an operator."""

import asyncio
import hashlib
import json
import secrets
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from learning_logs import simulated, written
from rollout_world import Commands, Platform, check_rows, ended, graphs, run_folder, until
from service_process import Process, ends, environment_of

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
from multimood.rollout.shipped import shipped
from multimood.rollout.steps import steps_of
from multimood.settings import KafkaSettings

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

QUICK = ("--operator", "clinic", "--least", 15, "--lease", 9)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return graphs(tmp_path_factory.mktemp("graphs"))


@pytest.fixture(scope="module")
def broker(kafka: KafkaServer) -> KafkaSettings:
    settings = KafkaSettings(brokers=kafka.brokers)
    apply_topics(settings)
    return settings


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    """Triton on a repository as the embedded system has it, of what the strategist asks."""
    folder = tmp_path_factory.mktemp("triton")
    shipped = folder / "shipped"
    shipped.mkdir()
    for model in ("fusion", "policy", "text_encoder"):
        (shipped / model).symlink_to(checkout() / "triton_models" / model)
    own = TritonServer(folder / "triton.log", assign(TRITON_PORTS), lay_out(shipped, folder / "models"))
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
    return Commands(broker, http, server.repository, tmp_path / "audit")


@pytest.fixture
async def strategist(broker: KafkaSettings, server: TritonServer, tmp_path: Path) -> AsyncIterator[Process]:
    group = f"t{secrets.token_hex(4)}"
    env = {
        "MULTIMOOD_TRITON_URL": server.url,
        "MULTIMOOD_STRATEGIST_RETRY_BUDGET_S": "40",
        "MULTIMOOD_STRATEGIST_POLICY_S": "5",
    }
    async with Process("strategist", broker, tmp_path, group, **env) as process:
        yield process


def versions(server: TritonServer) -> set[str]:
    """What Triton serves."""
    return {one.version for one in server._http.versions("policy") if one.state == "READY"}


async def rows(broker: KafkaSettings, platform: Platform) -> dict[str, int]:
    """Every decision is checked; how many each version served."""
    await platform.finish()
    assert set(platform.counts.values()) == {1}, "nothing lost, nothing twice"
    return check_rows(platform.decisions, await steps_of(broker, "policy"), shipped("policy"))


async def test_what_must_not_be_served_is_refused_and_leaves_nothing(
    commands: Commands, made: dict[str, bytes], tmp_path: Path, server: TritonServer
) -> None:
    """Of a graph's faults only Triton can tell of these; those that the file tells are in the unit tests."""
    before = sorted(path.name for path in (commands.repository / "policy").iterdir()), versions(server)
    place = Place("policy", FolderRepository(commands.repository), Servers.at(commands.triton))
    faults = {
        "unloadable": "cannot load this graph.*Softmap",
        "no-sum": "is no distribution",
        "not-finite": "is no distribution",
        "no-mask": "chooses what may not be chosen",
    }
    for name, why in faults.items():
        candidate = candidate_of(run_folder(tmp_path / name, made[name]))
        with pytest.raises(PromotionRefusedError, match=why):
            await place.bring(goods_of(candidate), ())
    code, _, err = await commands.run("promote", tmp_path / "no-mask", "--operator", "o")
    assert (code, "chooses what may not be chosen" in " ".join(err.split())) == (1, True), err
    run = run_folder(tmp_path / "run", made["favours-1"], {"passed": False, "reasons": ["thin support"]})
    code, _, err = await commands.run("promote", run, "--operator", "o")
    assert (code, "thin support" in err) == (1, True), err
    assert (sorted(path.name for path in (commands.repository / "policy").iterdir()), versions(server)) == before
    assert not commands.records()
    assert not await commands.steps()
    assert server.heal() == []


async def test_a_policy_of_the_other_taxonomy_is_another_model_and_must_fit(
    broker: KafkaSettings, commands: Commands, made: dict[str, bytes], tmp_path: Path, server: TritonServer
) -> None:
    env = {
        **environment_of(broker), "MULTIMOOD_TRITON_URL": server.url, "MULTIMOOD_KAFKA_GROUP_PREFIX": "esconv",
        "MULTIMOOD_STRATEGIST_TAXONOMY": "esconv",
    }  # fmt: skip
    code, said = await ends("strategist", **env, MULTIMOOD_STRATEGIST_POLICY_MODEL="policy")
    assert code == 2
    assert b"input state FP32 [-1, 47] is served, needed is FP32 [-1, 41]" in said
    place = Place("policy_esconv", FolderRepository(commands.repository), Servers.at(commands.triton))
    version = await place.bring(goods_of(candidate_of(run_folder(tmp_path / "run", made["esconv"]))), ())
    assert version.version == "1"
    own = {"MULTIMOOD_TRITON_URL": server.url, "MULTIMOOD_STRATEGIST_TAXONOMY": "esconv"}
    named = {**own, "MULTIMOOD_STRATEGIST_POLICY_MODEL": "policy_esconv"}
    async with Process("strategist", broker, tmp_path, f"t{secrets.token_hex(4)}", **named):
        pass  # it is ready: the model is there and fits
    await place.take_away(1)
    assert not (commands.repository / "policy_esconv").exists()


async def leave_counts_beside_the_champion(
    commands: Commands, made: dict[str, bytes], folder: Path, version: str
) -> None:
    stale = run_folder(folder / "stale", made["favours-2"])  # judged beside version 1
    code, _, err = await commands.run("promote", stale, *QUICK)
    assert (code, f"but policy {version}@" in " ".join(err.split())) == (1, True), err
    log = written(simulated(300), folder / "log")
    code, out, err = await commands.run("evaluate", stale, log, "--champion", "served")
    assert code in {0, 3}, out + err
    gate = json.loads((stale / "gate.json").read_text())
    assert gate["champion"].startswith(f"policy:{version}@")
    assert gate["champion_sha256"] == (await commands.status())["champion"]["sha256"]


async def test_a_better_policy_becomes_the_champion_and_can_be_taken_back(
    commands: Commands, made: dict[str, bytes], tmp_path: Path, strategist: Process
) -> None:
    broker, run = commands.kafka, await commands.judged(tmp_path / "run", made["favours-1"])
    async with Platform(broker, {"1": 0.5}, otherwise=0.6) as platform:
        code, out, err = await commands.run("promote", run, *QUICK, "--stages", "0.3,0.6")
        assert code == 0, out + err
        assert "completed" in out
        state = await commands.status()
        assert state["state"] == "completed"
        version = state["champion"]["version"]
        assert state["champion"]["sha256"] == hashlib.sha256(made["favours-1"]).hexdigest()
        seen = len(platform.decisions)
        await until(lambda: len(platform.decisions) > seen + 40)
        assert {one.policy_served for one in platform.decisions[-15:]} == {version}
        code, _, err = await commands.run("promote", run, *QUICK)
        assert code == 1
        assert "is the champion already" in err
        await leave_counts_beside_the_champion(commands, made, tmp_path, version)

        code, out, err = await commands.run("rollback", "--operator", "night shift", "--reason", "a complaint")
        assert code == 0, err
        assert "policy: 1@" in out
        seen = len(platform.decisions)
        await until(lambda: len(platform.decisions) > seen + 40)
        assert {one.policy_served for one in platform.decisions[-15:]} == {"1"}
        served = await rows(broker, platform)
    assert served["1"] > 30
    assert served[version] > 30
    assert not served[""]
    steps = await commands.steps()
    assert [step["stage"] for step in steps if step["reason"] != "the lease is renewed"] == [
        "canary", "canary", "completed", "rolled_back",
    ]  # fmt: skip
    assert [step["operator"] for step in steps][-1] == "night shift"
    taken = [step["step"] for step in steps if step["reason"] != "the lease is renewed"]
    assert [one["step"] for one in commands.records()] == taken, "each step has its record"
    trust = next(figure for figure in steps[-2]["figures"] if figure["name"] == "trust")
    assert trust["verdict"] == "harmless"
    assert "multimood_rollout_answers_total" in (metrics := await strategist.metrics())
    assert f'version="{version}"' in metrics


async def test_what_nobody_talks_to_is_not_shown_harmless(
    commands: Commands, made: dict[str, bytes], tmp_path: Path
) -> None:
    run = await commands.judged(tmp_path / "run", made["favours-5"])
    code, out, err = await commands.run("promote", run, *QUICK, "--share", "0.5", "--timeout", 3, "--json")
    assert code == 3, err
    found = json.loads(out)
    assert (found["outcome"], found["unrecorded"]) == ("rolled_back", "")
    assert "not shown harmless within 3 s, with 0 of 15 conversations" in found["reason"]
    assert (await commands.status())["state"] == "rolled back"
    rules = tmp_path / "approvals.toml"
    rules.write_text('operator = "nightly"\nlearners = ["direct"]\n')
    code, _, err = await commands.run("promote", run, "--policy-file", rules)
    assert (code, "taken back before" in err) == (1, True), err


async def test_a_worse_policy_is_rolled_back_by_itself(
    commands: Commands, made: dict[str, bytes], tmp_path: Path, strategist: Process
) -> None:
    broker, run = commands.kafka, await commands.judged(tmp_path / "run", made["favours-2"])
    async with Platform(broker, {"1": 0.6}, otherwise=0.2) as platform:
        code, out, err = await commands.run("promote", run, *QUICK, "--share", "0.4")
        assert code == 3, out + err
        assert "rolled back: worse: trust 0.2" in out
        state = await commands.status()
        assert (state["state"], state["champion"]["version"]) == ("rolled back", "1")
        served = await rows(broker, platform)
    assert sum(served.values()) - served["1"] > 5


async def test_a_canary_whose_promoter_dies_ends_by_its_lease_and_may_be_tried_again(
    commands: Commands, made: dict[str, bytes], tmp_path: Path, strategist: Process
) -> None:
    broker, run = commands.kafka, await commands.judged(tmp_path / "run", made["favours-3"])
    async with Platform(broker) as platform:
        process = await commands.start("promote", run, *QUICK, "--share", "0.5", "--least", 10_000)
        version = await commands.challenger(made["favours-3"])
        await until(lambda: any(one.policy_served == version for one in platform.decisions), what="the canary")
        code, _, err = await commands.run("promote", run, *QUICK)
        assert code == 1
        assert "is going on" in err
        process.send_signal(signal.SIGKILL)
        await ended(process)

        async def is_over() -> bool:
            return (await commands.status())["state"] == "lease over"

        await until(is_over, what="the lease's end")
        assert 'multimood_rollout_abandoned{model="policy"} 1.0' in await strategist.metrics()
        seen = len(platform.decisions)
        await until(lambda: len(platform.decisions) > seen + 40)
        assert {one.policy_served for one in platform.decisions[-15:]} == {"1"}

        again = await commands.start("promote", run, *QUICK, "--share", "0.5", "--least", 10_000)
        seen = len(platform.decisions)
        await until(lambda: any(one.policy_served == version for one in platform.decisions[seen:]), what="the canary")
        code, _, err = await commands.run("rollback", "--reason", "enough")
        assert code == 0, err
        code, out, err = await ended(again)
        assert code == 3, err
        assert "taken over" in out
        assert "(rolled back): enough" in out
        await rows(broker, platform)
    assert not (commands.repository / "policy" / str(int(version) + 1)).exists(), "the same graph keeps its version"


async def test_triton_and_strategist_die_in_the_middle_of_a_canary(
    commands: Commands, made: dict[str, bytes], tmp_path: Path, strategist: Process, server: TritonServer
) -> None:
    broker, run = commands.kafka, await commands.judged(tmp_path / "run", made["favours-4"])
    async with Platform(broker) as platform:
        process = await commands.start(
            "promote", run, *QUICK, "--share", "0.5", "--least", 300
        )  # long enough for two deaths
        version = await commands.challenger(made["favours-4"])
        await until(lambda: any(one.policy_served == version for one in platform.decisions), what="the canary")
        assert server.child is not None
        server.child.kill()
        server.stop()
        await asyncio.sleep(1)
        server.start()
        await asyncio.to_thread(wait_ready, server, server.log, 120)
        assert {"1", version} <= versions(server), "what was loaded is loaded again"
        seen = len(platform.decisions)
        await until(
            lambda: any(one.policy_served == version for one in platform.decisions[seen:]), what="the canary again"
        )
        strategist.kill()
        await asyncio.sleep(0.5)
        strategist.start()
        await strategist.ready()
        code, out, err = await ended(process)
        assert code == 0, out + err
        served = await rows(broker, platform)
    assert served[version] > 30
    stages = {step["stage"] for step in await commands.steps()}
    assert pb.RolloutStage.Name(pb.ROLLOUT_STAGE_COMPLETED).removeprefix("ROLLOUT_STAGE_").lower() in stages
