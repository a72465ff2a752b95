"""From a call's metadata to its tenant."""

import logging
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from multimood.apikeys import KeyRing, add_key, read_keys, write_secret
from multimood.errors import ConfigurationError
from services.gateway.refusals import UnauthenticatedError

logger = logging.getLogger(__name__)

LOCAL_TENANT: Final = "default"
LOOK_EVERY_S: Final = 1.0
_SCHEME: Final = "bearer"


class Authenticator:
    """Knows the keys of a file and takes up its changes within a second.

    A file that becomes unreadable or senseless while running leaves the last good keys in force: an editor's slip must
    not lock everybody out.
    """

    def __init__(self, file: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._file = file
        self._clock = clock
        self._ring = KeyRing(read_keys(file))
        self._seen = self._stamp()
        self._looked_at = clock()
        if not len(self._ring):
            logger.warning("no keys, so nobody can call: `multimood keys add --tenant NAME`", extra={"file": str(file)})

    def tenant(self, metadata: Iterable[tuple[str, str | bytes]] | None) -> str:
        """Give the tenant of `authorization: Bearer <key>`. Raises UnauthenticatedError."""
        values = [value for name, value in metadata or () if name == "authorization"]
        if len(values) != 1 or not isinstance(values[0], str):
            raise UnauthenticatedError("send metadata 'authorization: Bearer <api key>', once")
        scheme, _, key = values[0].partition(" ")
        if scheme.lower() != _SCHEME:
            raise UnauthenticatedError("metadata 'authorization' must be 'Bearer <api key>'")
        self._take_up_changes()
        tenant = self._ring.tenant_of(key.strip())
        if tenant is None:
            raise UnauthenticatedError("this API key is unknown or revoked; make one with `multimood keys add`")
        return tenant

    def _take_up_changes(self) -> None:
        now = self._clock()
        if now - self._looked_at < LOOK_EVERY_S:
            return
        self._looked_at = now
        stamp = self._stamp()
        if stamp == self._seen:
            return
        self._seen = stamp
        try:
            self._ring = KeyRing(read_keys(self._file))
            logger.info("keys read again", extra={"keys": len(self._ring)})
        except ConfigurationError as error:
            logger.error("keys file is broken, the old keys stay in force", extra={"reason": str(error)})  # noqa: TRY400

    def _stamp(self) -> tuple[int, int, int] | None:
        try:
            found = self._file.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino, found.st_size


def ensure_local_key(keys: Path, key_file: Path) -> None:
    """See to it that `key_file` holds a key of the local tenant that `keys` knows. Raises ConfigurationError."""
    try:
        kept = key_file.read_text().strip()
    except FileNotFoundError:
        kept = ""
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{key_file} cannot be read: {type(error).__name__}") from None
    if KeyRing(read_keys(keys)).tenant_of(kept) != LOCAL_TENANT:
        write_secret(key_file, add_key(keys, LOCAL_TENANT) + "\n")
        logger.info("made a key for local use", extra={"tenant": LOCAL_TENANT, "file": str(key_file)})
