"""TLS towards the brokers, from files that may be replaced while we run."""

import logging
import os
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from multimood.errors import ConfigurationError

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Whom we trust, and who we are."""

    ca: Path | None = None
    """PEM of the authorities that sign the brokers' certificates; None: those of the operating system."""
    certificate: Path | None = None
    """Our own, for mutual TLS."""
    key: Path | None = None
    """None: in the certificate's file."""
    key_password: Callable[[], str] = str
    check_hostname: bool = True

    def context(self) -> ssl.SSLContext:
        """Read the files. Raises ConfigurationError that names the setting, its value and the remedy."""
        try:
            context = ssl.create_default_context(cafile=self.ca)
        except OSError as error:
            raise _refusal("CA", self.ca, error, "the authorities' certificates") from None
        context.check_hostname = self.check_hostname
        if self.certificate is not None:
            for name, file in (("CERT", self.certificate), ("KEY", self.key)):
                if file is not None and not os.access(file, os.R_OK):
                    raise ConfigurationError(f"MULTIMOOD_KAFKA_SSL_{name}={file} cannot be read: mount it there")
            try:
                # Never without a password: OpenSSL would ask for one on the terminal.
                context.load_cert_chain(self.certificate, self.key, password=self.key_password)
            except OSError as error:
                raise self._misfit(error) from None
        return context

    def _misfit(self, error: OSError) -> ConfigurationError:
        key = self.key or self.certificate
        if isinstance(error, ssl.SSLError) and getattr(error, "reason", None) == "KEY_VALUES_MISMATCH":
            return ConfigurationError(
                f"MULTIMOOD_KAFKA_SSL_KEY={key} is not the key of MULTIMOOD_KAFKA_SSL_CERT={self.certificate}: set the "
                "two that were made together"
            )
        return ConfigurationError(
            f"MULTIMOOD_KAFKA_SSL_CERT={self.certificate} with the key in {key} cannot be used "
            f"({_reason(error)}): both must be PEM, and MULTIMOOD_KAFKA_SSL_KEY_PASSWORD must open the key if it is "
            "encrypted"
        )

    def stamp(self) -> tuple[tuple[int, int, int] | None, ...]:
        """What changes when a file is replaced, in place or by a link that leads elsewhere, as in a mounted Secret."""
        return tuple(_stamp_of(file) for file in (self.ca, self.certificate, self.key) if file is not None)


class RotatingContext(ssl.SSLContext):
    """Every new connection uses what the files hold by then; open ones stay as they are.

    Clients keep the context that they are given for their whole life, and a context cannot forget an authority. So this
    one only hands each connection to another, made anew when a file has changed. While the new files do not fit each
    other (one is replaced, the other not yet), the former ones are used.
    """

    _files: TlsFiles
    _stamp: object
    _present: ssl.SSLContext

    def __new__(cls, _files: TlsFiles) -> Self:
        """Make the outer one: it is asked for connections only."""
        return super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT)

    def __init__(self, files: TlsFiles) -> None:
        self._files = files
        self._stamp = files.stamp()
        self._present = files.context()

    def present(self) -> ssl.SSLContext:
        """The context of the files as they are now."""
        stamp = self._files.stamp()
        if stamp != self._stamp:
            try:
                self._present = self._files.context()
            except ConfigurationError as error:
                logger.warning("new TLS files cannot be used: the former ones are", extra={"reason": str(error)})
            else:
                self._stamp = stamp
                logger.info("TLS files were replaced: new connections use them")
        return self._present

    def wrap_bio(self, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        """See `ssl.SSLContext`."""
        return self.present().wrap_bio(*args, **kwargs)

    def wrap_socket(self, *args: Any, **kwargs: Any) -> ssl.SSLSocket:
        """See `ssl.SSLContext`."""
        return self.present().wrap_socket(*args, **kwargs)


def _stamp_of(file: Path) -> tuple[int, int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _refusal(setting: str, file: Path | None, error: OSError, what: str) -> ConfigurationError:
    return ConfigurationError(
        f"MULTIMOOD_KAFKA_SSL_{setting}={file} cannot be used ({_reason(error)}): it must be a PEM file with {what}"
    )


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return (getattr(error, "reason", None) or "not PEM").lower().replace("_", " ")
    return error.strerror or type(error).__name__
