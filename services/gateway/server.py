"""The gateway's process: gRPC door, bus link, health, and an orderly end."""

import asyncio
import logging
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import grpc
import grpc.aio

from multimood import telemetry
from multimood.contracts.v1 import gateway_pb2_grpc
from multimood.errors import ConfigurationError
from multimood.health import HealthServer
from multimood.privacy.media import MediaSeals
from multimood.settings import HealthSettings, KafkaSettings, PrivacySettings, PseudonymSettings, StoreSettings
from multimood.store import Store
from services.gateway.accept import Acceptor
from services.gateway.auth import Authenticator, ensure_local_key
from services.gateway.limits import TenantLimits, UploadMemory
from services.gateway.link import BusLink
from services.gateway.outcomes import Outcomes
from services.gateway.servicer import GatewayServicer
from services.gateway.settings import GatewaySettings
from services.gateway.turn import IngestLimits

logger = logging.getLogger(__name__)

MESSAGE_BYTES: Final = 2 << 20
"""Above the largest valid message (a chunk of 1 MiB), so that an oversized chunk gets an answer that says so."""
LOOPBACK: Final = ("127.0.0.1", "localhost", "[::1]")


class GatewayServer:
    """Everything wired; `run` serves until SIGTERM or SIGINT."""

    def __init__(
        self,
        settings: GatewaySettings,
        kafka: KafkaSettings,
        store: StoreSettings,
        health: HealthSettings,
        *,
        privacy: PrivacySettings | None = None,
        pseudonyms: PseudonymSettings | None = None,
    ) -> None:
        self._settings = settings
        if settings.key_file is not None:
            ensure_local_key(settings.keys, settings.key_file)
        keys = Authenticator(settings.keys)
        self._outcomes = Outcomes(most=settings.outcomes, most_bytes=settings.outcome_bytes, ttl_s=settings.history_s)
        self._link = BusLink(kafka, self._outcomes, history_s=settings.history_s)
        self._store = Store(store, deadline_s=settings.store_timeout_s, connect_s=min(1.0, settings.store_timeout_s))
        acceptor = Acceptor(
            self._link,
            self._store,
            self._outcomes,
            limits=IngestLimits(settings.max_text_chars, settings.max_media_bytes, settings.upload_timeout_s),
            tenants=TenantLimits(
                rate_per_s=settings.rate_per_s, burst=settings.burst, bytes_per_minute=settings.bytes_per_minute
            ),
            memory=UploadMemory(settings.upload_bytes),
            store_timeout_s=settings.store_timeout_s,
            seals=MediaSeals.of(self._store, store, privacy or PrivacySettings(), pseudonyms or PseudonymSettings()),
        )
        self._servicer = GatewayServicer(settings, keys, acceptor, self._outcomes)
        self._health = HealthServer(health, ready=self._ready)
        self._stop = asyncio.Event()
        self.port = 0

    async def run(self) -> int:
        """Serve; gives the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        await self.start()
        await self._stop.wait()
        await self.stop()
        return 0

    async def start(self) -> None:
        """Listen, and begin to connect to the broker. Raises ConfigurationError when the address cannot be had."""
        self._server = grpc.aio.server(
            options=_options(self._settings), maximum_concurrent_rpcs=self._settings.max_calls
        )
        gateway_pb2_grpc.add_GatewayServicer_to_server(self._servicer, self._server)  # type: ignore[no-untyped-call]
        self.port = _bind(self._server, self._settings)
        await self._health.start()
        await self._link.start()
        await self._server.start()
        logger.info("listening", extra={"address": self._settings.listen, "port": self.port})

    async def stop(self) -> None:
        """Take no new calls, let the open ones finish within the grace, disconnect."""
        self._stop.set()
        logger.info("draining", extra={"grace_s": self._settings.grace_s})
        await self._server.stop(self._settings.grace_s)
        await self._link.stop()
        await self._store.close()
        await self._health.stop()
        logger.info("stopped")
        telemetry.shutdown()

    async def _ready(self) -> Mapping[str, bool]:
        """Ready: an utterance would be accepted and its reply seen. The store is no part of it: words pass without."""
        return {
            "caught_up": self._link.caught_up,
            "kafka": await self._link.reachable(),
            "not_draining": not self._stop.is_set(),
        }


def _options(settings: GatewaySettings) -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", MESSAGE_BYTES),
        ("grpc.max_send_message_length", MESSAGE_BYTES),
        ("grpc.max_metadata_size", 16 << 10),
        ("grpc.max_concurrent_streams", settings.max_streams),
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", 20_000),
        ("grpc.max_connection_idle_ms", 600_000),
        ("grpc.so_reuseport", 0),
    ]


def _bind(server: Any, settings: GatewaySettings) -> int:
    host = settings.listen.rpartition(":")[0]
    if settings.tls_cert is None and host not in LOOPBACK:
        logger.warning("no TLS: keys and words travel in clear text", extra={"address": settings.listen})
    try:
        if settings.tls_cert is None:
            return int(server.add_insecure_port(settings.listen))
        return int(server.add_secure_port(settings.listen, _credentials(settings)))
    except RuntimeError:
        raise ConfigurationError(
            f"cannot listen on MULTIMOOD_GATEWAY_LISTEN={settings.listen}: is the port taken, or the host another's?"
        ) from None


def _credentials(settings: GatewaySettings) -> Any:
    """Certificates that are read again when their files change: renewal needs no restart. Raises ConfigurationError."""
    assert settings.tls_cert is not None
    assert settings.tls_key is not None
    files = [settings.tls_cert, settings.tls_key, *([settings.tls_client_ca] if settings.tls_client_ca else [])]
    seen: list[bytes] = []

    def load() -> Any:
        """Give the configuration if the files have changed since the last call, else None."""
        found = [_content(file) for file in files]
        if found == seen:
            return None
        seen[:] = found
        authority = found[2] if settings.tls_client_ca else None
        return grpc.ssl_server_certificate_configuration([(found[1], found[0])], root_certificates=authority)

    def reload() -> Any:
        try:
            return load()
        except ConfigurationError as error:
            logger.error("certificate not renewed", extra={"reason": str(error)})  # noqa: TRY400
            return None

    return grpc.dynamic_ssl_server_credentials(load(), reload, settings.tls_client_ca is not None)


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be read: {error.strerror}") from None
