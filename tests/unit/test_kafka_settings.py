"""How brokers are reached: what is refused at the start, what each client is given, and files that are replaced."""

import asyncio
import logging
import ssl
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from faust.auth import SASLCredentials, SSLCredentials
from pydantic import SecretStr, ValidationError
from secure_kafka import Authority

from multimood.bus.connection import aiokafka_options, faust_credentials, kafka_python_options, renew_password
from multimood.kafka_tls import RotatingContext, TlsFiles
from multimood.settings import KafkaSettings, describe, faults_of

pytestmark = pytest.mark.unit

SECRET = "canary-password-7d1f"
SCRAM: dict[str, Any] = {"security_protocol": "SASL_PLAINTEXT", "sasl_username": "u", "sasl_password": SECRET}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


def fault(**values: Any) -> str:
    """What is said of settings that cannot work; never with the secrets."""
    with pytest.raises(ValidationError) as caught:
        KafkaSettings(**values)
    assert SECRET not in str(caught.value)
    (text,) = faults_of(caught.value).values()
    return text


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sasl_username": ""}, "SASL_PLAINTEXT needs a user: set MULTIMOOD_KAFKA_SASL_USERNAME"),
        ({"sasl_password": ""}, "none, or an empty one, is set"),
        ({"sasl_password_file": "/etc/hostname"}, "two are set"),
        ({"sasl_password": "", "sasl_password_file": "/nowhere"}, "SASL_PASSWORD_FILE=/nowhere cannot be read"),
        ({"security_protocol": "PLAINTEXT"}, "PLAINTEXT uses no user and password"),
        ({"security_protocol": "SSL"}, "SSL uses no user and password"),
        ({"security_protocol": "SASL"}, "'SASL_SSL'"),
        ({"sasl_mechanism": "GSSAPI"}, "'SCRAM-SHA-512'"),
        ({"ssl_ca": "/ca.pem"}, "MULTIMOOD_KAFKA_SSL_CA=/ca.pem is of no use"),
        ({"security_protocol": "SASL_SSL", "ssl_key": "/key"}, "SSL_KEY=/key has no certificate"),
        ({"security_protocol": "SASL_SSL", "ssl_ca": "/nowhere"}, "SSL_CA=/nowhere cannot be used"),
        ({"security_protocol": "SASL_SSL", "ssl_cert": "/nowhere"}, "SSL_CERT=/nowhere cannot be read"),
        ({"brokers": "a:9092,,b:9092"}, "write host:port,host:port"),
        ({"brokers": "kafka://a:9092"}, "without a scheme"),
        ({"session_timeout_s": 60}, "raise the latter"),
    ],
)
def test_what_cannot_work_is_refused_with_its_value_and_the_remedy(changes: dict[str, Any], said: str) -> None:
    KafkaSettings(**SCRAM)
    assert said in fault(**SCRAM | changes)


def test_files_that_are_no_pem_or_do_not_fit_are_refused(authority: Authority, tmp_path: Path) -> None:
    noise = tmp_path / "noise.pem"
    noise.write_text("not a certificate")
    tls = {"security_protocol": "SSL", "ssl_ca": authority.file}
    one, other = authority.issue("one"), authority.issue("other")
    sealed = authority.issue("sealed", password=SECRET)
    assert "it must be a PEM file" in fault(security_protocol="SSL", ssl_ca=noise)
    assert "both must be PEM" in fault(**tls, ssl_cert=noise, ssl_key=one[1])
    assert "is not the key of" in fault(**tls, ssl_cert=one[0], ssl_key=other[1])
    assert "both must be PEM" in fault(**tls, ssl_cert=one[0]), "the certificate's file has no key"
    assert "MULTIMOOD_KAFKA_SSL_KEY_PASSWORD" in fault(**tls, ssl_cert=sealed[0], ssl_key=sealed[1])
    wrong = {"ssl_key_password": SECRET + "x"}
    assert "MULTIMOOD_KAFKA_SSL_KEY_PASSWORD" in fault(**tls, ssl_cert=sealed[0], ssl_key=sealed[1], **wrong)
    KafkaSettings(**tls, ssl_cert=sealed[0], ssl_key=sealed[1], ssl_key_password=SecretStr(SECRET))
    both = tmp_path / "both.pem"
    both.write_bytes(one[0].read_bytes() + one[1].read_bytes())
    KafkaSettings(**tls, ssl_cert=both)


def test_no_secret_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SCRAM.items():
        monkeypatch.setenv(f"MULTIMOOD_KAFKA_{name.upper()}", value)
    settings = KafkaSettings()
    assert settings.password == SECRET
    shown = (repr(settings), str(settings), settings.model_dump_json(), describe([KafkaSettings]))
    assert not [text for text in shown if SECRET in text]
    monkeypatch.setenv("MULTIMOOD_KAFKA_SASL_USERNAME", "")
    assert "needs a user" in fault()


def test_an_empty_variable_names_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MULTIMOOD_KAFKA_SSL_CA", "")
    assert KafkaSettings().ssl_ca is None


# --- what clients are given -------------------------------------------------------------------------------------------


def test_plaintext_is_the_default_and_gives_nothing_else() -> None:
    options = aiokafka_options(KafkaSettings(brokers="a:1, b:2"))
    assert options == {
        "bootstrap_servers": ["a:1", "b:2"], "request_timeout_ms": 40_000, "security_protocol": "PLAINTEXT",
    }  # fmt: skip
    assert faust_credentials(KafkaSettings()) is None


def test_each_client_gets_the_same(authority: Authority) -> None:
    settings = KafkaSettings(
        security_protocol="SASL_SSL", sasl_username="u", sasl_password=SecretStr(SECRET), ssl_ca=authority.file,
        request_timeout_s=12, connect_timeout_s=3, sasl_mechanism="SCRAM-SHA-256",
    )  # fmt: skip
    for options in (aiokafka_options(settings), kafka_python_options(settings)):
        assert options["security_protocol"] == "SASL_SSL"
        assert options["sasl_mechanism"] == "SCRAM-SHA-256"
        assert (options["sasl_plain_username"], options["sasl_plain_password"]) == ("u", SECRET)
        assert isinstance(options["ssl_context"], RotatingContext)
        assert options["request_timeout_ms"] == 12_000
    assert kafka_python_options(settings)["bootstrap_timeout_ms"] == 3_000
    faust = faust_credentials(settings)
    assert isinstance(faust, SASLCredentials)
    assert (faust.protocol.value, faust.mechanism.value) == ("SASL_SSL", "SCRAM-SHA-256")
    assert (faust.username, faust.password) == ("u", SECRET)
    certificate, key = authority.issue("mutual")
    mutual = KafkaSettings(security_protocol="SSL", ssl_ca=authority.file, ssl_cert=certificate, ssl_key=key)
    assert isinstance(faust_credentials(mutual), SSLCredentials)
    assert "sasl_mechanism" not in aiokafka_options(mutual)


async def test_a_client_that_lives_long_learns_of_a_new_password(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("first\n")
    settings = KafkaSettings(security_protocol="SASL_PLAINTEXT", sasl_username="u", sasl_password_file=file)
    client = AIOKafkaConsumer(**aiokafka_options(settings))._client
    assert client._sasl_plain_password == "first"
    file.write_text("second\n")
    renew_password(client, settings)
    assert client._sasl_plain_password == "second"
    file.unlink()
    renew_password(client, settings)
    assert client._sasl_plain_password == "second", "a file that is away for a moment changes nothing"


# --- certificates that are replaced -----------------------------------------------------------------------------------


class Broker:
    """A TLS port that wants a certificate, and remembers whose it was shown."""

    def __init__(self, authority: Authority, server: Authority | None = None) -> None:
        self.seen: list[str] = []
        certificate, key = (server or authority).issue("broker", hosts=("127.0.0.1",))
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, key)
        self._context.load_verify_locations(authority.file)
        self._context.verify_mode = ssl.CERT_REQUIRED

    async def __aenter__(self) -> int:
        self._server = await asyncio.start_server(self._see, "127.0.0.1", 0, ssl=self._context)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def __aexit__(self, *_exc: object) -> None:
        self._server.close()

    async def _see(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        (((_, name),),) = writer.get_extra_info("peercert")["subject"]
        self.seen.append(name)
        writer.write(b"welcome")
        writer.close()


async def call(port: int, context: ssl.SSLContext) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    try:
        return await reader.read()
    finally:
        writer.close()


def put(source: tuple[Path, Path], certificate: Path, key: Path) -> None:
    certificate.write_bytes(source[0].read_bytes())
    key.write_bytes(source[1].read_bytes())


async def test_new_connections_use_the_files_as_they_are_by_then(
    authority: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    first, second = authority.issue("first"), authority.issue("second")
    certificate, key = tmp_path / "tls.crt", tmp_path / "tls.key"
    put(first, certificate, key)
    context = RotatingContext(TlsFiles(authority.file, certificate, key))
    broker = Broker(authority)
    async with broker as port:
        assert await call(port, context) == b"welcome"
        certificate.write_bytes(second[0].read_bytes())
        assert await call(port, context) == b"welcome", "half replaced: the former pair is used"
        assert "new TLS files cannot be used" in caplog.text
        put(second, certificate, key)
        assert await call(port, context) == b"welcome"
    assert broker.seen == ["first", "first", "second"]


async def test_an_authority_that_was_taken_out_is_trusted_no_more(authority: Authority, tmp_path: Path) -> None:
    next_one = Authority(tmp_path / "next", "next-authority")
    trusted = tmp_path / "ca.pem"
    trusted.write_bytes(authority.file.read_bytes())
    certificate, key = authority.issue("mover")
    context = RotatingContext(TlsFiles(trusted, certificate, key))
    async with Broker(authority) as old, Broker(authority, server=next_one) as new:
        assert await call(old, context) == b"welcome"
        with pytest.raises(ssl.SSLCertVerificationError):
            await call(new, context)
        trusted.write_bytes(next_one.file.read_bytes())
        assert await call(new, context) == b"welcome"
        with pytest.raises(ssl.SSLCertVerificationError):
            await call(old, context)


async def test_names_are_checked_unless_that_is_switched_off(authority: Authority) -> None:
    certificate, key = authority.issue("client")
    async with Broker(authority) as port:
        strict = RotatingContext(TlsFiles(authority.file, certificate, key))
        with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
            await asyncio.open_connection("127.0.0.1", port, ssl=strict, server_hostname="kafka.example")
        lax = RotatingContext(TlsFiles(authority.file, certificate, key, check_hostname=False))
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=lax, server_hostname="kafka.example")
        writer.close()
