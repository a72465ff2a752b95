"""The model repository in a folder: versions are added whole, never changed, and leave nothing when they go."""

import hashlib
import math
from pathlib import Path

import pytest

from multimood.errors import ConfigurationError
from multimood.local.places import checkout
from multimood.local.repository import lay_out
from multimood.rollout.bring import Place
from multimood.rollout.candidate import ReplyCandidate
from multimood.rollout.comparison import Comparison
from multimood.rollout.errors import PromotionRefusedError
from multimood.rollout.policies import config_of, pbtxt_of, probes
from multimood.rollout.replies import ReplyGoods, fault_of, renamed
from multimood.rollout.repository import PROGRAM, FolderRepository, _parsed, repository_at
from multimood.rollout.serving import Servers
from multimood.rollout.shipped import shipped
from multimood.rollout.standing import Version
from multimood.rollout.steps import Rollout, needed_by
from multimood.settings import StoreSettings

pytestmark = pytest.mark.unit


async def test_versions_are_added_whole_and_taken_away(tmp_path: Path) -> None:
    repository = FolderRepository(tmp_path)
    assert await repository.versions("policy") == {}
    await repository.write("policy", 1, {"model.onnx": b"one"}, "name: 1")
    await repository.write("policy", 2, {"model.onnx": b"two"}, "name: 2")
    (tmp_path / "policy" / "notes").mkdir()
    assert await repository.versions("policy") == {n: hashlib.sha256(g).digest() for n, g in ((1, b"one"), (2, b"two"))}
    assert (tmp_path / "policy" / "config.pbtxt").read_text() == "name: 1", "the configuration stays"
    with pytest.raises(PromotionRefusedError, match="version 2 meanwhile"):
        await repository.write("policy", 2, {"model.onnx": b"another"}, "")
    assert await repository.read("policy", 2) == b"two"
    with pytest.raises(PromotionRefusedError, match="version 3 is not in the repository"):
        await repository.read("policy", 3)
    (tmp_path / "policy" / "notes").rmdir()
    assert sorted(path.name for path in (tmp_path / "policy").iterdir()) == ["1", "2", "config.pbtxt"]
    await repository.remove("policy", 2)
    await repository.remove("policy", 2)
    assert set(await repository.versions("policy")) == {1}
    await repository.remove("policy", 1)
    assert not (tmp_path / "policy").exists(), "a model without versions would keep Triton from starting"


async def test_a_place_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="is no folder"):
        await FolderRepository(tmp_path / "nowhere").write("policy", 1, {"model.onnx": b""}, "")
    with pytest.raises(ConfigurationError, match="names no bucket"):
        async with repository_at("s3://", StoreSettings()):
            pass


@pytest.mark.parametrize(
    ("place", "found"),
    [
        ("s3://models/triton", ("own:1", True, "models", "triton")),
        ("s3://https://s3:443/models/triton/", ("s3:443", True, "models", "triton")),
        ("s3://http://s3:8333/models", ("s3:8333", False, "models", "")),
        ("s3://s3:8333/models/a/b", ("s3:8333", False, "models", "a/b")),
    ],
)
def test_places_are_read_as_triton_reads_them(
    place: str, found: tuple[str, bool, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "of the models")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "theirs")
    settings, bucket, prefix = _parsed(place, StoreSettings(endpoint="own:1", secure=True))
    assert (settings.endpoint, settings.secure, bucket, prefix) == found
    assert (settings.access_key, settings.secret_key.get_secret_value()) == ("of the models", "theirs")


def test_the_configuration_is_that_of_the_shipped_model() -> None:
    shipped = (checkout() / "triton_models/policy/config.pbtxt").read_text()
    bare = " ".join(line for line in shipped.splitlines() if not line.startswith("#"))
    assert "".join(bare.split()) == "".join(pbtxt_of(config_of("policy", "mesc")).split())
    assert "dims: [41]" in pbtxt_of(config_of("policy_esconv", "esconv"))


@pytest.mark.parametrize("taxonomy", ["mesc", "esconv"])
def test_probes_ask_for_one_strategy_alone_and_never_for_none(taxonomy: str) -> None:
    _, eligible = probes(taxonomy)  # type: ignore[arg-type]
    chosen = eligible.sum(axis=1)
    assert chosen.min() == 1
    assert chosen.max() == eligible.shape[1]


def test_an_address_that_is_none_is_named() -> None:
    for address in ("nowhere.invalid:8000", "triton", "127.0.0.1:http"):
        with pytest.raises(Exception, match="is no address of Triton"):
            Servers.at(address)
    assert [one.url for one in Servers.at("127.0.0.1:8000").each] == ["http://127.0.0.1:8000"]
    assert [one.url for one in Servers.at("[::1]:8000").each] == ["http://[::1]:8000"]


def test_what_a_rollback_may_need_is_not_pruned() -> None:
    one, two, three, four = (Version(str(n), bytes([n]) * 32) for n in range(1, 5))
    first, second = Rollout("policy", one, two, "o"), Rollout("policy", two, three, "o")
    steps = [first.completed(""), second.canary(0.1, 1, "")]
    assert set(needed_by(steps, four)) >= {one, two, three}
    assert set(needed_by([*steps, second.completed("")], four)) >= {two, three}
    assert set(needed_by([], four)) == {four}


def test_the_embedded_repository_links_to_the_checkout_and_keeps_what_was_promoted(tmp_path: Path) -> None:
    shipped, own = tmp_path / "shipped", tmp_path / "own"
    for model in ("fusion", "policy", "old_hub"):
        (shipped / model / "1").mkdir(parents=True)
        (shipped / model / "config.pbtxt").write_text("1")
        (shipped / model / "1" / "model.onnx").write_text(model)
    assert lay_out(shipped, own) == own
    assert (own / "fusion").readlink() == shipped / "fusion"
    assert not (own / "policy").is_symlink()
    (own / "policy" / "2").mkdir()
    (shipped / "policy" / "config.pbtxt").write_text("2")
    (shipped / "policy" / "1" / "model.onnx").write_text("changed")
    (shipped / "old_hub" / "config.pbtxt").unlink()
    lay_out(shipped, own)
    assert not (own / "old_hub").is_symlink()
    assert (own / "policy" / "2").is_dir()
    assert (own / "policy" / "config.pbtxt").read_text() == "2"
    assert (own / "policy" / "1" / "model.onnx").read_text() == "policy", "a version never changes"
    assert (shipped / "policy" / "1").is_dir()


def test_the_embedded_responder_is_a_copy_with_the_checkout_s_program(tmp_path: Path) -> None:
    shipped, own = tmp_path / "shipped", tmp_path / "own"
    (shipped / "responder/1/__pycache__").mkdir(parents=True)
    (shipped / "responder/config.pbtxt").write_text("1")
    for name in PROGRAM:
        (shipped / "responder/1" / name).write_text("old")
    own.mkdir()
    (own / "responder").symlink_to(shipped / "responder")  # as it was before
    lay_out(shipped, own)
    assert not (own / "responder").is_symlink()
    (own / "responder/2").mkdir()
    (own / "responder/2/model.gguf").write_text("promoted")
    (own / "responder_trial/1").mkdir(parents=True)
    for name in PROGRAM:
        (shipped / "responder/1" / name).write_text("new")
    lay_out(shipped, own)
    assert sorted(path.name for path in own.iterdir()) == ["responder"]
    for version in ("1", "2"):
        assert {(own / "responder" / version / name).read_text() for name in PROGRAM} == {"new"}
        assert (own / "responder" / version / "__pycache__").is_file(), "or Triton would load it anew"
    assert (own / "responder/2/model.gguf").read_text() == "promoted"
    assert sorted(path.name for path in (shipped / "responder").iterdir()) == ["1", "config.pbtxt"]


async def test_a_version_is_known_by_its_weights_or_by_what_came_with_it(tmp_path: Path) -> None:
    repository = FolderRepository(tmp_path)
    source = tmp_path / "weights"
    source.write_bytes(b"w" * 3_000_000)
    await repository.write("responder", 1, {"model.py": b"program"}, "name: 1")
    await repository.write("responder", 2, {"model.gguf": source, "model.py": b"program"}, "")
    digest = hashlib.sha256(b"w" * 3_000_000).digest()
    assert await repository.versions("responder") == {1: b"", 2: digest}
    place = Place("responder", repository, Servers(()), shipped("responder"))
    assert await place.versions() == {1: shipped("responder").sha256, 2: digest}
    await place.check(shipped("responder"))
    with pytest.raises(PromotionRefusedError, match="is another than"):
        await place.check(Version("2", b"z" * 32))
    assert await repository.config("responder") == "name: 1"
    with pytest.raises(PromotionRefusedError, match="policy is not in the repository"):
        await repository.config("policy")
    with pytest.raises(ConfigurationError, match="cannot be written"):
        await repository.write("responder", 3, {"model.gguf": tmp_path / "gone"}, "")
    assert set(await repository.versions("responder")) == {1, 2}, "whole, or not at all"


GOOD = [
    {"text": "Hel", "finish": "", "weights": "ab", "token_log_probs": [-0.1, -2.0]},
    {"text": "lo", "finish": "length", "weights": "ab", "token_log_probs": -0.5},
]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({}, ""),
        ({"error": "the engine fails"}, "answers with an error"),
        ({"weights": "cd"}, "has other weights"),
        ({"text": " "}, "writes nothing"),
        ({"finish": "cancelled"}, "comes to no end"),
        ({"token_log_probs": math.nan}, "gives tokens without finite"),
        ({"token_log_probs": []}, "gives tokens without finite"),
    ],
)
def test_what_a_reply_model_must_answer(change: dict[str, object], why: str) -> None:
    assert fault_of([{**piece, **change} for piece in GOOD], "ab").startswith(why)
    assert bool(fault_of([{**piece, **change} for piece in GOOD], "ab")) == bool(why)
    assert fault_of([], "ab")


async def test_a_repository_that_serves_the_highest_version_alone_gets_no_other(tmp_path: Path) -> None:
    repository = FolderRepository(tmp_path)
    config = (checkout() / "triton_models/responder/config.pbtxt").read_text()
    candidate = ReplyCandidate(b"s" * 32, {}, Comparison("", "", {}), "", tmp_path / "weights")
    for wanted in (config.replace("version_policy: { all { } }", "# version_policy: { all { } }"), ""):
        await repository.write("responder", 1, dict.fromkeys(PROGRAM, b"program"), wanted)
        with pytest.raises(PromotionRefusedError, match="add the line `version_policy"):
            await ReplyGoods(candidate).parts("responder", repository)
        await repository.remove("responder", 1)
    await repository.write("responder", 1, dict.fromkeys(PROGRAM, b"program"), config)
    files, found = await ReplyGoods(candidate).parts("responder", repository)
    assert [*files][-1] == "model.py"
    assert files["model.gguf"] == candidate.weights
    assert found == config
    assert 'name: "responder_trial"' in renamed(config, "responder", "responder_trial")
    assert renamed(config, "responder", "responder_trial").replace("_trial", "") == config
