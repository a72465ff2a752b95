"""What a run of a reply model leaves beside its weights: what it was made of, how it went, and a card."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from multimood.learning.replies.recipe import Recipe
from multimood.training.card import write_card
from multimood.training.runs import Run

METHODS: Final = {
    "sft": "Supervised fine-tuning on replies that people or a served model gave",
    "dpo": "Direct preference optimisation on pairs of replies",
    "grpo": "Group relative policy optimisation by the project's own reward",
}


def finish(run: Run, recipe: Recipe, metrics: Mapping[str, Any], data: Mapping[str, Any], base: str) -> dict[str, Any]:
    """Write data.json, metrics.json, environment.json and card.md; gives the metrics with hashes of what is served."""
    files = {
        str(path.relative_to(run.folder)): sha256_of(path)
        for path in (run.folder / "model.gguf", run.folder / "adapter" / "adapter_model.safetensors")
        if path.is_file()
    }
    (run.folder / "data.json").write_text(json.dumps(dict(data), indent=2) + "\n", encoding="utf-8")
    found = {**metrics, "files": files}
    run.finish(found)
    about = (
        f"{METHODS[recipe.learner]} (LoRA, rank {recipe.rank}), from {data['from']}. Base: {Path(base).name}. It "
        "writes replies in emotional support and is no therapist: the guard, the sentinel and the vetted replies stay "
        "before it. Weights carry the licences of base and data: ESConv is CC BY-NC 4.0, MESC has none, a log belongs "
        "to those whose words are in it. The figures below are of the training; `multimood rl evaluate` tells what it "
        "is worth."
    )
    write_card(run.folder / "card.md", f"Reply model: {recipe.learner}", about, metrics)
    return found


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, hexadecimal; read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
