"""Settings shared by the services: one class per dependency, read from the environment.

A service composes what it needs; `python -m services.<name> --help` prints the variables it reads.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Literal, Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from multimood.errors import ConfigurationError
from multimood.kafka_tls import TlsFiles
from multimood.retention import Retention

SHORTEST_KEY: Final = 16
"""Characters of a secret that nobody guesses."""


class KafkaSettings(BaseSettings):
    """How to reach the brokers, and as whom: every client of the project is made from this (docs/kafka.md)."""

    model_config = SettingsConfigDict(
        env_prefix="MULTIMOOD_KAFKA_", use_attribute_docstrings=True, hide_input_in_errors=True
    )

    brokers: str = "127.0.0.1:9092"
    """Comma-separated host:port list."""
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """What the brokers' listener speaks. SSL with SSL_CERT and SSL_KEY is mutual TLS."""
    sasl_mechanism: Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"] = "SCRAM-SHA-512"
    sasl_username: str = ""
    sasl_password: SecretStr = SecretStr("")
    sasl_password_file: Path | None = None
    """A file that holds the password alone, read again whenever it changes. Instead of SASL_PASSWORD."""
    ssl_ca: Path | None = None
    """PEM file of the authorities that sign the brokers' certificates. Unset: those of the operating system."""
    ssl_cert: Path | None = None
    """PEM file of our certificate, for mutual TLS. Replaced files are used by new connections."""
    ssl_key: Path | None = None
    """PEM file of its private key; unset: it is in the certificate's file."""
    ssl_key_password: SecretStr = SecretStr("")
    """Opens an encrypted private key."""
    ssl_key_password_file: Path | None = None
    """A file that holds it alone. Instead of SSL_KEY_PASSWORD."""
    ssl_check_hostname: bool = True
    """Whether a broker's certificate must be for the name that we call it by. False only where names cannot match:
    whoever has any certificate of the same authority can then play the broker."""
    client_rack: str = ""
    """Where we are, in the words of the brokers' broker.rack: records are then fetched from a replica near by."""
    connect_timeout_s: float = Field(default=5.0, gt=0)
    """How long a command waits for the first answer, and a service when it looks for what keeps it from the broker."""
    request_timeout_s: float = Field(default=40.0, gt=1)
    """How long the brokers may take for an answer; for a service's connection to be made, too."""
    session_timeout_s: float = Field(default=10.0, gt=1)
    """How long the group waits for a silent worker before its partitions move."""
    group_prefix: str = "multimood"
    """Consumer groups are named <prefix>.<service>."""
    partitions: int = Field(default=4, ge=1)
    """Partition count of every per-utterance topic (`multimood topics apply`)."""
    replication: int = Field(default=1, ge=1)
    max_message_bytes: int = Field(default=1 << 20, ge=1 << 16)

    @field_validator("sasl_password_file", "ssl_ca", "ssl_cert", "ssl_key", "ssl_key_password_file", mode="before")
    @classmethod
    def _unset(cls, file: object) -> object:
        """An empty variable names no file."""
        return file or None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        """Refuse at the start what would be refused by every connection, or silently left out of it."""
        for fault in (*self._address_faults(), *self._sasl_faults(), *self._tls_faults()):
            raise ValueError(fault)
        if self.uses_tls:
            try:
                self.tls_files.context()
            except ConfigurationError as error:
                raise ValueError(str(error)) from None
        return self

    def _address_faults(self) -> Iterator[str]:
        brokers = [one.strip() for one in self.brokers.split(",")]
        if not all(brokers) or any("://" in one for one in brokers):
            yield f"MULTIMOOD_KAFKA_BROKERS={self.brokers}: write host:port,host:port without a scheme"
        if self.session_timeout_s > self.request_timeout_s:
            yield (
                f"MULTIMOOD_KAFKA_SESSION_TIMEOUT_S={self.session_timeout_s:g} is longer than "
                f"MULTIMOOD_KAFKA_REQUEST_TIMEOUT_S={self.request_timeout_s:g}: raise the latter"
            )

    def _sasl_faults(self) -> Iterator[str]:
        protocol = f"MULTIMOOD_KAFKA_SECURITY_PROTOCOL={self.security_protocol}"
        given = bool(self.sasl_password.get_secret_value()) + (self.sasl_password_file is not None)
        if not self.uses_sasl:
            if given or self.sasl_username:
                yield f"{protocol} uses no user and password: say SASL_SSL, or unset MULTIMOOD_KAFKA_SASL_*"
            return
        if not self.sasl_username:
            yield f"{protocol} needs a user: set MULTIMOOD_KAFKA_SASL_USERNAME"
        if given != 1:
            what = "two are set" if given else "none, or an empty one, is set"
            yield (
                f"{protocol} needs one password, {what}: set MULTIMOOD_KAFKA_SASL_PASSWORD or "
                "MULTIMOOD_KAFKA_SASL_PASSWORD_FILE"
            )
        elif self.sasl_password_file is not None:
            yield from _file_faults("MULTIMOOD_KAFKA_SASL_PASSWORD_FILE", self.sasl_password_file)

    def _tls_faults(self) -> Iterator[str]:
        own = {"SSL_CA": self.ssl_ca, "SSL_CERT": self.ssl_cert, "SSL_KEY": self.ssl_key}
        if not self.uses_tls and any(own.values()):
            name, file = next((name, file) for name, file in own.items() if file)
            yield (
                f"MULTIMOOD_KAFKA_{name}={file} is of no use with MULTIMOOD_KAFKA_SECURITY_PROTOCOL="
                f"{self.security_protocol}: say SSL or SASL_SSL, or unset it"
            )
        if self.ssl_key is not None and self.ssl_cert is None:
            yield f"MULTIMOOD_KAFKA_SSL_KEY={self.ssl_key} has no certificate: set MULTIMOOD_KAFKA_SSL_CERT"
        if self.ssl_key_password_file is not None:
            if self.ssl_key_password.get_secret_value():
                yield "MULTIMOOD_KAFKA_SSL_KEY_PASSWORD and MULTIMOOD_KAFKA_SSL_KEY_PASSWORD_FILE are set: unset one"
            yield from _file_faults("MULTIMOOD_KAFKA_SSL_KEY_PASSWORD_FILE", self.ssl_key_password_file)

    @property
    def uses_sasl(self) -> bool:
        """Whether we say who we are by user and password."""
        return self.security_protocol.startswith("SASL_")

    @property
    def uses_tls(self) -> bool:
        """Whether connections are encrypted."""
        return self.security_protocol.endswith("SSL")

    @property
    def password(self) -> str:
        """The password as it is now. A file that is away for a moment gives an empty one, which the broker refuses."""
        return _secret_of(self.sasl_password, self.sasl_password_file)

    @property
    def tls_files(self) -> TlsFiles:
        """The files of TLS."""
        return TlsFiles(
            self.ssl_ca, self.ssl_cert, self.ssl_key,
            lambda: _secret_of(self.ssl_key_password, self.ssl_key_password_file), self.ssl_check_hostname,
        )  # fmt: skip


def _secret_of(given: SecretStr, file: Path | None) -> str:
    if file is None:
        return given.get_secret_value()
    try:
        return file.read_text().rstrip("\r\n")
    except (OSError, UnicodeDecodeError):
        return ""


def _file_faults(setting: str, file: Path) -> Iterator[str]:
    if not _secret_of(SecretStr(""), file):
        yield f"{setting}={file} cannot be read, or is empty: put the password there, as text, and nothing else"


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


def faults_of(error: ValidationError) -> dict[str, str]:
    """What is wrong with which setting, without its value: that may be a secret."""
    return {
        "_".join(map(str, fault["loc"])) or error.title: fault["msg"].removeprefix("Value error, ")
        for fault in error.errors(include_input=False)
    }
