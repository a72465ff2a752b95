"""Bringing a version: what fails on the way leaves nothing, what is there already keeps its number."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from multimood.errors import MultimoodError, UnavailableError
from multimood.local.triton_http import AnswerError
from multimood.local.triton_http import Version as Seen
from multimood.perception.strategy import SHIPPED
from multimood.rollout.bring import Place
from multimood.rollout.candidate import ReplyCandidate
from multimood.rollout.comparison import Comparison
from multimood.rollout.errors import PromotionRefusedError
from multimood.rollout.replies import ReplyGoods
from multimood.rollout.repository import PROGRAM, FolderRepository
from multimood.rollout.serving import Servers
from multimood.rollout.standing import Version

pytestmark = pytest.mark.unit

CONFIG = 'name: "responder"\nversion_policy: { all { } }\n'
FIRST = Version(SHIPPED, b"s" * 32)
FINE = {"text": "Hi.", "finish": "stop", "token_log_probs": -0.5}


@dataclass
class Server:
    """Triton as far as it is asked: it serves what lies in the repository, and says which weights those are."""

    root: Path
    faults: dict[str, Any] = field(default_factory=dict)
    """By model: an error when it is loaded, or what is otherwise in its answers."""
    served: set[tuple[str, str]] = field(default_factory=set)
    url: str = "http://one:8000"

    def is_ready(self) -> bool:
        return True

    def load(self, model: str, _within_s: float = 0) -> None:
        if isinstance(fault := self.faults.get(model), MultimoodError):
            raise fault
        self.unload(model)
        self.served |= {(model, folder.name) for folder in (self.root / model).glob("[0-9]*")}

    def unload(self, model: str) -> None:
        self.served = {one for one in self.served if one[0] != model}

    def versions(self, model: str) -> list[Seen]:
        return [Seen(name, version, "READY", "") for name, version in self.served if name == model]

    def generate(self, model: str, _inputs: object, version: str, _within_s: float) -> list[Mapping[str, Any]]:
        assert (model, version) in self.served
        weights = (self.root / model / version / "model.gguf").read_bytes()
        return [{**FINE, "weights": hashlib.sha256(weights).hexdigest(), **self.faults.get(model, {})}]


@pytest.fixture
def servers(tmp_path: Path) -> tuple[Server, Server]:
    """Two that read one repository, in which there is version 1."""
    folder = tmp_path / "models" / "responder" / "1"
    folder.mkdir(parents=True)
    for name in PROGRAM:
        (folder / name).write_text(f"# {name}")
    (folder.parent / "config.pbtxt").write_text(CONFIG)
    one, two = Server(tmp_path / "models"), Server(tmp_path / "models", url="http://two:8000")
    for server in (one, two):
        server.load("responder")
    return one, two


def place_of(servers: tuple[Server, Server]) -> Place:
    each: Any = servers
    return Place("responder", FolderRepository(servers[0].root), Servers(each), FIRST)


def goods(folder: Path, weights: bytes = b"weights") -> ReplyGoods:
    file = folder / "model.gguf"
    file.write_bytes(weights)
    return ReplyGoods(ReplyCandidate(hashlib.sha256(weights).digest(), {}, Comparison("", "", {}), "", file))


def there(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.glob("*/*"))


async def test_a_version_is_the_program_of_the_first_with_other_weights_on_every_server(
    servers: tuple[Server, Server], tmp_path: Path
) -> None:
    place, root = place_of(servers), servers[0].root
    brought = await place.bring(goods(tmp_path), (4,))
    assert brought == Version("5", hashlib.sha256(b"weights").digest()), "4 was given before"
    assert there(root) == ["responder/1", "responder/5", "responder/config.pbtxt"]
    assert {path.name for path in (root / "responder/5").iterdir()} == {*PROGRAM, "model.gguf", "__pycache__"}
    assert all((root / "responder/5" / name).read_text() == f"# {name}" for name in PROGRAM)
    for server in servers:
        assert server.served == {("responder", "1"), ("responder", "5")}
    assert await place.bring(goods(tmp_path), (4, 5)) == brought, "the same weights keep their version"
    assert await place.versions() == {1: FIRST.sha256, 5: brought.sha256}
    assert await place.prune([FIRST], kept=0) == [5]
    assert there(root) == ["responder/1", "responder/config.pbtxt"]


@pytest.mark.parametrize(
    ("model", "fault", "why"),
    [
        ("responder_trial", AnswerError("no GGUF"), "cannot load these weights: no GGUF"),
        ("responder_trial", UnavailableError("gone"), "gone"),
        ("responder_trial", {"text": ""}, "writes nothing"),
        ("responder_trial", {"weights": "ab" * 32}, "has other weights"),
        ("responder", AnswerError("no memory"), "cannot load responder: no memory"),
        ("responder", {"finish": "cancelled"}, "comes to no end"),
    ],
)
async def test_what_one_server_cannot_serve_leaves_nothing_on_any(
    servers: tuple[Server, Server], tmp_path: Path, model: str, fault: Any, why: str
) -> None:
    place, before = place_of(servers), there(servers[0].root)
    servers[1].faults[model] = fault
    with pytest.raises((PromotionRefusedError, UnavailableError), match=why):
        await place.bring(goods(tmp_path), ())
    assert there(servers[0].root) == before
    servers[1].faults.clear()
    for server in servers:
        server.load("responder")
        assert server.served == {("responder", "1")}
