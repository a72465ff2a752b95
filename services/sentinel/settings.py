from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class SentinelSettings(BaseSettings):
    """Of the sentinel alone."""

    model_config = SettingsConfigDict(env_prefix="MULTIMOOD_SENTINEL_", use_attribute_docstrings=True)

    rules: Path | None = None
    """The operator's own crisis rules (TOML) in place of the shipped ones."""
    weights: Path | None = None
    """The operator's own classifier (`multimood train crisis`) in place of the shipped one."""
    person: Path | None = None
    """The operator's own judge of persons (`multimood train person`) in place of the shipped one."""
    replies: Path | None = None
    """The operator's own vetted replies (TOML) in place of the shipped ones."""
    crisis_policy: Path | None = None
    """The operator's own crisis policy (TOML) in place of the shipped one; give the strategist the same."""
    inline_chars: int = Field(default=2_000, ge=0)
    """Up to so many characters are screened at once (a few milliseconds); longer texts beside the event loop."""
    concurrency: int = Field(default=64, ge=1)
    """Utterances in work at once, each of another conversation."""
