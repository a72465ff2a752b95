"""A reply model from a corpus to the real Triton: taught, written for llama.cpp, placed, served by version and hash.

The model is tiny and invented, so that all of it takes a minute; the shipped one goes the same way. What is taught runs
in the training environment.
"""

import json
import os
import shutil
import subprocess
from contextlib import aclosing
from pathlib import Path

import pytest
from reply_corpus import WORDS, corpus

from multimood.generation import Ask, ChatMessage, TritonGenerator
from multimood.inference import InferenceClient
from multimood.learning.replies.written import sha256_of
from multimood.local.parts import TRITON_PORTS
from multimood.local.places import checkout
from multimood.local.ports import assign
from multimood.local.server import wait_ready
from multimood.local.triton import TritonServer
from multimood.rollout.errors import PromotionRefusedError
from multimood.rollout.placing import place
from multimood.settings import TritonSettings

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

TRAINING = checkout() / ".venv-train/bin/python"


ENVIRONMENT = os.environ | {"PYTHONPATH": str(checkout()), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
ASK = Ask([ChatMessage("user", WORDS[0])], 12, 0.0, 1, 30.0)
MADE = """
import sys
from pathlib import Path
sys.path.insert(0, "tests")
from tiny_llama import tiny_gguf
tiny_gguf(Path(sys.argv[1]))
"""
SAYS = """
import sys
from multimood.learning.replies.base import open_base
model, tokenizer = open_base(sys.argv[1])
chat = [{"role": "user", "content": sys.argv[2]}]
asked = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
written = model.generate(**asked, max_new_tokens=12, do_sample=False, pad_token_id=tokenizer.pad_token_id)
print(tokenizer.decode(written[0, asked["input_ids"].shape[1] :], skip_special_tokens=True))
"""


def training(code: str, *arguments: str | Path, code_of_end: int = 0) -> str:
    """Run in the training environment; gives what was printed."""
    done = subprocess.run(
        [TRAINING, "-c", code, *map(str, arguments)], env=ENVIRONMENT, cwd=checkout(), capture_output=True, text=True,
        timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == code_of_end, done.stderr[-2_000:]
    return done.stdout


def command(*arguments: str | Path, code_of_end: int = 0) -> str:
    return training("from multimood.cli import app; app()", *arguments, code_of_end=code_of_end)


async def replies_of(repository: Path, folder: Path) -> tuple[str, str]:
    """What the responder there says, and the version that it tells."""
    server = TritonServer(log=folder / "triton.log", ports=assign(TRITON_PORTS), repository=repository)
    server.start()
    client = InferenceClient(TritonSettings(url=server.url, deadline_s=30))
    try:
        wait_ready(server, server.log, 90)
        async with aclosing(TritonGenerator(client).stream(ASK)) as stream:
            pieces = [piece async for piece in stream]
        return "".join(piece.text for piece in pieces), pieces[0].model_version
    finally:
        await client.close()
        server.stop()


async def test_from_a_corpus_to_replies_by_version_and_hash(tmp_path: Path) -> None:
    if not TRAINING.exists():
        pytest.skip("needs the training environment: `make train-env`")
    base, run, data = tmp_path / "tiny.gguf", tmp_path / "run", corpus(tmp_path / "data")
    training(MADE, base)
    small = [
        one for value in ("steps=2", "batch=2", "rank=2", "tokens=900", "dtype=float32") for one in ("--set", value)
    ]
    told = json.loads(
        command("rl", "train", "--learner", "sft", "--dialogues", data, "--base", base, "--out", run, *small)
    )
    assert told["steps"] == 2
    assert told["files"]["model.gguf"] == sha256_of(run / "model.gguf")
    assert {path.name for path in run.iterdir()} == {
        "adapter", "model.gguf", "config.json", "data.json", "metrics.json", "environment.json", "card.md",
        "progress.jsonl",
    }  # fmt: skip

    repository = tmp_path / "repository"
    shutil.copytree(checkout() / "triton_models/responder", repository / "responder")
    config = repository / "responder/config.pbtxt"
    config.write_text(config.read_text().replace('string_value: "1.1"', 'string_value: "1.0"'))  # no penalty
    with pytest.raises(PromotionRefusedError, match="no gate has judged"):
        await place(run, repository)
    shown = command("rl", "evaluate", run, "--dialogues", data, "--contexts", "4", code_of_end=3)
    assert "empathy-epitome: empathy" in shown
    with pytest.raises(PromotionRefusedError, match="the gate did not let this pass"):
        await place(run, repository)

    gate = json.loads((run / "gate.json").read_text(encoding="utf-8"))
    assert (gate["learner"], gate["champion_sha256"]) == ("sft", sha256_of(base))
    (run / "gate.json").write_text(json.dumps(gate | {"passed": True}), encoding="utf-8")  # as a human may
    assert await place(run, repository) == 2
    said, version = await replies_of(repository, tmp_path)
    assert version == f"2@{sha256_of(run / 'model.gguf')[:12]}"
    assert said == training(SAYS, run / "model.gguf", WORDS[0]).rstrip("\n"), "llama.cpp says what transformers does"

    (run / "model.gguf").write_bytes(base.read_bytes())
    with pytest.raises(PromotionRefusedError, match=r"is of another model\.gguf"):
        await place(run, repository)


@pytest.mark.parametrize("learner", ["sft", "dpo"])
def test_two_processes_teach_one_model(tmp_path: Path, learner: str) -> None:
    if not TRAINING.exists():
        pytest.skip("needs the training environment: `make train-env`")
    base, run, data, script = tmp_path / "tiny.gguf", tmp_path / "run", corpus(tmp_path / "data"), tmp_path / "main.py"
    training(MADE, base)
    script.write_text("from multimood.cli import app\n\napp()\n", encoding="utf-8")
    small = ("steps=2", "batch=2", "rank=2", "tokens=900", "dtype=float32", "candidates=2", "min_gap=0.0001")
    done = subprocess.run(
        [
            TRAINING, "-m", "torch.distributed.run", "--nproc_per_node", "2", script, "rl", "train",
            "--learner", learner, "--dialogues", data, "--base", base, "--out", run,
            *(one for value in small for one in ("--set", value)),
        ],
        env=ENVIRONMENT | {"ACCELERATE_USE_CPU": "true"}, cwd=checkout(), capture_output=True, text=True, timeout=300,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2_000:]
    assert json.loads(done.stdout)["steps"] == 2, "one of them tells"
    assert not (run / "checkpoint").exists()
    assert (run / "model.gguf").is_file()
