"""What may be promoted at all: the gate's leave for this very graph, a graph that is a policy, somebody's leave."""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from multimood.contracts.v1 import events_pb2, graph_pb2
from multimood.local.places import checkout
from multimood.rollout.approval import approved_by, check_never_taken_back
from multimood.rollout.candidate import PolicyCandidate, ReplyCandidate, candidate_of
from multimood.rollout.comparison import Comparison
from multimood.rollout.errors import PromotionRefusedError
from multimood.rollout.graph_file import described

pytestmark = pytest.mark.unit

MESC: Mapping[str, str] = {"state_version": "state-1:mesc", "taxonomy": "mesc", "learner": "bandit", "policy": "spring"}


def graph(
    properties: Mapping[str, str] = MESC,
    *,
    state: int = 47,
    eligible: int = 10,
    strategy: int = 10,
    elem: int = 1,
    names: tuple[str, ...] = ("state", "eligible"),
) -> bytes:
    def value(name: str, width: int) -> graph_pb2.GraphFile.Value:
        shape = graph_pb2.GraphFile.Shape(dim=[{}, {"dim_value": width}])
        return graph_pb2.GraphFile.Value(name=name, type={"tensor_type": {"elem_type": elem, "shape": shape}})

    widths = {"state": state, "eligible": eligible}
    file = graph_pb2.GraphFile(
        graph={
            "input": [value(name, widths.get(name, 1)) for name in names],
            "output": [value("strategy", strategy)],
        },
        metadata_props=[{"key": key, "value": text} for key, text in properties.items()],
    )
    return file.SerializeToString()


def run(folder: Path, content: bytes, **gate: Any) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "policy.onnx").write_bytes(content)
    told = {"passed": True, "policy_sha256": hashlib.sha256(content).hexdigest(), "champion": "logged", "at": "then"}
    (folder / "gate.json").write_text(json.dumps({**told, **gate}))
    return folder


def test_a_graph_that_the_gate_let_pass(tmp_path: Path) -> None:
    content = graph()
    found = candidate_of(run(tmp_path / "run", content))
    assert isinstance(found, PolicyCandidate)
    assert (found.graph, found.taxonomy, found.compared.name, found.judged_at) == (content, "mesc", "logged", "then")
    assert found.sha256 == hashlib.sha256(content).digest()
    assert found.properties["policy"] == "spring"


def test_the_shipped_graph_is_a_policy() -> None:
    taxonomy, properties = described((checkout() / "triton_models/policy/1/model.onnx").read_bytes())
    assert (taxonomy, properties["learner"]) == ("mesc", "none")


def test_both_taxonomies() -> None:
    esconv = {**MESC, "state_version": "state-1:esconv", "taxonomy": "esconv"}
    assert described(graph(esconv, state=41, eligible=8, strategy=8))[0] == "esconv"


@pytest.mark.parametrize(
    ("gate", "why"),
    [
        ({"passed": False, "reasons": ["thin support", "a slice got worse"]}, "thin support; a slice got worse"),
        ({"passed": False}, "names no reason"),
        ({"passed": "true"}, "did not let"),
        ({"passed": 1}, "did not let"),
        ({"policy_sha256": "ab" * 32}, "is of another policy.onnx"),
        ({"policy_sha256": None}, "is of another policy.onnx"),
    ],
)
def test_a_gate_that_did_not_let_this_graph_pass(tmp_path: Path, gate: dict[str, Any], why: str) -> None:
    with pytest.raises(PromotionRefusedError, match=why):
        candidate_of(run(tmp_path / "run", graph(), **gate))


@pytest.mark.parametrize("text", ["", "no json", "[]", "null", '"passed"', "\x00"])
def test_a_gate_that_is_none(tmp_path: Path, text: str) -> None:
    folder = run(tmp_path / "run", graph())
    (folder / "gate.json").write_text(text)
    with pytest.raises(PromotionRefusedError, match=r"is no JSON object.*rl evaluate"):
        candidate_of(folder)


def test_a_run_without_a_gate_or_without_a_policy(tmp_path: Path) -> None:
    folder = run(tmp_path / "run", graph())
    (folder / "gate.json").unlink()
    with pytest.raises(PromotionRefusedError, match="no gate has judged"):
        candidate_of(folder)
    with pytest.raises(PromotionRefusedError, match="no run of a policy"):
        candidate_of(tmp_path / "nowhere")


def replies(folder: Path, weights: bytes = b"weights", **gate: Any) -> Path:
    folder.mkdir()
    (folder / "model.gguf").write_bytes(weights)
    told = {
        "passed": True, "kind": "replies", "model_sha256": hashlib.sha256(weights).hexdigest(), "champion": "before",
        "champion_sha256": "ab" * 32, "learner": "dpo", "at": "then",
    }  # fmt: skip
    (folder / "gate.json").write_text(json.dumps({**told, **gate}))
    return folder


def test_weights_that_the_gate_let_pass(tmp_path: Path) -> None:
    found = candidate_of(replies(tmp_path / "warm"))
    assert isinstance(found, ReplyCandidate)
    assert (found.weights, found.sha256) == (tmp_path / "warm/model.gguf", hashlib.sha256(b"weights").digest())
    assert (found.compared.sha256, found.judged_at) == ("ab" * 32, "then")
    file = rules(tmp_path, 'operator = "nightly"\nlearners = ["sft", "dpo"]\npolicies = ["warm"]\n')
    assert approved_by("", file, found) == "nightly"
    with pytest.raises(PromotionRefusedError, match="lets sft pass, this is of 'dpo'"):
        approved_by("", rules(tmp_path, 'operator = "nightly"\nlearners = ["sft"]\n'), found)


def test_weights_that_may_not_be_served(tmp_path: Path) -> None:
    for number, (gate, why) in enumerate(
        [
            ({"passed": False, "reasons": ["less kind"]}, "did not let this pass .less kind."),
            ({"model_sha256": "cd" * 32}, "is of another model.gguf"),
            ({"model_sha256": None, "policy_sha256": hashlib.sha256(b"weights").hexdigest()}, "is of another"),
        ]
    ):
        with pytest.raises(PromotionRefusedError, match=why):
            candidate_of(replies(tmp_path / str(number), **gate))
    only_adapter = replies(tmp_path / "adapter only")
    (only_adapter / "adapter").mkdir()
    (only_adapter / "model.gguf").unlink()
    with pytest.raises(PromotionRefusedError, match=r"model\.gguf is not there.*vLLM"):
        candidate_of(only_adapter)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"no graph at all", "is no ONNX graph"),
        (b"", "made for the state ''"),
        (graph({}), "made for the state ''"),
        (graph({"state_version": "state-9:mesc"}), "state-9:mesc"),
        (graph({**MESC, "taxonomy": "esconv"}), "names the taxonomy 'esconv' and the state"),
        (graph(state=41), "state 41"),
        (graph(strategy=8), "strategy 8"),
        (graph(elem=11), "state something else"),
        (graph(names=("state",)), "widths"),
        (graph(names=("state", "eligible", "mood")), "mood 1"),
    ],
)
def test_a_graph_that_is_no_policy(tmp_path: Path, content: bytes, why: str) -> None:
    with pytest.raises(PromotionRefusedError, match=why):
        candidate_of(run(tmp_path / "run", content))


# --- who lets it pass ------------------------------------------------------------------------------------------------

CANDIDATE = PolicyCandidate(
    hashlib.sha256(b"").digest(), {"learner": "bandit", "policy": "spring"}, Comparison("logged", "", {}), "then", b"",
    "mesc",
)  # fmt: skip
TODAY = datetime.now(UTC).date()


def rules(folder: Path, text: str) -> Path:
    file = folder / "approvals.toml"
    file.write_text(text)
    return file


def test_a_human_or_a_file_lets_it_pass(tmp_path: Path) -> None:
    assert approved_by("clinic", None, CANDIDATE) == "clinic"
    file = rules(tmp_path, f'operator = "nightly"\nlearners = ["bandit"]\nuntil = {TODAY}\n')
    assert approved_by("", file, CANDIDATE) == "nightly"
    assert approved_by("clinic", file, CANDIDATE) == "clinic"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('operator = "nightly"\nlearners = ["direct"]', "lets direct pass, this is of 'bandit'"),
        ('operator = "nightly"\nlearners = ["bandit"]\npolicies = ["autumn"]', "names autumn, this is 'spring'"),
        (f'operator = "n"\nlearners = ["bandit"]\nuntil = {TODAY - timedelta(days=1)}', "gave its leave until"),
        ('learners = ["bandit"]', "operator: Field required"),
        ('operator = "n"\nlearners = []', "learners"),
        ('operator = "n"\nlearners = ["bandit"]\nlearner = "x"', "learner: Extra inputs"),
        ("operator =", "is no TOML"),
    ],
)
def test_rules_that_do_not(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(PromotionRefusedError, match=why):
        approved_by("clinic", rules(tmp_path, text), CANDIDATE)


def test_nobody(tmp_path: Path) -> None:
    with pytest.raises(PromotionRefusedError, match="say who with --operator"):
        approved_by("", None, CANDIDATE)
    with pytest.raises(PromotionRefusedError, match="is not there"):
        approved_by("clinic", tmp_path / "none.toml", CANDIDATE)


def test_what_was_taken_back_is_a_human_s_affair() -> None:
    def step(stage: events_pb2.RolloutStage, graph: bytes) -> events_pb2.Rollout:
        version = events_pb2.PolicyVersion(version="2", sha256=hashlib.sha256(graph).digest())
        return events_pb2.Rollout(stage=stage, challenger=version, reason="trust fell")

    check_never_taken_back([step(events_pb2.ROLLOUT_STAGE_ROLLED_BACK, b"another")], CANDIDATE)
    check_never_taken_back([step(events_pb2.ROLLOUT_STAGE_CANARY, CANDIDATE.graph)], CANDIDATE)
    with pytest.raises(PromotionRefusedError, match=r"taken back before .trust fell."):
        check_never_taken_back([step(events_pb2.ROLLOUT_STAGE_ROLLED_BACK, CANDIDATE.graph)], CANDIDATE)
