"""A broker as in production: TLS, SCRAM-SHA-512, mutual TLS, and nobody may do what no ACL allows."""

import asyncio
import contextlib
import socket
import ssl
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from kafka import KafkaAdminClient
from kafka.admin import ACLFilter, ScramMechanism, UserScramCredentialUpsertion
from pydantic import SecretStr

from multimood.access import Acl
from multimood.bus.acls import kafka_acl
from multimood.bus.connection import kafka_python_options
from multimood.local.kafka import KafkaServer
from multimood.local.ports import HOST, assign
from multimood.settings import KafkaSettings

ADMIN: Final = "admin"
ADMIN_PASSWORD: Final = "only-in-this-test"
LISTENERS: Final = ("scram", "mutual")
EVERYTHING: Final = ("scram", "mutual", "kafka.controller")


class Authority:
    """A certificate authority of the test's own."""

    def __init__(self, folder: Path, name: str = "test-authority") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        made = (
            self._built(self._name, self._key.public_key(), days=30)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
        )
        self.file = folder / f"{name}.pem"
        self._certificate = made.sign(self._key, hashes.SHA256())
        self.file.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    def _built(self, subject: x509.Name, key: Any, *, days: float) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder().subject_name(subject).issuer_name(self._name).public_key(key)
            .serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(days=30))
            .not_valid_after(now + timedelta(days=days))
        )  # fmt: skip

    def issue(self, name: str, *, hosts: Iterable[str] = (), days: float = 30, password: str = "") -> tuple[Path, Path]:
        """Files of a certificate and its key (PKCS#8), for servers and clients; `days` may be negative."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        usages = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
        builder = self._built(subject, key.public_key(), days=days).add_extension(usages, critical=False)
        names: list[x509.GeneralName] = []
        for host in hosts:
            try:
                names.append(x509.IPAddress(ip_address(host)))
            except ValueError:
                names.append(x509.DNSName(host))
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        sealing = serialization.BestAvailableEncryption(password.encode()) if password else serialization.NoEncryption()
        certificate, private = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        signed = builder.sign(self._key, hashes.SHA256())
        certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        private.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, sealing))
        return certificate, private


@dataclass(slots=True)
class SecureKafka(KafkaServer):
    """SASL_SSL with SCRAM-SHA-512 on `port`, mutual TLS on `mutual_port`, KRaft's StandardAuthorizer."""

    mutual_port: int = 0
    authority: Authority = field(init=False)

    @classmethod
    def in_folder(cls, folder: Path) -> "SecureKafka":
        """One on free ports."""
        ports = assign(EVERYTHING)
        folder.mkdir(parents=True, exist_ok=True)
        made = cls(folder, folder / "kafka.log", ports["scram"], ports["kafka.controller"], mutual_port=ports["mutual"])
        made.authority = Authority(folder / "tls")
        return made

    @property
    def admin(self) -> KafkaSettings:
        """Of the super user."""
        return self.user(ADMIN, ADMIN_PASSWORD)

    def user(self, name: str, password: str, **more: Any) -> KafkaSettings:
        """Of a SCRAM user."""
        return KafkaSettings(
            brokers=self.brokers, security_protocol="SASL_SSL", sasl_username=name, sasl_password=SecretStr(password),
            ssl_ca=self.authority.file, **more,
        )  # fmt: skip

    def holder(self, name: str, **more: Any) -> KafkaSettings:
        """Of whoever holds a certificate."""
        certificate, key = self.authority.issue(name)
        return KafkaSettings(
            brokers=f"{HOST}:{self.mutual_port}", security_protocol="SSL", ssl_ca=self.authority.file,
            ssl_cert=certificate, ssl_key=key, **more,
        )  # fmt: skip

    def add_users(self, passwords: dict[str, str]) -> None:
        """Make SCRAM users, or give them other passwords."""
        with self.administration() as admin:
            done = admin.alter_user_scram_credentials(
                [
                    UserScramCredentialUpsertion(name, ScramMechanism.SCRAM_SHA_512, password, iterations=4096)
                    for name, password in passwords.items()
                ]
            )
            assert not any(done.values()), done

    def allow(self, principal: str, acls: Iterable[Acl]) -> None:
        """Give somebody exactly these rights, beside those there are."""
        with self.administration() as admin:
            done = admin.create_acls([one for acl in acls for one in kafka_acl(principal, acl)])
            assert not done["failed"], done

    def forbid(self, principal: str, acls: Iterable[Acl]) -> None:
        """Take these rights away."""
        with self.administration() as admin:
            admin.delete_acls(
                [
                    ACLFilter(one.principal, one.host, one.operation, one.permission_type, one.resource_pattern)
                    for acl in acls
                    for one in kafka_acl(principal, acl)
                ]
            )

    @contextlib.contextmanager
    def administration(self) -> Any:
        """The super user's client."""
        client = KafkaAdminClient(**kafka_python_options(self.admin))
        try:
            yield client
        finally:
            client.close()

    def ready(self) -> bool:
        """Tell whether TLS is answered; who asks next authenticates."""
        context = ssl.create_default_context(cafile=self.authority.file)
        try:
            with socket.create_connection((HOST, self.port), timeout=2) as plain:
                context.wrap_socket(plain, server_hostname=HOST).close()
        except OSError:
            return False
        return True

    def _configure(self) -> Path:
        config = KafkaServer._configure(self)
        certificate, key = self.authority.issue("broker", hosts=(HOST,))
        both = self.folder / "broker.store.pem"
        both.write_bytes(key.read_bytes() + certificate.read_bytes() + self.authority.file.read_bytes())
        settings = {
            "listeners": (
                f"SCRAM://{HOST}:{self.port},MUTUAL://{HOST}:{self.mutual_port},"
                f"CONTROLLER://{HOST}:{self.controller_port}"
            ),
            "advertised.listeners": f"SCRAM://{HOST}:{self.port},MUTUAL://{HOST}:{self.mutual_port}",
            "listener.security.protocol.map": "SCRAM:SASL_SSL,MUTUAL:SSL,CONTROLLER:SSL",
            "inter.broker.listener.name": "MUTUAL",
            "listener.name.controller.ssl.client.auth": "required",
            "listener.name.mutual.ssl.client.auth": "required",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": both,
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": self.authority.file,
            "sasl.enabled.mechanisms": "SCRAM-SHA-512",
            "listener.name.scram.sasl.enabled.mechanisms": "SCRAM-SHA-512",
            "listener.name.scram.scram-sha-512.sasl.jaas.config": (
                "org.apache.kafka.common.security.scram.ScramLoginModule required;"
            ),
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "allow.everyone.if.no.acl.found": "false",
            "super.users": f"User:{ADMIN};User:CN=broker",
            "broker.rack": "here",
        }
        with config.open("a") as out:  # what comes later counts
            out.writelines(f"{key}={value}\n" for key, value in settings.items())
        log4j = self.folder / "log4j2.properties"
        log4j.write_text(
            log4j.read_text() + "logger.authorizer.name=kafka.authorizer.logger\nlogger.authorizer.level=INFO\n"
        )
        return config

    def _format(self, java: list[str], config: Path) -> None:
        from multimood.local.kafka import cluster_id

        admin = f"SCRAM-SHA-512=[name={ADMIN},password={ADMIN_PASSWORD}]"
        argv = [*java, "kafka.tools.StorageTool", "format", "-t", cluster_id(), "-c", str(config), "--add-scram", admin]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr[-2000:]


async def until(condition: Any, within_s: float = 60.0) -> None:
    """Wait for something that only asking shows."""
    async with asyncio.timeout(within_s):
        while not await asyncio.to_thread(condition):  # noqa: ASYNC110
            await asyncio.sleep(0.2)
