"""How a conversation is perceived, wherever that is done."""

from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class PerceptionSettings(BaseSettings):
    """Of the fusion model and of what it is told."""

    model_config = SettingsConfigDict(env_prefix="MULTIMOOD_STRATEGIST_", use_attribute_docstrings=True)

    taxonomy: Literal["mesc", "esconv"] = "mesc"
    """Whose strategies are chosen from: MESC's ten or ESConv's eight."""
    model: str = "fusion"
    """On the Triton server: text, audio, video, present, history -> emotion, intensity, stage, strategies."""
    turns: int = Field(default=12, ge=2, le=48)
    """Turns of the dialogue that are remembered and handed on, the person's and the system's together."""
    turn_chars: int = Field(default=2_000, ge=64, le=4_000)
    """Characters of a turn that are kept: of a longer one the beginning and, twice as much, the end."""
