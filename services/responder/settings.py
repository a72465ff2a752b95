from pathlib import Path
from typing import Literal, Self

from pydantic import AliasChoices, Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from multimood.generation.settings import ReplySettings


class ResponderSettings(ReplySettings):
    """Of the responder alone."""

    model_config = SettingsConfigDict(populate_by_name=True)

    backend: Literal["triton", "openai"] = "triton"
    """Where the language model is: on the Triton server, or behind an OpenAI-compatible endpoint."""
    versions: Literal["rollout", "highest"] = "rollout"
    """Of the model `responder` on Triton: the version that `multimood rl promote` gave the conversation to, or always
    the highest that Triton serves, as of any other model."""
    openai_url: str = ""
    """Base URL of the endpoint, with its /v1."""
    openai_key: SecretStr = SecretStr("")
    """API key of the endpoint; empty: none is sent."""
    openai_model: str = ""
    """Name of the model at the endpoint."""

    log_probs: bool = False
    """Ask the model's server for each token's id and log-probability, for the experience log. It takes time with every
    token, and an endpoint that does not know the option may refuse."""

    replies: Path | None = None
    """The operator's own vetted replies (TOML) in place of the shipped ones."""
    reply_rules: Path | None = None
    """The operator's own rules for generated replies (TOML) in place of the shipped ones."""

    attempts: int = Field(
        default=2, ge=1, le=10, validation_alias=AliasChoices("MULTIMOOD_RESPONDER_ATTEMPTS", "MULTIMOOD_ATTEMPTS")
    )
    """What the guard refuses is written anew until so often; then a vetted reply. Also MULTIMOOD_ATTEMPTS."""
    candidates: int = Field(default=1, ge=1, le=10)
    """Best of n: so many are written one after the other, the local judges choose. Above 1 nothing streams."""
    tokenizer: Path = Path(".tools/text_encoder/tokenizer.json")
    """With more than one candidate: the tokenizer.json of the model that embeds for the learned judges."""
    encoder: str = "text_encoder"
    """With more than one candidate: name of that model on the Triton server."""

    first_token_s: float = Field(default=12.0, gt=0)
    """Without a first word in that time, over all attempts, the reply is a vetted one."""
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
