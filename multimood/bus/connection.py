"""The settings in the words of each client library. Nobody else says how a broker is reached."""

from typing import Any

from faust.auth import Credentials, SASLCredentials, SSLCredentials

from multimood.kafka_tls import RotatingContext
from multimood.settings import KafkaSettings


def aiokafka_options(settings: KafkaSettings) -> dict[str, Any]:
    """For any of aiokafka's clients."""
    return {
        "bootstrap_servers": [one.strip() for one in settings.brokers.split(",")],
        "request_timeout_ms": int(settings.request_timeout_s * 1000),
        **security_options(settings),
    }


def security_options(settings: KafkaSettings) -> dict[str, Any]:
    """For aiokafka's clients and its bare connections. An option that the protocol does not use is not there."""
    options: dict[str, Any] = {"security_protocol": settings.security_protocol}
    if settings.uses_tls:
        options["ssl_context"] = RotatingContext(settings.tls_files)
    if settings.uses_sasl:
        options |= {
            "sasl_mechanism": settings.sasl_mechanism,
            "sasl_plain_username": settings.sasl_username,
            "sasl_plain_password": settings.password,
        }
    return options


def kafka_python_options(settings: KafkaSettings) -> dict[str, Any]:
    """For any of kafka-python's clients."""
    return {**aiokafka_options(settings), "bootstrap_timeout_ms": int(settings.connect_timeout_s * 1000)}


def faust_credentials(settings: KafkaSettings) -> Credentials | None:
    """For a Faust app; None: plaintext without a user."""
    context = RotatingContext(settings.tls_files) if settings.uses_tls else None
    if settings.uses_sasl:
        return SASLCredentials(
            username=settings.sasl_username, password=settings.password, ssl_context=context,
            mechanism=settings.sasl_mechanism,
        )  # fmt: skip
    return None if context is None else SSLCredentials(context)


def renew_password(client: Any, settings: KafkaSettings) -> None:
    """Let an aiokafka client's new connections use the password that the file holds now."""
    if settings.uses_sasl and settings.sasl_password_file is not None:
        client._sasl_plain_password = settings.password or client._sasl_plain_password  # noqa: SLF001
