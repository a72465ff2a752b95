from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class RewardSettings(BaseSettings):
    """Of the reward service alone."""

    model_config = SettingsConfigDict(env_prefix="MULTIMOOD_REWARD_", use_attribute_docstrings=True)

    tokenizer: Path = Path(".tools/text_encoder/tokenizer.json")
    """The tokenizer.json of the model that embeds for the learned judges."""
    model: str = "text_encoder"
    """Name of that model on the Triton server: the one that their heads were trained on."""
    empathy_head: Path | None = None
    """A head of your own in place of the shipped one (`multimood train empathy`)."""
    quality_head: Path | None = None
    """The same of the judge of reliability (`multimood train quality`)."""
    weights: Path | None = None
    """A weights file of your own in place of the shipped one: how much each criterion counts in the reward."""
    reply_rules: Path | None = None
    """A rules file of your own in place of the shipped one: what safety, privacy and the crisis gate look for."""
    judge_rules: Path | None = None
    """A rules file of your own in place of the shipped one: what lowers truthfulness, fairness, ethical guidance."""
    judge_deadline_s: float = Field(default=3.0, gt=0)
    """How long a reply waits for each of the learned judges."""

    llm_url: str = ""
    """Base URL, with /v1, of an OpenAI-compatible endpoint that judges what no local judge can; empty: nobody does."""
    llm_model: str = ""
    """Its model. Not the one that training uses as judge: whoever trains must not be the only one who grades."""
    llm_key: SecretStr = SecretStr("")
    """Its API key, if it wants one."""
    llm_rubric: Path | None = None
    """A rubric of your own in place of the shipped one."""
    llm_cache: Path | None = None
    """An SQLite file that keeps the model's scores by the hash of what it was asked, and no words; without it they are
    kept in memory, for as long as the service runs."""
    llm_price_prompt: float = Field(default=0.0, ge=0)
    """Price of a million prompt tokens, in any currency: the metric `multimood.judge.cost` adds it up."""
    llm_price_completion: float = Field(default=0.0, ge=0)
    """Price of a million completion tokens."""
    llm_deadline_s: float = Field(default=15.0, gt=0)
    """How long a reply waits for it, all attempts together."""
    rest_s: float = Field(default=5.0, ge=0)
    """A judge that failed three times in a row is not asked for so long."""
    concurrency: int = Field(default=16, ge=1)
    """Replies being judged at once."""

    decision_wait_s: float = Field(default=30.0, gt=0)
    """How long a reply waits for its decision (a crisis is answered before that); then it is scored without."""
    reply_wait_s: float = Field(default=120.0, gt=0)
    """How long a decision waits for its reply; then it is logged alone, and a later reply is scored without it."""
    decisions_waiting: int = Field(default=20_000, ge=1)
    """The same by number, over all partitions."""
    rows_waiting: int = Field(default=2_000, ge=1)
    """Replies of a partition whose rows may wait for S3; beyond it the partition is read no further until S3 is up."""
    flush_s: float = Field(default=1.0, gt=0)
    """An object of the log is written so long after its first new row, sooner when it is full."""
    remembers: int = Field(default=10_000, ge=1)
    """Trust scores of a partition that are read back after taking it over."""
    feedback_wait_s: float = Field(default=120.0, gt=0)
    """How long feedback waits to learn whether its utterance is in the log, which the trust score tells; then it is let
    go."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if bool(self.llm_url) != bool(self.llm_model):
            raise ValueError("LLM_URL and LLM_MODEL go together: set both or neither")
        return self
