"""Speech to the audio encoder's question, and its answer to a vector."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic_settings import BaseSettings, SettingsConfigDict

from multimood.media import audio

Arrays = Mapping[str, NDArray[Any]]


class AudioModelSettings(BaseSettings):
    """How sound is embedded, wherever that is done."""

    model_config = SettingsConfigDict(env_prefix="MULTIMOOD_AUDIO_ENCODER_", use_attribute_docstrings=True)

    model: str = "audio_encoder"
    """On the Triton server: mel fp32 [b,80,t] -> embedding fp32 [b,256]."""


def sound_question(wave: audio.Wave) -> Arrays:
    """The model's inputs for a wave, float32 [n] at 16 kHz: of a long one its last 30 s. Takes milliseconds."""
    return {"mel": audio.log_mel(wave)}


def sound_vector(outputs: Arrays) -> NDArray[np.float32]:
    """The vector of one wave: float32 [256]."""
    vector: NDArray[np.float32] = outputs["embedding"][0]
    return vector
