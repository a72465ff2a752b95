"""Media on their way into the store and out of it: named by pseudonyms, sealed with the person's key."""

import asyncio
from typing import Final

from multimood.contracts.v1 import events_pb2 as pb
from multimood.errors import ConfigurationError
from multimood.media.errors import MediaError, MediaFault
from multimood.privacy.keyring import Keyring, KeyStore
from multimood.privacy.keys import MasterKeys
from multimood.privacy.pseudonyms import Pseudonyms
from multimood.privacy.sealing import UnopenedError, seal, unseal
from multimood.retention import shelf_of
from multimood.settings import PrivacySettings, PseudonymSettings, StoreSettings

_LARGE: Final = 1 << 20
"""Sealing so many bytes takes about a millisecond: more is done beside the event loop."""


class MediaSeals:
    """Names, seals and opens media. Without a keyring they are stored as they are."""

    def __init__(self, pseudonyms: Pseudonyms, keyring: Keyring | None) -> None:
        self._pseudonyms = pseudonyms
        self._keyring = keyring

    @classmethod
    def of(
        cls, store: KeyStore, s3: StoreSettings, privacy: PrivacySettings, pseudonyms: PseudonymSettings
    ) -> "MediaSeals":
        """By settings."""
        master = MasterKeys.of(privacy)
        keyring = Keyring(store, s3.keys_bucket, master) if master is not None else None
        return cls(Pseudonyms.of(pseudonyms, s3), keyring)

    def name(self, context: pb.Context, modality: str, content_sha256: bytes) -> str:
        """Where an utterance's media go: `<tenant>/<person>/<shelf>/<utterance>/<modality>-<content>`.

        All but tenant, shelf and modality are pseudonyms: ids may name a person, and keys stand in the store's access
        logs. The content is part of the name, so that sending an utterance again never changes an object that somebody
        is about to read.
        """
        utterance, content = self._pseudonyms.media(context, content_sha256)
        return f"{self._pseudonyms.subject(context).name}/{shelf_of(context.privacy)}/{utterance}/{modality}-{content}"

    async def seal(self, context: pb.Context, name: str, data: bytes, said_at_us: int) -> tuple[bytes, bytes]:
        """The bytes to store as the object `name`, and the id of the key that seals them (empty: none does).

        Raises UnavailableError, ErasedError, ConfigurationError.
        """
        if self._keyring is None:
            return data, b""
        key = await self._keyring.key_for(self._pseudonyms.subject(context), said_at_us)
        sealed = seal(key, data, name) if len(data) < _LARGE else await asyncio.to_thread(seal, key, data, name)
        return sealed, key.id

    async def open(self, ref: pb.MediaRef, context: pb.Context, data: bytes) -> bytes:
        """What was sealed, of the bytes that were stored.

        Raises ErasedError (its key is gone), MediaError (it does not open), UnavailableError, ConfigurationError.
        """
        if not ref.key_id:
            return data
        if self._keyring is None:
            raise ConfigurationError("media are sealed, but MULTIMOOD_MASTER_KEY is not set: give it to every service")
        key = await self._keyring.find(self._pseudonyms.subject(context), ref.key_id)
        try:
            if len(data) < _LARGE:
                return unseal(key, data, ref.key)
            return await asyncio.to_thread(unseal, key, data, ref.key)
        except UnopenedError as error:
            raise MediaError(MediaFault.CORRUPT, str(error)) from None
