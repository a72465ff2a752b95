"""Which vetted texts a conversation has had lately, so that its next one is another. Pure.

Known from the replies on their topic, whoever wrote them: the sentinel and the responder answer the same conversation
in turn. A reply belongs to its utterance and is told once, however often its record comes.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from multimood.contracts.v1 import events_pb2 as pb

REMEMBERED: Final = 20_000
LONGEST_ID: Final = 128
LATELY: Final = 32
"""Texts that are remembered of a conversation: more than a file has of one kind."""


class Told:
    """Of the `most` conversations that had a vetted text last."""

    def __init__(self, most: int = REMEMBERED) -> None:
        self._most = most
        self._told: OrderedDict[tuple[str, str], dict[str, str]] = OrderedDict()

    def __len__(self) -> int:
        """How many conversations are remembered."""
        return len(self._told)

    def add(self, reply: pb.Reply) -> None:
        """Take note of a reply; a generated one is passed over."""
        if not reply.vetted_id:
            return
        context = reply.context
        key = (context.tenant, context.conversation_id)
        texts = self._told.setdefault(key, {})
        texts.setdefault(context.utterance_id, reply.vetted_id.split("@")[0][:LONGEST_ID])
        if len(texts) > LATELY:
            del texts[next(iter(texts))]
        self._told.move_to_end(key)
        if len(self._told) > self._most:
            self._told.popitem(last=False)

    def before(self, context: pb.Context) -> Sequence[str]:
        """Ids of the texts that the conversation had for other utterances than this one, the oldest first."""
        texts = self._told.get((context.tenant, context.conversation_id), {})
        return [identity for utterance, identity in texts.items() if utterance != context.utterance_id]
