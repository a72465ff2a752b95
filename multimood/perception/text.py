"""Words to the text encoder's question, and its answer to a vector."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic_settings import BaseSettings, SettingsConfigDict

from multimood.inference.contract import ANY, Contract
from multimood.inference.tensors import Tensor
from multimood.media.text import TextTokenizer
from multimood.perception.widths import WidthSettings, remedy

Arrays = Mapping[str, NDArray[Any]]


class TextModelSettings(BaseSettings):
    """How words are embedded, wherever that is done."""

    model_config = SettingsConfigDict(env_prefix="MULTIMOOD_TEXT_ENCODER_", use_attribute_docstrings=True)

    tokenizer: Path = Path(".tools/text_encoder/tokenizer.json")
    """The model's own tokenizer.json."""
    model: str = "text_encoder"
    """Name of the model on the Triton server: input_ids, attention_mask int64 [b,t] -> embedding fp32 [b,d]."""


def text_question(tokenizer: TextTokenizer, text: str) -> Arrays:
    """The model's inputs for one text: int64 [1, t] each."""
    ids, mask = tokenizer.encode(text)
    return {"input_ids": ids, "attention_mask": mask}


def text_vector(outputs: Arrays) -> NDArray[np.float32]:
    """The vector of one text: float32 [d]."""
    vector: NDArray[np.float32] = outputs["embedding"][0]
    return vector


def text_contract(own: TextModelSettings, widths: WidthSettings) -> Contract:
    """What the model must take and give."""
    return Contract(
        own.model,
        [Tensor("input_ids", "INT64", (ANY, ANY)), Tensor("attention_mask", "INT64", (ANY, ANY))],
        [Tensor("embedding", "FP32", (ANY, widths.text))],
        remedy("MULTIMOOD_TEXT_ENCODER_MODEL", "MULTIMOOD_WIDTH_TEXT"),
    )
