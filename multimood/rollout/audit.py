"""The audit record of every step: one JSON object that is never changed, in the experience bucket or in a folder."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from google.protobuf.json_format import MessageToDict

from multimood.contracts.v1 import events_pb2 as pb
from multimood.errors import ConfigurationError, MultimoodError
from multimood.store import Store

PREFIX: Final = "audit/rollouts/"
"""In the experience bucket, beside the records of erasures."""
MEDIA_TYPE: Final = "application/json"


class Shelf(Protocol):
    """Where the records lie."""

    async def put(self, name: str, content: bytes) -> None:
        """Write a record. Raises MultimoodError."""


@dataclass(frozen=True, slots=True)
class BucketShelf:
    """In a bucket."""

    store: Store
    bucket: str

    async def put(self, name: str, content: bytes) -> None:
        """See Shelf."""
        await self.store.put(self.bucket, PREFIX + name, content, MEDIA_TYPE)


@dataclass(frozen=True, slots=True)
class FolderShelf:
    """In a folder."""

    root: Path

    async def put(self, name: str, content: bytes) -> None:
        """See Shelf."""
        file = self.root / name
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        except OSError as error:
            raise ConfigurationError(f"{file} cannot be written ({error.strerror}): name another --audit") from None


@dataclass(slots=True)
class Audit:
    """Records steps. One that cannot be recorded now is not lost: it is tried again with every later one."""

    shelf: Shelf
    owed: list[tuple[str, bytes]] = field(default_factory=list)

    async def record(self, step: pb.Rollout) -> None:
        """Write a step down. Raises MultimoodError when the place cannot be written to."""
        self.owed.append((_name(step), json.dumps(as_object(step), indent=1).encode()))
        while self.owed:
            await self.shelf.put(*self.owed[0])
            self.owed.pop(0)

    async def record_if_possible(self, step: pb.Rollout) -> str:
        """The same for a step that must be taken anyway. Gives why it could not be recorded."""
        try:
            await self.record(step)
        except MultimoodError as error:
            return str(error)
        return ""


def as_object(step: pb.Rollout) -> dict[str, object]:
    """A step for programs: versions with their hashes in hex."""
    found: dict[str, object] = {
        "step": step.context.utterance_id,
        "rollout": step.rollout_id,
        "model": step.model,
        "stage": pb.RolloutStage.Name(step.stage).removeprefix("ROLLOUT_STAGE_").lower(),
        "share": step.share,
        "operator": step.operator,
        "reason": step.reason,
        "at_us": step.at_us,
        "until_us": step.until_us,
        "figures": [MessageToDict(one, preserving_proto_field_name=True) for one in step.figures],
    }
    for name in ("champion", "challenger", "former"):
        if step.HasField(name):
            version: pb.PolicyVersion = getattr(step, name)
            found[name] = {"version": version.version, "sha256": version.sha256.hex()}
    return found


def as_objects(steps: Sequence[pb.Rollout]) -> list[dict[str, object]]:
    """Several steps."""
    return [as_object(step) for step in steps]


def _name(step: pb.Rollout) -> str:
    stage = pb.RolloutStage.Name(step.stage).removeprefix("ROLLOUT_STAGE_").lower()
    return f"{step.model}/{step.at_us:016d}-{stage}-{step.context.utterance_id}.json"
