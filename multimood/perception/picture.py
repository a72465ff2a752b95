"""Frames of a clip to the video encoder's question, and its answer to a vector. No face: no vector."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic_settings import BaseSettings, SettingsConfigDict

from multimood.inference.contract import ANY, Contract
from multimood.inference.tensors import Tensor
from multimood.media import video
from multimood.perception.widths import WidthSettings, remedy

Arrays = Mapping[str, NDArray[Any]]


class VideoModelSettings(BaseSettings):
    """How pictures are embedded, wherever that is done."""

    model_config = SettingsConfigDict(env_prefix="MULTIMOOD_VIDEO_ENCODER_", use_attribute_docstrings=True)

    model: str = "video_encoder"
    """On the Triton server: frames uint8 [n,448,448,3] -> face fp32 [n,5], features fp32 [n,d]."""
    frames_per_s: float = 4.0
    most_frames: int = 12
    """Frames of a clip that are looked at; Triton takes 16 in a request."""


def picture_question(frames: video.Frames) -> Arrays:
    """The model's inputs for a clip: uint8 [n, 448, 448, 3]."""
    return {"frames": frames}


def picture_contract(own: VideoModelSettings, widths: WidthSettings) -> Contract:
    """What the model must take and give."""
    return Contract(
        own.model,
        [Tensor("frames", "UINT8", (ANY, video.SIZE, video.SIZE, 3))],
        [Tensor("face", "FP32", (ANY, video.FACE)), Tensor("features", "FP32", (ANY, widths.video // 2))],
        remedy("MULTIMOOD_VIDEO_ENCODER_MODEL", "MULTIMOOD_WIDTH_VIDEO"),
    )


def picture_vector(outputs: Arrays) -> NDArray[np.float32] | None:
    """The vector of one clip: float32 [2 d]; None when no frame shows a face."""
    pooled = video.pool(outputs["face"], outputs["features"], outputs.get("probs"))
    return None if pooled is None else pooled[0]
