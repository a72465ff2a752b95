from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class JoinerSettings(BaseSettings):
    """Of the joiner alone."""

    model_config = SettingsConfigDict(env_prefix="MULTIMOOD_JOINER_", use_attribute_docstrings=True)

    deadline_s: float = Field(default=10.0, gt=0)
    """How long an utterance waits for what it announced; then it goes on with what is there."""
    orphan_s: float = Field(default=30.0, gt=0)
    """How long a part waits for its utterance, which was published before it."""
    capacity: int = Field(default=20_000, ge=1)
    """Utterances pending at once; beyond it parts without their utterance are let go, then the oldest go on with what
    is there."""
    waiting_records: int = Field(default=2_000, ge=1)
    """Records of one partition that wait at once; beyond it that partition is not read further, so that none gets far
    ahead of those it is joined with. With many partitions fewer: a topic's have half of the capacity together."""
