"""The model with its adapter: made anew or opened again, saved, merged into plain weights."""

from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from multimood.errors import ConfigurationError, NotFoundError
from multimood.learning.replies.recipe import Recipe

ADAPTER: Final = "adapter"
TAUGHT: Final = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def taught(model: Any, recipe: Recipe, start: Path | None) -> Any:
    """The model with an adapter to be trained: a new one, or that of an earlier run.

    Raises:
        NotFoundError: `start` is no run with an adapter.
        ConfigurationError: its adapter does not fit the model.
    """
    from peft import LoraConfig, PeftModel, TaskType, get_peft_model  # noqa: PLC0415 - of the training environment

    if start is not None:
        folder = adapter_of(start)
        try:
            return PeftModel.from_pretrained(model, str(folder), is_trainable=True)
        except (ValueError, RuntimeError, KeyError) as error:
            raise ConfigurationError(f"{folder} is no adapter of this base ({type(error).__name__})") from error
    names = {name.rpartition(".")[2] for name, _ in model.named_modules()}
    targets: Any = [name for name in TAUGHT if name in names] or "all-linear"
    return get_peft_model(
        model,
        LoraConfig(
            r=recipe.rank, lora_alpha=2 * recipe.rank, lora_dropout=recipe.dropout, target_modules=targets,
            task_type=TaskType.CAUSAL_LM,
        ),
    )  # fmt: skip


def opened(model: Any, run: Path) -> Any:
    """The model with a run's adapter in its weights, as it is served. Raises NotFoundError, ConfigurationError."""
    from peft import PeftModel  # noqa: PLC0415

    folder = adapter_of(run)
    dtype = model.dtype
    try:
        return PeftModel.from_pretrained(model.float(), str(folder)).merge_and_unload().to(dtype).eval()
    except (ValueError, RuntimeError, KeyError) as error:
        raise ConfigurationError(f"{run} holds no adapter of this base ({type(error).__name__})") from error


def adapter_of(run: Path) -> Path:
    """A run's adapter. Raises NotFoundError."""
    folder = run / ADAPTER
    if not (folder / "adapter_config.json").is_file():
        raise NotFoundError(f"{run} holds no {ADAPTER}/: give the folder of a finished run of a reply model")
    return folder


def save(model: Any, tokenizer: Any, folder: Path, base: str) -> None:
    """Write the adapter; `base` says what it belongs to, for whoever loads it elsewhere."""
    model.peft_config["default"].base_model_name_or_path = base
    model.save_pretrained(str(folder), selected_adapters=["default"])
    tokenizer.save_pretrained(str(folder))


def merged(model: Any) -> dict[str, NDArray[np.float32]]:
    """The weights with the adapter in them, float32, by transformers' names. The model is of no use afterwards.

    Merged in float32: what an adapter adds would else be rounded away beside weights of 16 bits.
    """
    plain = model.float().merge_and_unload()
    return {name: values.detach().cpu().numpy() for name, values in plain.named_parameters()}
