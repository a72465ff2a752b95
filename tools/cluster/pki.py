"""The cluster's certificate authority, and who is who in it: certificates and kubeconfigs, valid for two days."""

import datetime as dt
import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

SERVER: Final = "https://127.0.0.1:6443"
_VALID: Final = dt.timedelta(days=2)


def private(path: Path, data: bytes) -> None:
    """Write a file that only its owner can read."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)


def write_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """Make a private key and write it as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    private(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return key


def write_key_pair(folder: Path, name: str) -> None:
    """Make name.key and name.pub: what signs service accounts' tokens, and what checks them."""
    key = write_key(folder / f"{name}.key")
    (folder / f"{name}.pub").write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


@dataclass(frozen=True, slots=True)
class Authority:
    """Signs every certificate of the cluster; its own is ca.crt in the folder."""

    folder: Path
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def new(cls, folder: Path) -> "Authority":
        """Make one, with its files in the folder."""
        key = write_key(folder / "ca.key")
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "cluster")])
        certificate = (
            _certificate(name, name, key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(key, hashes.SHA256())
        )
        (folder / "ca.crt").write_bytes(certificate.public_bytes(Encoding.PEM))
        return cls(folder, key, certificate)

    def issue(self, file: str, name: str, group: str = "", hosts: Sequence[str] = ()) -> None:
        """Write file.crt and file.key for a name (and group, of Kubernetes) that serves at the hosts, if any."""
        subject = [x509.NameAttribute(NameOID.COMMON_NAME, name)]
        if group:
            subject.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, group))
        key = write_key(self.folder / f"{file}.key")
        builder = _certificate(x509.Name(subject), self.certificate.subject, key).add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]), critical=False
        )
        if hosts:
            builder = builder.add_extension(x509.SubjectAlternativeName([_host(one) for one in hosts]), critical=False)
        certificate = builder.sign(self.key, hashes.SHA256())
        (self.folder / f"{file}.crt").write_bytes(certificate.public_bytes(Encoding.PEM))

    def kubeconfig(self, file: str, name: str, group: str = "", hosts: Sequence[str] = ()) -> Path:
        """Issue a certificate, and write file.kubeconfig with which it speaks to the API server."""
        self.issue(file, name, group, hosts)
        path = self.folder / f"{file}.kubeconfig"
        path.write_text(
            "apiVersion: v1\nkind: Config\ncurrent-context: here\n"
            f"clusters:\n- name: here\n  cluster: {{server: '{SERVER}', certificate-authority: {self.folder}/ca.crt}}\n"
            f"users:\n- name: me\n  user: {{client-certificate: {self.folder}/{file}.crt, "
            f"client-key: {self.folder}/{file}.key}}\n"
            "contexts:\n- name: here\n  context: {cluster: here, user: me}\n"
        )
        return path


def _certificate(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=5))
        .not_valid_after(now + _VALID)
    )


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
