"""What was scored lately: the scores themselves, and which utterances are in the log. Pure, bounded."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from multimood.contracts.v1 import events_pb2 as pb
from multimood.seen import SeenIds

SCORES: Final = 30_000
"""At about 1.5 KB each."""
LOGGED: Final = 200_000


class Memory:
    """Remembers the newest trust scores by the utterance's name (`tenant/conversation/utterance`)."""

    def __init__(self, scores: int = SCORES, logged: int = LOGGED) -> None:
        self._most = scores
        self._scores: OrderedDict[str, pb.TrustScore] = OrderedDict()
        self._logged = SeenIds(logged)
        self._tell: list[Callable[[str], None]] = []

    def follow(self, tell: Callable[[str], None]) -> None:
        """Call `tell` with the name of every utterance whose score becomes known from now on."""
        self._tell.append(tell)

    def remember(self, key: str, score: pb.TrustScore) -> None:
        """Take note of a published score; of several the first stays, as in the row."""
        if key not in self._scores:
            self._scores[key] = score
            if len(self._scores) > self._most:
                self._scores.popitem(last=False)
        if score.experience_key:
            self._logged.add(key)
        for tell in self._tell:
            tell(key)

    def score_of(self, key: str) -> pb.TrustScore | None:
        """The score of an utterance, if it is among the newest."""
        return self._scores.get(key)

    def in_log(self, key: str) -> bool | None:
        """Whether an utterance is in the log; None: not known."""
        if key in self._logged:
            return True
        return False if key in self._scores else None
