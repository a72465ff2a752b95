"""Which version of a model a conversation belongs to, by the last step of the model's rollout. Pure.

Strategist and responder ask it for every utterance, `multimood rl` for what it tells; both read the same records.
"""

import hashlib
from dataclasses import dataclass
from typing import Final

from multimood.contracts.v1 import events_pb2 as pb

_BITS: Final = 53
SHA256_BYTES: Final = 32
ENDS: Final = frozenset({pb.ROLLOUT_STAGE_COMPLETED, pb.ROLLOUT_STAGE_ROLLED_BACK})


@dataclass(frozen=True, slots=True)
class Version:
    """A version of a model. `version` "" is none: of a policy the fusion model's own distribution."""

    version: str = ""
    sha256: bytes = b""
    """32 bytes, of its graph or weights; empty: not known, or none."""

    def __str__(self) -> str:
        return f"{self.version}@{self.sha256.hex()[:12]}" if self.version else "none"


NONE: Final = Version()


@dataclass(frozen=True, slots=True)
class Standing:
    """What one step says, or what holds while there was none."""

    champion: Version = NONE
    challenger: Version | None = None
    """Only of a canary."""
    share: float = 0.0
    """Of the conversations that the challenger gets, 0..1."""
    until_us: int = 0
    """When the challenger's lease ends."""
    step: str = ""
    """Id of the record; empty: there is none."""

    def is_canary(self, now_us: int) -> bool:
        """Whether a challenger is served at this time."""
        return self.challenger is not None and now_us < self.until_us

    def of(self, tenant: str, conversation: str, now_us: int) -> Version:
        """The version that the conversation belongs to at this time."""
        if self.challenger is None or not self.is_canary(now_us):
            return self.champion
        mine = place(tenant, conversation, self.challenger) < self.share
        return self.challenger if mine else self.champion


def place(tenant: str, conversation: str, challenger: Version) -> float:
    """The conversation's place in [0, 1): the challenger gets those below its share.

    As the share grows conversations only ever come to the challenger. The challenger's hash is part of the place, so
    that it is not the same people on whom every policy is tried first.
    """
    name = f"{challenger.version}\n{challenger.sha256.hex()}\n{tenant}/{conversation}"
    return (int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) >> (64 - _BITS)) / (1 << _BITS)


def standing_of(record: pb.Rollout) -> Standing | None:
    """What a record says; None for one that says nothing that could be served."""
    champion = version_of(record.champion)
    challenger = version_of(record.challenger) if record.HasField("challenger") else None
    if champion is None or (record.HasField("challenger") and challenger is None):
        return None
    step = record.context.utterance_id
    if record.stage == pb.ROLLOUT_STAGE_CANARY:
        if challenger is None or not challenger.version or not 0 <= record.share <= 1:
            return None
        return Standing(champion, challenger, record.share, record.until_us, step)
    if record.stage in ENDS:
        return Standing(champion, step=step)
    return None


class Course:
    """The steps of one model's rollouts, folded in the order of the topic: the last that says something counts.

    A rollout that has ended stays ended: what its process publishes before it has heard of that counts no more.
    """

    def __init__(self, shipped: Version) -> None:
        self.standing = Standing(shipped)
        """By default the version that is shipped is the champion."""
        self.last: pb.Rollout | None = None
        self._ended: set[str] = set()

    def take(self, record: pb.Rollout) -> bool:
        """Take the next step; tells whether it counts."""
        standing = standing_of(record)
        if standing is None or record.rollout_id in self._ended:
            return False
        if record.stage in ENDS and record.rollout_id:
            self._ended.add(record.rollout_id)
        self.standing, self.last = standing, record
        return True


def version_of(record: pb.PolicyVersion) -> Version | None:
    """The version in a record; None where it is none that Triton could serve."""
    if not record.version:
        return NONE
    is_number = record.version.isascii() and record.version.isdecimal()
    return Version(record.version, record.sha256) if is_number and len(record.sha256) == SHA256_BYTES else None
