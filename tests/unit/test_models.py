"""The models' manifest: what is here is told from what was shipped, and what is trained anew is recorded."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from multimood.cli import models as command
from multimood.errors import NotFoundError
from multimood.local.places import checkout
from multimood.models import Model, look, manifest, recorded
from multimood.models.shipped import dump, parse

pytestmark = pytest.mark.unit

OURS = Model("ours", "says something", "nothing", "none", "card.md", {"a/model.onnx": "", "package:b/weights.bin": ""})
INSIDE = Path(".venv-triton/lib/python3.11/site-packages/package/b/weights.bin")


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with one model: a file of its own, and one inside a package."""
    for file, data in ((Path("a/model.onnx"), b"graph"), (INSIDE, b"weights"), (Path("card.md"), b"# Ours\n")):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_bytes(data)
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "multimood" / "assets").mkdir(parents=True)
    shipped = OURS.with_digests({"a/model.onnx": digest(b"graph"), "package:b/weights.bin": digest(b"weights")})
    monkeypatch.setenv("MULTIMOOD_HOME", str(tmp_path))
    for module in ("multimood.cli.models.manifest", "multimood.models.shipped.manifest"):
        monkeypatch.setattr(module, lambda: (shipped,))
    return tmp_path


def run(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(command.app, arguments)
    assert result.exit_code == code, result.output
    return result.output


def test_what_this_version_ships_is_what_set_up_made_here() -> None:
    found = {one.file: one.state for model in manifest() for one in look(checkout(), model)}
    assert set(found.values()) == {"ok"}, found
    assert {model.name for model in manifest()} >= {
        path.name
        for path in (checkout() / "triton_models").iterdir()
        if path.is_dir() and not (path / "1" / "hub_encoder.py").exists()
    }
    assert all((checkout() / model.card).is_file() for model in manifest())


def test_the_manifest_is_read_as_it_was_written() -> None:
    assert parse(dump(manifest())) == manifest()


def test_an_unknown_model_is_named_with_the_known_ones() -> None:
    with pytest.raises(NotFoundError, match=r"no model 'fusoin' is shipped; there are text_encoder, .*fusion"):
        recorded("fusoin")


def test_everything_as_shipped(home: Path) -> None:
    assert "2 files of 1 models are what this version ships" in run("verify")
    target = home / "models.json"
    assert "says something" in run("ls", "--json", str(target))
    (only,) = json.loads(target.read_text())["models"]
    assert (only["name"], only["state"], only["files"][1]["bytes"]) == ("ours", "ok", len(b"weights"))


@pytest.mark.parametrize(("file", "named"), [(Path("a/model.onnx"), "a/model.onnx"), (INSIDE, "package:b/weights.bin")])
def test_a_file_that_is_another_or_gone_is_named_with_what_to_do(home: Path, file: Path, named: str) -> None:
    (home / file).write_bytes(b"other")
    assert f"changed: {named} (`make setup` makes ours; `models record` takes yours)" in run("verify", code=1)
    (home / file).unlink()
    assert f"missing: {named} (run `make setup`)" in run("verify", code=1)
    assert "missing" in run("ls")


def test_a_model_of_ones_own_is_recorded(home: Path) -> None:
    (home / "a" / "model.onnx").write_bytes(b"another graph")
    run("record", "ours")
    (model,) = parse((home / "multimood" / "assets" / "models.json").read_text())
    assert model.files == {"a/model.onnx": digest(b"another graph"), "package:b/weights.bin": digest(b"weights")}


def test_what_is_not_here_cannot_be_recorded(home: Path) -> None:
    (home / INSIDE).unlink()
    assert "package:b/weights.bin of ours is not here" in run("record", "ours", code=1)


def test_a_card_is_shown_with_source_and_licence(home: Path) -> None:
    assert run("show", "ours").startswith("ours: says something\nmade from: nothing\nlicence: none\n\n# Ours")
    (home / "card.md").unlink()
    assert "card.md is not there" in run("show", "ours", code=1)


def test_a_reply_model_is_placed_once_its_gate_let_it_pass(tmp_path: Path) -> None:
    repository, taught = tmp_path / "repository", tmp_path / "run"
    shutil.copytree(checkout() / "triton_models/responder", repository / "responder")
    taught.mkdir()
    (taught / "model.gguf").write_bytes(b"weights")
    assert "multimood rl evaluate" in run("place", str(taught), "--out", str(repository), code=1)
    gate = {"passed": True, "model_sha256": digest(b"weights"), "reasons": []}
    (taught / "gate.json").write_text(json.dumps(gate))
    assert str(repository / "responder/2") in run("place", str(taught), "--out", str(repository))
    assert (repository / "responder/2/model.gguf").read_bytes() == b"weights"
