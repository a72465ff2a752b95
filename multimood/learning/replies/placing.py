"""A tuned reply model into a Triton model repository, as a version beside the shipped one.

The version's folder holds the responder's own program and the weights; Triton serves the highest number unless its
configuration says otherwise. Replies then say `2@<hash of the weights>` for their model's version. Taken out again, the
version before it serves.
"""

import json
import shutil
from pathlib import Path
from typing import Final

from multimood.errors import ConfigurationError, NotFoundError
from multimood.learning.replies.written import sha256_of

MODEL: Final = "responder"
WEIGHTS: Final = "model.gguf"
PROGRAM: Final = ("chat.py", "engine.py", "model.py")


def place(run: Path, repository: Path) -> int:
    """Put a run's weights into the repository as the next version, whole or not at all; gives its number.

    Raises:
        NotFoundError: the run has no weights for llama.cpp, or the repository no responder.
        ConfigurationError: the gate has not let these weights pass.
    """
    weights, model = run / WEIGHTS, repository / MODEL
    if not weights.is_file():
        raise NotFoundError(f"{run} holds no {WEIGHTS}: only a base in GGUF gives one; serve adapter/ by vLLM instead")
    _check_gate(run, weights)
    versions = sorted(int(path.name) for path in model.glob("*") if path.is_dir() and path.name.isdigit())
    if not versions:
        raise NotFoundError(f"{model} holds no version of the responder: give a Triton model repository")
    number, part = versions[-1] + 1, model / f".{versions[-1] + 1}.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    for name in PROGRAM:
        shutil.copy2(model / str(versions[0]) / name, part / name)
    shutil.copy2(weights, part / WEIGHTS)
    part.rename(model / str(number))
    return number


def _check_gate(run: Path, weights: Path) -> None:
    try:
        gate = json.loads((run / "gate.json").read_text(encoding="utf-8"))
        passed, told = gate["passed"], gate["model_sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        raise ConfigurationError(f"{run} has not been evaluated: `multimood rl evaluate` is the gate") from None
    if told != sha256_of(weights):
        raise ConfigurationError(f"{weights} is not what was evaluated: evaluate {run} again")
    if not passed:
        raise ConfigurationError(f"the gate refused {run}: {'; '.join(gate['reasons'])}")
