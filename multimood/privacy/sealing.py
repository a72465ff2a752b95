"""Sealing bytes with a person's key: AES-256-GCM, with the key's id before them. Pure.

`<key id, 8 bytes> <nonce, 12 bytes> <ciphertext> <tag, 16 bytes>`. Nonces are random: one key is good for 2^32 seals.
"""

import secrets
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from multimood.errors import MultimoodError
from multimood.privacy.keys import KEY_ID_BYTES, DataKey

_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16
OVERHEAD: Final = KEY_ID_BYTES + _NONCE_BYTES + _TAG_BYTES
"""Bytes that a seal adds."""


class UnopenedError(MultimoodError):
    """Sealed bytes that this key does not open: they are of another key or place, or were changed."""

    code = "unopened"


def seal(key: DataKey, data: bytes, about: str) -> bytes:
    """Seal bytes. `about` names their place: sealed bytes that were put elsewhere do not open there."""
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return key.id + nonce + AESGCM(key.secret).encrypt(nonce, data, about.encode())


def key_id_of(sealed: bytes) -> bytes:
    """Which key opens it. Raises UnopenedError when it is too short to be sealed bytes."""
    if len(sealed) < OVERHEAD:
        raise UnopenedError(f"{len(sealed)} bytes are no sealed bytes: those have {OVERHEAD} at least")
    return sealed[:KEY_ID_BYTES]


def unseal(key: DataKey, sealed: bytes, about: str) -> bytes:
    """Open what `seal` sealed about the same. Raises UnopenedError."""
    if key_id_of(sealed) != key.id:
        raise UnopenedError(f"sealed with key {key_id_of(sealed).hex()}, not with {key.id.hex()}")
    nonce, rest = sealed[KEY_ID_BYTES:][:_NONCE_BYTES], sealed[KEY_ID_BYTES + _NONCE_BYTES :]
    try:
        return AESGCM(key.secret).decrypt(nonce, rest, about.encode())
    except InvalidTag:
        raise UnopenedError(f"what key {key.id.hex()} sealed was changed, or lay elsewhere") from None
