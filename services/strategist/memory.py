"""The conversations this worker knows, within a budget of bytes: the longest silent are forgotten first."""

from collections import OrderedDict
from typing import Final

from multimood.contracts.v1 import events_pb2 as pb

OVERHEAD: Final = 400
"""Bytes that an entry costs beside its key and record (measured: dictionary, list node and two byte strings)."""


class Memory:
    """Conversation records by key, as bytes: a parsed message takes several times as much."""

    def __init__(self, budget_bytes: int) -> None:
        self._budget = budget_bytes
        self._records: OrderedDict[bytes, tuple[int, bytes]] = OrderedDict()
        self._bytes = 0
        self.forgotten = 0

    def __len__(self) -> int:
        return len(self._records)

    @property
    def held_bytes(self) -> int:
        """What the entries take, about."""
        return self._bytes

    def get(self, key: bytes) -> pb.Conversation | None:
        """The newest known record of a conversation."""
        held = self._records.get(key)
        if held is None:
            return None
        self._records.move_to_end(key)
        return pb.Conversation.FromString(held[1])

    def put(self, key: bytes, state: pb.Conversation) -> bool:
        """Take a record unless a newer one is known; of two with the same revision the one that comes last counts."""
        held = self._records.get(key)
        if held is not None:
            if held[0] > state.revision:
                return False
            self._forget(key)
        record = state.SerializeToString()
        self._records[key] = (state.revision, record)
        self._bytes += _cost(key, record)
        while self._bytes > self._budget and len(self._records) > 1:
            self._forget(next(iter(self._records)))
            self.forgotten += 1
        return True

    def _forget(self, key: bytes) -> None:
        _, record = self._records.pop(key)
        self._bytes -= _cost(key, record)


def _cost(key: bytes, record: bytes) -> int:
    return OVERHEAD + len(key) + len(record)
