"""Settings shared by the services: one class per dependency, read from the environment.

A service composes what it needs; `python -m services.<name> --help` prints the variables it reads.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from multimood.retention import Retention

SHORTEST_KEY: Final = 16
"""Characters of a secret that nobody guesses."""


class KafkaSettings(BaseSettings):
    """How to reach the broker."""

    model_config = SettingsConfigDict(env_prefix="MULTIMOOD_KAFKA_", use_attribute_docstrings=True)

    brokers: str = "127.0.0.1:9092"
    """Comma-separated host:port list."""
    session_timeout_s: float = Field(default=10.0, gt=1)
    """How long the group waits for a silent worker before its partitions move."""
    group_prefix: str = "multimood"
    """Consumer groups are named <prefix>.<service>."""
    partitions: int = Field(default=4, ge=1)
    """Partition count of every per-utterance topic (`multimood topics apply`)."""
    replication: int = Field(default=1, ge=1)
    max_message_bytes: int = Field(default=1 << 20, ge=1 << 16)


class StoreSettings(BaseSettings):
    """Where media, the experience log and the persons' keys live: any S3 endpoint."""

    model_config = SettingsConfigDict(env_prefix="MULTIMOOD_S3_", use_attribute_docstrings=True)

    endpoint: str = Field(default="127.0.0.1:8333", pattern=r"^[^/\s]+$")
    """host:port, without scheme."""
    secure: bool = True
    access_key: str = ""
    secret_key: SecretStr = SecretStr("")
    region: str = "us-east-1"
    media_bucket: str = "multimood-media"
    experience_bucket: str = "multimood-experience"
    keys_bucket: str = "multimood-keys"
    """The persons' keys, wrapped by MULTIMOOD_MASTER_KEY. Without versions and backups that outlive an erasure."""


class PseudonymSettings(BaseSettings):
    """How ids of the platform become pseudonyms in the experience log (docs/decisions/007)."""

    model_config = SettingsConfigDict(env_prefix="MULTIMOOD_PSEUDONYM_", use_attribute_docstrings=True)

    key: SecretStr = SecretStr("")
    """A secret of at least 16 characters that stays the same for ever (`openssl rand -hex 32`). Another one gives other
    pseudonyms: conversations that are going on then seem new, and later feedback finds no row. Empty: one is derived
    from MULTIMOOD_S3_SECRET_KEY, so set it before you change that."""

    @field_validator("key")
    @classmethod
    def _long_enough(cls, key: SecretStr) -> SecretStr:
        if 0 < len(key.get_secret_value()) < SHORTEST_KEY:
            raise ValueError(f"KEY has fewer than {SHORTEST_KEY} characters: make one with `openssl rand -hex 32`")
        return key


class PrivacySettings(BaseSettings):
    """Sealing: under which key what people said lies in the store (docs/privacy.md)."""

    model_config = SettingsConfigDict(env_prefix="MULTIMOOD_", use_attribute_docstrings=True)

    master_key: SecretStr = SecretStr("")
    """A secret of at least 16 characters (`openssl rand -hex 32`) that wraps every person's key: media and what was
    said in the log are sealed. Lose it and they cannot be read any more. Empty: both lie in the store in the clear."""
    master_keys_former: SecretStr = SecretStr("")
    """Former ones, separated by commas, until `multimood keys rewrap` has put every key under the present one."""

    media_days: str = "standard=30"
    """Days for which media are kept with consent, by retention class: standard=30,short=0. 0: until they are encoded.
    `multimood erase --expired` removes what is over. Without consent they are always removed once they are encoded."""

    @field_validator("media_days")
    @classmethod
    def _readable(cls, days: str) -> str:
        Retention.parse(days)
        return days

    @property
    def retention(self) -> Retention:
        """How long media are kept."""
        return Retention.parse(self.media_days)

    @field_validator("master_key")
    @classmethod
    def _long_enough(cls, key: SecretStr) -> SecretStr:
        if 0 < len(key.get_secret_value()) < SHORTEST_KEY:
            raise ValueError(
                f"MASTER_KEY has fewer than {SHORTEST_KEY} characters: make one with `openssl rand -hex 32`"
            )
        return key


class TritonSettings(BaseSettings):
    """The inference server."""

    model_config = SettingsConfigDict(env_prefix="MULTIMOOD_TRITON_", use_attribute_docstrings=True)

    url: str = "127.0.0.1:8001"
    """host:port of the gRPC endpoint."""
    deadline_s: float = Field(default=10.0, gt=0)
    """Longest a single inference may take."""
    max_in_flight: int = Field(default=16, ge=1)
    """Concurrent inferences one service keeps open; the rest waits in the service, not in Triton's queue."""


class TelemetrySettings(BaseSettings):
    """Logs, metrics and traces. Nothing a person said is ever among them."""

    model_config = SettingsConfigDict(env_prefix="MULTIMOOD_TELEMETRY_", use_attribute_docstrings=True)

    otlp_endpoint: str = ""
    """host:port of an OTLP/gRPC collector, with https:// before it for TLS; empty: spans are not sent."""
    folder: Path | None = None
    """Where to append spans as JSON lines when there is no collector (embedded mode)."""
    log_level: str = "INFO"


class HealthSettings(BaseSettings):
    """The small HTTP server with /healthz, /readyz and /metrics."""

    model_config = SettingsConfigDict(env_prefix="MULTIMOOD_HEALTH_", use_attribute_docstrings=True)

    host: str = "127.0.0.1"
    port: int = Field(default=0, ge=0, le=65535)
    """0: any free port, printed in the start-up log line."""


def describe(classes: Sequence[type[BaseSettings]]) -> str:
    """The environment variables that these settings read, one a line, with defaults and meaning (for `--help`)."""
    lines = []
    for settings in classes:
        prefix = settings.model_config.get("env_prefix", "")
        for name, field in settings.model_fields.items():
            default = "required" if field.is_required() else f"default {field.get_default(call_default_factory=True)!s}"
            lines.append(f"  {prefix}{name.upper()}  ({default})")
            if field.description:
                lines.append(f"      {field.description}")
    return "\n".join(lines)
