"""Speech to the audio encoder's question, and its answer to a vector."""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic_settings import BaseSettings, SettingsConfigDict

from multimood.inference.contract import ANY, Contract
from multimood.inference.tensors import Tensor
from multimood.media import audio
from multimood.perception.widths import WidthSettings, remedy

Arrays = Mapping[str, NDArray[Any]]


class AudioModelSettings(BaseSettings):
    """How sound is embedded, wherever that is done."""

    model_config = SettingsConfigDict(env_prefix="MULTIMOOD_AUDIO_ENCODER_", use_attribute_docstrings=True)

    model: str = "audio_encoder"
    """On the Triton server: mel fp32 [b,80,t], or wave fp32 [b,n], -> embedding fp32 [b,d]."""
    input: Literal["mel", "wave"] = "mel"
    """What it is asked with: Whisper's log-mel picture, or the wave itself, 16 kHz, as models from a hub take it."""


def sound_question(wave: audio.Wave, kind: Literal["mel", "wave"] = "mel") -> Arrays:
    """The model's inputs for a wave, float32 [n] at 16 kHz: of a long one its last 30 s. Takes milliseconds."""
    if kind == "mel":
        return {"mel": audio.log_mel(wave)}
    return {"wave": np.ascontiguousarray(wave[-audio.MOST_FRAMES * audio.HOP :], np.float32)[None]}


def sound_contract(own: AudioModelSettings, widths: WidthSettings) -> Contract:
    """What the model must take and give."""
    shapes = {"mel": (ANY, audio.MELS, ANY), "wave": (ANY, ANY)}
    return Contract(
        own.model,
        [Tensor(own.input, "FP32", shapes[own.input])],
        [Tensor("embedding", "FP32", (ANY, widths.audio))],
        "MULTIMOOD_AUDIO_ENCODER_INPUT says what the model is asked with. "
        + remedy("MULTIMOOD_AUDIO_ENCODER_MODEL", "MULTIMOOD_WIDTH_AUDIO"),
    )


def transcriber_contract(model: str) -> Contract:
    """What the model that writes down speech must take and give."""
    return Contract(
        model,
        [Tensor("mel", "FP32", (audio.MELS, ANY))],
        [Tensor("text", "BYTES", (1,)), Tensor("no_speech", "FP32", (1,))],
        "Serve what MULTIMOOD_AUDIO_ENCODER_TRANSCRIBER should name",
    )


def sound_vector(outputs: Arrays) -> NDArray[np.float32]:
    """The vector of one wave: float32 [d]."""
    vector: NDArray[np.float32] = outputs["embedding"][0]
    return vector
