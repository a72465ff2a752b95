"""How replies are written, wherever that is done."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class ReplySettings(BaseSettings):
    """Of the language model and of what it is asked."""

    model_config = SettingsConfigDict(env_prefix="MULTIMOOD_RESPONDER_", use_attribute_docstrings=True)

    model: str = "responder"
    """Name of the model on the Triton server."""
    prompt: Path | None = None
    """The operator's own prompt (TOML) in place of the shipped one."""
    max_tokens: int = Field(default=96, ge=1, le=2_048)
    """Longest reply. What is unfinished then is cut off."""
    max_sentences: int = Field(default=3, ge=0)
    """The model is stopped after so many sentences: small ones do not stop by themselves. 0: no limit."""
    temperature: float = Field(default=0.4, ge=0, le=2)
    dialogue_chars: int = Field(default=1_600, ge=100)
    """So much of the dialogue the model sees, the newest first; about a quarter of it in tokens."""
    whole_s: float = Field(default=30.0, gt=0)
    """The reply has to be finished in that time; then it is what is there, or a vetted one."""
