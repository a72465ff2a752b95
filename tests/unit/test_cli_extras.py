"""The command line is in images that have few packages: without the others it starts, and does what it is there for."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

LEARNING = ("scipy", "onnx", "pyarrow", "threadpoolctl")
"""Of the extra `ope`."""
OTHERS = (
    "tritonclient", "sklearn", "onnxruntime", "httpx", "jinja2", "tokenizers", "phonenumbers", "torch", "matplotlib",
)  # fmt: skip
WITHOUT = """
import sys

missing, words = sys.argv[1].split(","), sys.argv[2:]

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in missing:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
from multimood.cli import app
app(words)
"""


def run(missing: tuple[str, ...], *words: object) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-c", WITHOUT, ",".join(missing), *map(str, words)]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def test_topics_are_applied_from_the_gateways_image() -> None:
    done = run((*LEARNING, *OTHERS), "topics", "--help")
    assert done.returncode == 0, done.stderr[-2000:]
    assert "apply" in done.stdout


@pytest.mark.slow
def test_a_policy_is_learned_judged_and_promoted_from_the_training_image(tmp_path: Path) -> None:
    log, out = tmp_path / "log", tmp_path / "run"
    steps = {
        ("simulate", "--log", log, "--behaviour", "hasty", "--conversations", 200): {0},
        ("rl", "train", log, "--out", out): {0},
        ("rl", "evaluate", out, log): {0, 3},
        ("ope", log, "--policy", out): {0},
    }
    for words, codes in steps.items():
        done = run(OTHERS, *words)
        assert done.returncode in codes, done.stderr[-2000:]
    gate = json.loads((out / "gate.json").read_text())
    (out / "gate.json").write_text(json.dumps(gate | {"passed": True}))
    for words in (("promote", out, "--operator", "o"), ("evaluate", out, log, "--champion", "served"), ("status",)):
        done = run(OTHERS, "rl", *words, "--data", tmp_path / "none")
        assert (done.returncode, "no system runs" in done.stderr) == (1, True), done.stderr[-2000:]
