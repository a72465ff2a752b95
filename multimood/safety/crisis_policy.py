"""What follows a crisis, as people have laid it down: the text, who is told and how often, what waits for a human."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from multimood import assets
from multimood.contracts.v1 import events_pb2 as pb
from multimood.safety.replies import Kind
from multimood.safety.risk import RISK
from multimood.taxonomy import EMOTIONS

ASSET: Final = "crisis_policy.toml"
LEAST_S: Final = 5
"""Nobody is told more often: a pager that never stops is switched off."""


class Step(BaseModel):
    """One element of `steps`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    role: str = Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")
    every_s: int = Field(ge=LEAST_S, le=86_400)
    for_s: int | None = Field(default=None, ge=LEAST_S, le=7 * 86_400)


class LevelEntry(BaseModel):
    """One `[levels.<level>]` table. Times are seconds since the level was reached."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reply: Kind
    again: Kind
    hold: bool
    steps: tuple[Step, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _goes_on(self) -> Self:
        *before, last = self.steps
        if last.for_s is not None or any(step.for_s is None for step in before):
            raise ValueError(
                "every step but the last must have for_s, and the last none: it goes on until somebody acts"
            )
        return self

    def step_at(self, since_s: float) -> tuple[Step, float | None]:
        """The step that is on, and when its time is up; None for the last."""
        end = 0.0
        for step in self.steps:
            if step.for_s is None:
                break
            end += step.for_s
            if since_s < end:
                return step, end
        return self.steps[-1], None

    def next_after(self, since_s: float) -> float:
        """When somebody is to be told next: the first time after `since_s`."""
        begin = 0.0
        for step in self.steps:
            end = float("inf") if step.for_s is None else begin + step.for_s
            if since_s < end:
                if since_s < begin:
                    return begin
                told = begin + ((since_s - begin) // step.every_s + 1) * step.every_s
                if told < end:
                    return told
            begin = end
        raise AssertionError("the last step has no end")


class LowEntry(BaseModel):
    """The `[low]` table. A file without it is older: nothing that it does not name is done."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    person: float | None = Field(default=None, gt=0, le=1)


class EvidenceEntry(BaseModel):
    """The `[evidence]` table."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    labels: frozenset[str] = Field(min_length=1)
    share: float = Field(gt=0, le=1)
    intensity: float = Field(ge=0, le=1)

    @model_validator(mode="after")
    def _known(self) -> Self:
        if unknown := sorted(self.labels - set(EMOTIONS)):
            raise ValueError(f"no such emotion: {', '.join(unknown)}; there are {', '.join(EMOTIONS)}")
        return self


class PolicyFile(BaseModel):
    """The whole file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    edition: str = Field(pattern=r"^\d{4}\.\d{2}(\.\d+)?$")
    roles: Mapping[str, str]
    levels: Mapping[Literal["elevated", "imminent"], LevelEntry]
    evidence: EvidenceEntry
    low: LowEntry = LowEntry()

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if missing := sorted({"elevated", "imminent"} - set(self.levels)):
            raise ValueError(f"[levels.{missing[0]}] is missing: both levels of a crisis must be there")
        for level, entry in self.levels.items():
            if unknown := sorted({step.role for step in entry.steps} - set(self.roles)):
                raise ValueError(f"[levels.{level}] tells {unknown[0]!r}, which is none of [roles]")
        return self


class CrisisPolicy:
    """A policy as it was approved. Immutable."""

    def __init__(self, content: PolicyFile, version: str) -> None:
        self.version: Final = version
        self.roles: Final = content.roles
        self.evidence: Final = content.evidence
        self.low: Final = content.low
        self._levels = {RISK[level]: entry for level, entry in content.levels.items()}

    @classmethod
    def load(cls, path: Path | None = None) -> "CrisisPolicy":
        """Read the shipped policy, or an operator's own file.

        Raises:
            ConfigurationError: the file cannot be read or leaves something open.
        """
        content, raw = assets.read_toml(PolicyFile, ASSET, path)
        return cls(content, assets.version("policy", content.edition, raw))

    def of(self, level: pb.RiskLevel) -> LevelEntry:
        """What is laid down for a level of crisis. Raises KeyError for any other."""
        return self._levels[level]
