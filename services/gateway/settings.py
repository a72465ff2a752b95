from pathlib import Path
from typing import Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class GatewaySettings(BaseSettings):
    """Of the gateway alone."""

    model_config = SettingsConfigDict(env_prefix="MULTIMOOD_GATEWAY_", use_attribute_docstrings=True)

    listen: str = "127.0.0.1:8443"
    """host:port of the gRPC server."""
    keys: Path = Path(".data/gateway/keys.json")
    """The API keys by hash (`multimood keys add`); changes are taken up within a second."""
    key_file: Path | None = None
    """If set: a key of tenant "default" is kept here for local use, made at the first start (mode 0600)."""

    tls_cert: Path | None = None
    """PEM certificate chain; without it the door is open to eavesdroppers, so keep it on the loopback address."""
    tls_key: Path | None = None
    """PEM private key of the certificate. Both files are read again when they change."""
    tls_client_ca: Path | None = None
    """PEM authorities: if set, a client needs a certificate of theirs beside its API key."""

    max_text_chars: int = Field(default=8_000, ge=1, le=100_000)
    """Longest text of an utterance."""
    max_media_bytes: int = Field(default=32 << 20, ge=1024)
    """Largest audio or video of an utterance."""
    upload_bytes: int = Field(default=128 << 20, ge=1 << 20)
    """Media on its way through at once over all calls; beyond it calls are refused for the moment. Copying makes up to
    three times as much memory of it."""
    upload_timeout_s: float = Field(default=60.0, gt=0)
    """A client has so long to send an utterance."""
    store_timeout_s: float = Field(default=5.0, gt=0)
    """How long storing media may take; then an utterance with words goes on without it."""

    rate_per_s: float = Field(default=100.0, gt=0)
    """Calls of one tenant a second, in the long run, at this replica."""
    burst: int = Field(default=200, ge=1)
    """Calls of one tenant at once after a quiet time."""
    bytes_per_minute: int = Field(default=1 << 30, ge=1 << 20)
    """Media of one tenant a minute, at this replica."""
    max_calls: int = Field(default=2_000, ge=1)
    """Calls open at once over all tenants."""
    max_streams: int = Field(default=500, ge=1)
    """Calls open at once on one connection."""

    reply_timeout_s: float = Field(default=60.0, gt=0)
    """Converse waits so long for the reply, and GetReply at most; the utterance itself goes on."""
    trust_timeout_s: float = Field(default=20.0, gt=0)
    """With `wait_for_trust`: so long after the reply."""
    history_s: float = Field(default=3_600.0, gt=0)
    """How long outcomes stay known here, and how far back they are read after a start."""
    outcomes: int = Field(default=50_000, ge=100)
    """Outcomes known at once; the least recently used go first."""
    outcome_bytes: int = Field(default=128 << 20, ge=1 << 20)
    """The same by size."""
    grace_s: float = Field(default=15.0, ge=0)
    """On SIGTERM open calls have so long to finish."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("TLS_CERT and TLS_KEY go together: set both or neither")
        if self.tls_client_ca is not None and self.tls_cert is None:
            raise ValueError("TLS_CLIENT_CA needs TLS_CERT and TLS_KEY")
        if 2 * self.max_media_bytes > min(self.upload_bytes, self.bytes_per_minute):
            raise ValueError("UPLOAD_BYTES and BYTES_PER_MINUTE must hold an utterance: at least twice MAX_MEDIA_BYTES")
        if not self.listen.rpartition(":")[2].isdecimal() or not self.listen.rpartition(":")[0]:
            raise ValueError("LISTEN must be host:port, such as 127.0.0.1:8443")
        return self
