"""Pseudonyms in place of the platform's ids: HMAC-SHA-256 under a key that neither log nor store holds. Pure.

The same id under the same key always gives the same pseudonym, so a row that is written again is the same row, and
feedback finds it days later. Without the key nobody can test a guess: a conversation's id may be a name.
"""

import hashlib
import hmac
import json
from dataclasses import dataclass
from typing import Final

from multimood import topics
from multimood.bus.envelope import event_id
from multimood.contracts.v1 import events_pb2 as pb
from multimood.settings import PseudonymSettings, StoreSettings

_DERIVES: Final = b"multimood/pseudonyms/1"
_HEX: Final = 32
"""Digits of a pseudonym: 128 bits."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A person, as the store and the log know them."""

    tenant: str
    pseudonym: str
    """32 hexadecimal digits: of the platform's name for the person, or of the conversation where it gives none."""

    @property
    def name(self) -> str:
        """Of the person's key in the key store, and of the folder of their media."""
        return f"{self.tenant}/{self.pseudonym}"


class Pseudonyms:
    """What the ids are called in the log and in the store."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self.key_id: Final = self._digest("key")[:8]
        """Names the key without telling it."""

    @classmethod
    def of(cls, settings: PseudonymSettings, store: StoreSettings) -> "Pseudonyms":
        """By settings; without a key of its own, under one derived from the store's secret."""
        own = settings.key.get_secret_value()
        if own:
            return cls(own.encode())
        return cls(hmac.digest(store.secret_key.get_secret_value().encode(), _DERIVES, "sha256"))

    def subject(self, context: pb.Context) -> Subject:
        """Whose utterance it is."""
        if context.subject:
            return self.person(context.tenant, context.subject)
        return Subject(context.tenant, self.conversation(context.tenant, context.conversation_id))

    def person(self, tenant: str, subject: str) -> Subject:
        """A person by the platform's name for them."""
        return Subject(tenant, self._digest("subject", tenant, subject))

    def conversation(self, tenant: str, conversation_id: str) -> str:
        """Of a conversation of a tenant."""
        return self._digest("conversation", tenant, conversation_id)

    def utterance(self, tenant: str, utterance_id: str) -> str:
        """Of an utterance of a tenant; one id in two conversations has one pseudonym."""
        return self._digest("utterance", tenant, utterance_id)

    def media(self, context: pb.Context, content_sha256: bytes) -> tuple[str, str]:
        """What an utterance and the content of its media are called in the store."""
        whole = (context.tenant, context.conversation_id, context.utterance_id)
        return self._digest("media", *whole), self._digest("content", context.tenant, content_sha256.hex())

    def row(self, utterance: str) -> str:
        """The row's key: a UUID, of the full name `tenant/conversation/utterance`."""
        return self.event(event_id(utterance, topics.DECISION))

    def event(self, identity: str) -> str:
        """An event's id as a UUID that cannot be computed from what the event is about."""
        digits = self._digest("event", identity)
        return f"{digits[:8]}-{digits[8:12]}-8{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"

    def context(self, context: pb.Context) -> dict[str, str]:
        """The columns that say whose a row is."""
        return {
            "tenant": context.tenant,
            "conversation_id": self.conversation(context.tenant, context.conversation_id),
            "utterance_id": self.utterance(context.tenant, context.utterance_id),
        }

    def _digest(self, *parts: str) -> str:
        # JSON, so that no two lists of parts read the same.
        return hmac.new(self._key, json.dumps(parts).encode(), hashlib.sha256).hexdigest()[:_HEX]
