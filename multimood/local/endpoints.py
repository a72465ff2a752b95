"""How to reach the parts of an embedded system: for its services, its command line, its tests."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import SecretStr

from multimood.errors import UnavailableError
from multimood.local.credentials import Credentials, secret_kept_in
from multimood.local.places import DataFolder, tools
from multimood.local.ports import HOST
from multimood.local.services import GATEWAY_PORT
from multimood.local.state import SystemState
from multimood.settings import KafkaSettings, PrivacySettings, StoreSettings

# The parts share the machine's cores; a pool of threads in each of them would only make them wait for each other.
SINGLE_THREADED: Final = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
UNSECURED: Final = {
    "security_protocol": "PLAINTEXT", "sasl_username": "", "sasl_password": "", "sasl_password_file": "", "ssl_ca": "",
    "ssl_cert": "", "ssl_key": "", "ssl_key_password": "", "ssl_key_password_file": "",
}  # fmt: skip
"""What KafkaSettings are for the local broker, whatever the environment says of others: it listens on loopback only."""
SEALS: Final = frozenset({"gateway", "audio_encoder", "video_encoder", "reward"})
"""Services that get the master key; nobody else has a use for it."""


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Addresses (host:port) and credentials of one embedded system."""

    data: DataFolder
    ports: Mapping[str, int]

    @classmethod
    def of(cls, data: Path) -> "Endpoints":
        """Those of the system running in the data folder.

        Raises:
            UnavailableError: none runs there.
        """
        folder = DataFolder(data.absolute())
        state = SystemState.read(folder)
        if state is None or not state.running:
            raise UnavailableError(f"no system runs in {data}: start one with `multimood up`")
        return cls(folder, state.ports)

    @property
    def kafka_brokers(self) -> str:
        """The broker."""
        return f"{HOST}:{self.ports['kafka']}"

    @property
    def kafka(self) -> KafkaSettings:
        """The settings of whoever talks to it."""
        return kafka_on(self.ports["kafka"])

    @property
    def triton_url(self) -> str:
        """Triton's gRPC endpoint."""
        return f"{HOST}:{self.ports['triton.grpc']}"

    @property
    def gateway(self) -> str:
        """The gateway's gRPC endpoint."""
        return f"{HOST}:{self.ports[GATEWAY_PORT]}"

    @property
    def s3(self) -> StoreSettings:
        """The store, with its credentials."""
        keys = Credentials.kept_in(self.data.store / "credentials.json")
        return StoreSettings(
            endpoint=f"{HOST}:{self.ports['store.s3']}",
            secure=False,
            access_key=keys.access_key,
            secret_key=SecretStr(keys.secret_key),
        )

    @property
    def privacy(self) -> PrivacySettings:
        """The master key: that of the environment, else one of this system's own."""
        own = PrivacySettings()
        if own.master_key.get_secret_value():
            return own
        return own.model_copy(update={"master_key": SecretStr(secret_kept_in(self.data.master_key))})

    @property
    def api_key(self) -> str:
        """The local API key that the gateway made.

        Raises:
            UnavailableError: it has not made it yet.
        """
        try:
            return self.data.api_key.read_text().strip()
        except FileNotFoundError:
            raise UnavailableError(f"the gateway has not written {self.data.api_key} yet") from None

    @property
    def env(self) -> dict[str, str]:
        """Environment variables for anything that talks to the broker, the store or Triton."""
        s3 = self.s3
        return {
            "MULTIMOOD_KAFKA_BROKERS": self.kafka_brokers,
            **{f"MULTIMOOD_KAFKA_{name.upper()}": value for name, value in UNSECURED.items()},
            "MULTIMOOD_S3_ENDPOINT": s3.endpoint,
            "MULTIMOOD_S3_SECURE": "false",
            "MULTIMOOD_S3_ACCESS_KEY": s3.access_key,
            "MULTIMOOD_S3_SECRET_KEY": s3.secret_key.get_secret_value(),
            "MULTIMOOD_S3_MEDIA_BUCKET": s3.media_bucket,
            "MULTIMOOD_S3_EXPERIENCE_BUCKET": s3.experience_bucket,
            "MULTIMOOD_S3_KEYS_BUCKET": s3.keys_bucket,
            "MULTIMOOD_TRITON_URL": self.triton_url,
        }

    def service_env(self, name: str) -> dict[str, str]:
        """Environment variables that a service reads, beyond what a person set for it."""
        tokenizer = str(tools() / "text_encoder" / "tokenizer.json")
        sealing = {"MULTIMOOD_MASTER_KEY": self.privacy.master_key.get_secret_value()} if name in SEALS else {}
        own = {
            "gateway": {
                "MULTIMOOD_GATEWAY_LISTEN": self.gateway,
                "MULTIMOOD_GATEWAY_KEYS": str(self.data.gateway_keys),
                "MULTIMOOD_GATEWAY_KEY_FILE": str(self.data.api_key),
            },
            "text_encoder": {"MULTIMOOD_TEXT_ENCODER_TOKENIZER": tokenizer},
            "responder": {"MULTIMOOD_RESPONDER_TOKENIZER": tokenizer},
            "reward": {"MULTIMOOD_REWARD_TOKENIZER": tokenizer},
        }
        return {
            **self.env,
            **SINGLE_THREADED,
            **sealing,
            "MULTIMOOD_HEALTH_HOST": HOST,
            "MULTIMOOD_HEALTH_PORT": str(self.ports[f"{name}.health"]),
            "MULTIMOOD_TELEMETRY_FOLDER": str(self.data.telemetry),
            "PYTHONUNBUFFERED": "1",
            **own.get(name, {}),
        }


def kafka_on(port: int) -> KafkaSettings:
    """The settings for a local broker."""
    words: dict[str, Any] = {"brokers": f"{HOST}:{port}", **UNSECURED}
    return KafkaSettings(**words)
