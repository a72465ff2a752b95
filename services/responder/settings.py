from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class ResponderSettings(BaseSettings):
    """Of the responder alone."""

    model_config = SettingsConfigDict(env_prefix="MULTIMOOD_RESPONDER_", use_attribute_docstrings=True)

    backend: Literal["triton", "openai"] = "triton"
    """Where the language model is: on the Triton server, or behind an OpenAI-compatible endpoint."""
    model: str = "responder"
    """Name of the model on the Triton server."""
    openai_url: str = ""
    """Base URL of the endpoint, with its /v1."""
    openai_key: SecretStr = SecretStr("")
    """API key of the endpoint; empty: none is sent."""
    openai_model: str = ""
    """Name of the model at the endpoint."""

    prompt: Path | None = None
    """The operator's own prompt (TOML) in place of the shipped one."""
    replies: Path | None = None
    """The operator's own vetted replies (TOML) in place of the shipped ones."""
    reply_rules: Path | None = None
    """The operator's own rules for generated replies (TOML) in place of the shipped ones."""

    max_tokens: int = Field(default=96, ge=1, le=2_048)
    """Longest reply. What is unfinished then is cut off."""
    max_sentences: int = Field(default=3, ge=0)
    """The model is stopped after so many sentences: small ones do not stop by themselves. 0: no limit."""
    temperature: float = Field(default=0.4, ge=0, le=2)
    dialogue_chars: int = Field(default=1_600, ge=100)
    """So much of the dialogue the model sees, the newest first; about a quarter of it in tokens."""

    first_token_s: float = Field(default=12.0, gt=0)
    """Without a first word in that time, over all attempts, the reply is a vetted one."""
    whole_s: float = Field(default=30.0, gt=0)
    """The reply has to be finished in that time; then it is what is there, or a vetted one."""
    queue_s: float = Field(default=25.0, gt=0)
    """A decision waits so long for its turn at the model; then the reply is a vetted one."""
    generations: int = Field(default=2, ge=1)
    """Replies written at once: as many as the model has slots."""
    concurrency: int = Field(default=256, ge=1)
    """Decisions in work at once, each of another conversation, those that wait for the model among them."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.backend == "openai" and not (self.openai_url and self.openai_model):
            raise ValueError("BACKEND=openai needs OPENAI_URL and OPENAI_MODEL")
        return self
