"""The model repository in a folder: versions are added whole, never changed, and leave nothing when they go."""

import hashlib
from pathlib import Path

import pytest

from multimood.errors import ConfigurationError
from multimood.local.places import checkout
from multimood.local.repository import lay_out
from multimood.rollout.errors import PromotionRefusedError
from multimood.rollout.policies import config_of, pbtxt_of, probes
from multimood.rollout.repository import FolderRepository, _parsed, repository_at
from multimood.rollout.serving import Servers
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
