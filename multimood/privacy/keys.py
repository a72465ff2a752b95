"""A person's data key as it is kept: wrapped by the master key, or gone with the time at which it went. Pure."""

import base64
import json
import secrets
from dataclasses import dataclass, field, replace
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from multimood.errors import ConfigurationError, NotFoundError
from multimood.settings import PrivacySettings

KEY_BYTES: Final = 32
KEY_ID_BYTES: Final = 8
_NONCE_BYTES: Final = 12
_FORMAT: Final = 1
_FINGERPRINT: Final = 4


class ErasedError(NotFoundError):
    """What this belongs to was erased: its key is gone for good."""

    code = "erased"


@dataclass(frozen=True, slots=True)
class DataKey:
    """A key of one person, 256 bits, and its id. Its text form hides the secret."""

    id: bytes
    secret: bytes = field(repr=False)

    @classmethod
    def random(cls) -> "DataKey":
        """A new one."""
        return cls(secrets.token_bytes(KEY_ID_BYTES), secrets.token_bytes(KEY_BYTES))


@dataclass(frozen=True, slots=True)
class Entry:
    """What the key store holds of a person."""

    key: DataKey | None = None
    """None: nothing is there, or it was erased and nothing was said since."""
    erased_at_us: int = 0
    """What was said until then is never written again; 0: never erased."""

    def renewed(self) -> "Entry":
        """The same with a new key."""
        return replace(self, key=DataKey.random())


class MasterKeys:
    """The operator's secret that wraps all others, and the former ones that still unwrap."""

    def __init__(self, present: str, *former: str) -> None:
        self._by_name = dict(map(_derived, (*former, present)))
        self.name: Final = _derived(present)[0]
        """Names the present one without telling it."""

    @classmethod
    def of(cls, settings: PrivacySettings) -> "MasterKeys | None":
        """By settings; None when there is none."""
        present = settings.master_key.get_secret_value()
        former = settings.master_keys_former.get_secret_value().split(",")
        return cls(present, *(one.strip() for one in former if one.strip())) if present else None

    def wrapped(self, entry: Entry, about: str) -> bytes:
        """An entry as it is kept, for the object `about`."""
        stored: dict[str, Any] = {"format": _FORMAT, "erased_at_us": entry.erased_at_us}
        if entry.key is not None:
            nonce = secrets.token_bytes(_NONCE_BYTES)
            sealed = AESGCM(self._by_name[self.name]).encrypt(nonce, entry.key.secret, _about(about, entry.key.id))
            stored |= {
                "key_id": entry.key.id.hex(),
                "master": self.name,
                "wrapped": base64.b64encode(nonce + sealed).decode(),
            }
        return json.dumps(stored).encode()

    def unwrapped(self, data: bytes, about: str) -> Entry:
        """Read an entry. Raises ConfigurationError when no master key of ours wrapped it, or it is damaged."""
        try:
            stored = json.loads(data)
            erased_at_us = int(stored["erased_at_us"])
            if "wrapped" not in stored:
                return Entry(None, erased_at_us)
            key_id, wrapped = bytes.fromhex(stored["key_id"]), base64.b64decode(stored["wrapped"])
            master = self._by_name.get(stored["master"])
        except (ValueError, KeyError, TypeError):
            raise ConfigurationError(f"{about} in the key store holds no key: restore it from a copy") from None
        if master is None:
            raise ConfigurationError(
                f"{about} was wrapped by master key {stored['master']}, ours is {self.name}: set the right "
                "MULTIMOOD_MASTER_KEY, or name the one before in MULTIMOOD_MASTER_KEYS_FORMER"
            )
        try:
            secret = AESGCM(master).decrypt(wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:], _about(about, key_id))
        except InvalidTag:
            raise ConfigurationError(f"{about} in the key store was changed: restore it from a copy") from None
        return Entry(DataKey(key_id, secret), erased_at_us)

    def is_present(self, data: bytes) -> bool:
        """Tell whether the present master key wrapped this entry, or it holds no key."""
        stored = json.loads(data)
        return "wrapped" not in stored or stored["master"] == self.name


def marker(erased_at_us: int) -> bytes:
    """What takes the place of a key that was destroyed."""
    return json.dumps({"format": _FORMAT, "erased_at_us": erased_at_us}).encode()


def marker_of(data: bytes) -> tuple[bool, int]:
    """Whether an entry holds a key, and when the person was erased last; no master key is needed for that."""
    try:
        stored = json.loads(data) if data else {}
        return "wrapped" in stored, int(stored.get("erased_at_us", 0))
    except (ValueError, TypeError, AttributeError):
        return True, 0  # damaged: what it was before nobody knows, and it is to go in any case


def _about(name: str, key_id: bytes) -> bytes:
    return f"{name}#{key_id.hex()}".encode()


def _derived(secret: str) -> tuple[str, bytes]:
    """The name and the 256 bits of a secret of any form."""

    def bits(info: bytes, length: int) -> bytes:
        return HKDF(SHA256(), length, salt=None, info=info).derive(secret.encode())

    return bits(b"multimood/master/name", _FINGERPRINT).hex(), bits(b"multimood/master/1", KEY_BYTES)
