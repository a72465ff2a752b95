"""What is wanted of a hub's model, and the `config.pbtxt` that says so to Triton. Pure."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from multimood.errors import ConfigurationError
from multimood.media.video import FACE, SIZE

Modality = Literal["text", "audio", "video"]
LAST: Final = -1
MODALITIES: Final[tuple[Modality, ...]] = ("text", "audio", "video")

_INPUTS: Final[Mapping[str, Mapping[str, tuple[str, Sequence[int]]]]] = {
    "text": {"input_ids": ("TYPE_INT64", [-1]), "attention_mask": ("TYPE_INT64", [-1])},
    "audio": {"wave": ("TYPE_FP32", [-1])},
    "video": {"frames": ("TYPE_UINT8", [SIZE, SIZE, 3])},
}
_OUTPUTS: Final[Mapping[str, str]] = {"text": "embedding", "audio": "embedding", "video": "features"}
_ROWS: Final[Mapping[str, int]] = {"text": 32, "audio": 4, "video": 16}
"""Most rows of a request, as of the shipped model of that modality."""


@dataclass(frozen=True, slots=True)
class HubModel:
    """A model of a hub as it is to serve."""

    modality: Modality
    source: str
    """Its name on the hub, or a folder."""
    revision: str
    """The commit it was taken from; empty for a folder."""
    pooling: str
    name: str
    """Of the model on Triton."""
    faces: str = ""
    """Of pictures: the model on Triton that finds the face to be looked at; empty: frames are looked at whole."""
    normalize: bool = False
    """Vectors of length 1."""
    layer: int = LAST
    """Of sound: which layer is read, from 0; LAST: the last."""
    environment: Path | None = None
    """Python environment with torch and transformers; None: Triton's own has them."""
    threads: int = 1


def config_text(model: HubModel, widths: Sequence[int]) -> str:
    """The `config.pbtxt` of a model whose output has `widths` after the rows: [d].

    Raises:
        ConfigurationError: that is not what a model of this modality gives.
    """
    if len(widths) != 1 or widths[0] < 1:
        raise ConfigurationError(f"{model.source} gives {list(widths)} a row, expected for {model.modality}: one size")
    outputs = {_OUTPUTS[model.modality]: ("TYPE_FP32", widths)}
    if model.modality == "video":
        outputs = {"face": ("TYPE_FP32", [FACE]), **outputs}
    parameters = {
        "modality": model.modality,
        "source": model.source,
        "revision": model.revision,
        "pooling": model.pooling,
        "normalize": str(model.normalize).lower(),
        "faces": model.faces,
        "layer": str(model.layer) if model.modality == "audio" else "",
        "threads": str(model.threads),
    }
    if model.environment is not None:
        parameters["EXECUTION_ENV_PATH"] = str(model.environment)
    lines = [
        "# A model of a hub, written by `multimood models use` (docs/bring-your-own.md). Its weights are in 1/weights.",
        f"name: {_text(model.name)}",
        'backend: "python"',
        f"max_batch_size: {_ROWS[model.modality]}",
        *_tensors("input", _INPUTS[model.modality]),
        *_tensors("output", outputs),
        "instance_group [ { kind: KIND_AUTO count: 1 } ]",
        "# No queue policy: it makes this Triton stall for half a second now and then. The client bounds what goes.",
        "dynamic_batching { }",
    ]
    lines += [
        f"parameters {{ key: {_text(key)} value: {{ string_value: {_text(value)} }} }}"
        for key, value in parameters.items()
        if value
    ]
    return "\n".join(lines) + "\n"


def settings_of(model: HubModel, widths: Sequence[int], folder: Path) -> dict[str, str]:
    """The variables that make the services ask this model, by name; `folder` is the model's in the repository."""
    prefix = f"MULTIMOOD_{model.modality.upper()}_ENCODER"
    settings = {f"{prefix}_MODEL": model.name}
    if model.modality == "text":
        settings[f"{prefix}_TOKENIZER"] = str(folder / "1" / "weights" / "tokenizer.json")
    if model.modality == "audio":
        settings |= {f"{prefix}_INPUT": "wave"}
    return settings | {f"MULTIMOOD_WIDTH_{model.modality.upper()}": str(vector_width(model.modality, widths))}


def vector_width(modality: Modality, widths: Sequence[int]) -> int:
    """How wide the vector is that fusion gets: of pictures the mean and the deviation over the frames."""
    return 2 * widths[-1] if modality == "video" else widths[-1]


def _tensors(kind: str, tensors: Mapping[str, tuple[str, Sequence[int]]]) -> list[str]:
    """The lines that declare the inputs or the outputs."""
    each = [
        f"  {{ name: {_text(name)} data_type: {type_} dims: [ {', '.join(map(str, sizes))} ] }}"
        for name, (type_, sizes) in tensors.items()
    ]
    return [f"{kind} [", ",\n".join(each), "]"]


def _text(value: str) -> str:
    return json.dumps(value)
