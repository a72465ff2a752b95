"""What was already said: a bounded memory of event ids, so that a repeated input causes no second output. Pure."""

from collections import OrderedDict


class SeenIds:
    """The most recent `capacity` ids, oldest forgotten first."""

    __slots__ = ("_capacity", "_ids")

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._ids: OrderedDict[str, None] = OrderedDict()

    def add(self, identity: str) -> None:
        """Remember an id."""
        self._ids[identity] = None
        self._ids.move_to_end(identity)
        if len(self._ids) > self._capacity:
            self._ids.popitem(last=False)

    def discard(self, identity: str) -> None:
        """Forget an id, if it is known."""
        self._ids.pop(identity, None)

    def __contains__(self, identity: object) -> bool:
        return identity in self._ids

    def __len__(self) -> int:
        return len(self._ids)
