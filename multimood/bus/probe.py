"""Why no connection comes about: asked on a connection of its own, for the clients keep the reason to themselves."""

import asyncio
import ssl
from typing import Final

from aiokafka.client import collect_hosts
from aiokafka.conn import create_conn
from aiokafka.errors import KafkaError
from aiokafka.protocol.metadata import MetadataRequest

from multimood.bus.connection import security_options
from multimood.bus.refusals import explained, whom
from multimood.clock import loop_time
from multimood.errors import ConfigurationError, HandshakeError, RefusedError, UnavailableError
from multimood.settings import KafkaSettings

PAUSE_S: Final = 5.0
"""Hundreds may wait for the same broker: they share one question."""


class Diagnosis:
    """Explains what a service's clients meet; asks the brokers now and then, however often that is."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._asking = asyncio.Lock()
        self._asked = float("-inf")
        self._found: RefusedError | None = None

    async def why(self, error: BaseException, doing: str, resource: str = "") -> UnavailableError:
        """See the function."""
        found = explained(error, self._settings, doing, resource)
        if isinstance(found, RefusedError):
            return found
        async with self._asking:
            if loop_time() - self._asked >= PAUSE_S:
                self._found = await refusal(self._settings)
                self._asked = loop_time()
            return self._found or found


async def why(error: BaseException, settings: KafkaSettings, doing: str = "", resource: str = "") -> UnavailableError:
    """Explain a client's error, asking the brokers if it does not tell more than that there is no connection.

    Takes some of `connect_timeout_s` at most, for each broker that is named.
    """
    found = explained(error, settings, doing, resource)
    if isinstance(found, RefusedError):
        return found
    return await refusal(settings) or found


async def refusal(settings: KafkaSettings) -> RefusedError | None:
    """What the first broker that refuses us says; None when none does, be it that they let us in or are away."""
    for host, port, _ in collect_hosts([one.strip() for one in settings.brokers.split(",")]):
        try:
            async with asyncio.timeout(settings.connect_timeout_s):
                await _ask(host, port, settings)
        except (KafkaError, OSError, ConfigurationError) as error:
            found = explained(error, settings)
            if isinstance(found, RefusedError):
                return found
            if not isinstance(error, (ConnectionRefusedError, TimeoutError)) and await _is_open(host, port):
                return await _other_protocol(host, port, settings)
    return None


async def _ask(host: str, port: int, settings: KafkaSettings) -> None:
    """Connect as a client does, and ask something that needs leave: what is known before that is no welcome."""
    timeout_ms = int(settings.connect_timeout_s * 1000)
    connection = await create_conn(host, port, request_timeout_ms=timeout_ms, **security_options(settings))
    try:
        await connection.send(MetadataRequest([]))
    finally:
        connection.close()


async def _is_open(host: str, port: int) -> bool:
    try:
        async with asyncio.timeout(1):
            _, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    writer.close()
    return True


async def _other_protocol(host: str, port: int, settings: KafkaSettings) -> HandshakeError:
    """Say which half of the protocol is another than ours. Nothing is sent on the connection that shows it."""
    speaks_tls = await _speaks_tls(host, port)
    spoken = f"MULTIMOOD_KAFKA_SECURITY_PROTOCOL={settings.security_protocol}"
    if speaks_tls and not settings.uses_tls:
        remedy = f"it speaks TLS and {spoken} does not: set SSL or SASL_SSL"
    elif settings.uses_tls and not speaks_tls:
        remedy = f"it does not speak TLS and {spoken} does: set PLAINTEXT or SASL_PLAINTEXT"
    else:
        remedy = f"it lets nobody in as {whom(settings)} by {spoken}: set what its listener speaks"
    return HandshakeError(f"{host}:{port} ends every connection of ours: {remedy}")


async def _speaks_tls(host: str, port: int) -> bool:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # this only looks, and says nothing
    context.verify_mode = ssl.CERT_NONE
    try:
        async with asyncio.timeout(1):
            _, writer = await asyncio.open_connection(host, port, ssl=context)
    except ssl.SSLError as error:
        return "ALERT" in (getattr(error, "reason", None) or "")  # it answers in TLS, if only to refuse
    except OSError:
        return False
    writer.close()
    return True
