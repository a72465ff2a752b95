"""API keys: what they look like, and the file that knows them only by hash.

A key is `mm_<id>_<secret>`. The id is public and finds the entry; the secret is 256 random bits, so one SHA-256 is as
good at rest as a slow password hash (there is nothing to guess), costs a microsecond a call instead of tens of
milliseconds, and cannot be used to exhaust the gateway with wrong keys.
"""

import fcntl
import hashlib
import hmac
import json
import os
import re
import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from multimood.errors import ConfigurationError, NotFoundError

TENANT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
LONGEST_KEY: Final = 128
_KEY: Final = re.compile(r"mm_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """What is kept of a key."""

    id: str
    tenant: str
    sha256: str
    """Hex digest of the whole key."""
    created_at: str
    """ISO 8601, UTC."""


def digest_of(key: str) -> str:
    """Hash a key for keeping or comparing."""
    return hashlib.sha256(b"multimood api key\0" + key.encode("utf-8", "replace")).hexdigest()


def new_key(tenant: str) -> tuple[str, KeyEntry]:
    """Make a key: the text to hand over, which is never seen again, and the entry to keep.

    Raises ConfigurationError when the tenant's name cannot be one.
    """
    if TENANT.fullmatch(tenant) is None:
        raise ConfigurationError(
            f"tenant {tenant[:80]!r} cannot be a name: 1-64 characters of [A-Za-z0-9._-], the first a letter or digit"
        )
    identity = secrets.token_hex(6)
    key = f"mm_{identity}_{secrets.token_urlsafe(32)}"
    return key, KeyEntry(identity, tenant, digest_of(key), datetime.now(UTC).isoformat(timespec="seconds"))


class KeyRing:
    """Entries by id, and the one question asked of them. Immutable: a changed file gives a new ring."""

    def __init__(self, entries: Iterable[KeyEntry] = ()) -> None:
        self._entries = {entry.id: entry for entry in entries}
        self._nobody = "0" * 64

    def __len__(self) -> int:
        return len(self._entries)

    def tenant_of(self, key: str) -> str | None:
        """Give the tenant of a key; None when it is malformed, unknown, revoked or wrong, always in the same time."""
        found = _KEY.fullmatch(key) if len(key) <= LONGEST_KEY else None
        entry = self._entries.get(found[1]) if found else None
        expected = entry.sha256 if entry else self._nobody
        matches = hmac.compare_digest(digest_of(key[:LONGEST_KEY]), expected)
        return entry.tenant if entry and matches else None


def read_keys(file: Path) -> list[KeyEntry]:
    """Read a keys file; a missing one has no keys. Raises ConfigurationError when it cannot be understood."""
    try:
        raw = json.loads(file.read_text())
        if raw["version"] != _VERSION:
            raise ConfigurationError(f"{file} has version {raw['version']!r}, this program reads {_VERSION}")
        entries = [KeyEntry(**entry) for entry in raw["keys"]]
        for entry in entries:
            if TENANT.fullmatch(entry.tenant) is None or re.fullmatch(r"[0-9a-f]{64}", entry.sha256) is None:
                raise ConfigurationError(f"{file}: key {entry.id[:12]} has no valid tenant or hash")
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(
            f"{file} is no keys file ({type(error).__name__}): make one with `multimood keys add`"
        ) from None
    return entries


def add_key(file: Path, tenant: str) -> str:
    """Add a key for a tenant to the file, making the file when needed; gives the key. Raises ConfigurationError."""
    key, entry = new_key(tenant)
    with _exclusive(file):
        _write(file, [*read_keys(file), entry])
    return key


def revoke_keys(file: Path, *, tenant: str = "", key_id: str = "") -> list[KeyEntry]:
    """Remove one key, or every key of a tenant; gives what was removed.

    Raises NotFoundError when nothing matches, ConfigurationError when the file cannot be read or written.
    """
    with _exclusive(file):
        entries = read_keys(file)
        gone = [entry for entry in entries if (key_id and entry.id == key_id) or (tenant and entry.tenant == tenant)]
        if not gone:
            raise NotFoundError(f"{file} has no key of {key_id or tenant!r}: see `multimood keys ls`")
        _write(file, [entry for entry in entries if entry not in gone])
    return gone


def write_secret(file: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all. Raises ConfigurationError."""
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        part.unlink(missing_ok=True)
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
            out.write(text)
        part.replace(file)
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be written: {error.strerror}") from None


def _write(file: Path, entries: Sequence[KeyEntry]) -> None:
    write_secret(file, json.dumps({"version": _VERSION, "keys": [asdict(entry) for entry in entries]}, indent=1) + "\n")


@contextmanager
def _exclusive(file: Path) -> Iterator[None]:
    """Let one process at a time change the file."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = file.with_name(f".{file.name}.lock").open("a")
    except OSError as error:
        raise ConfigurationError(f"{file.parent} cannot be written: {error.strerror}") from None
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
