"""What a person holds dear, after ES-VR (Kim et al., ACL 2025): a detector of 20 values, and the look-ahead reward.

There are no labelled data for the detector here: it is zero-shot. What a person says is compared with written sentences
of somebody who cares for a value (`values.toml`), by the cosine of the text encoder's vectors; a value is found where
the closest of its sentences is near enough, and nearer than values usually are. docs/trust.md says how well that goes.
The reward itself is exact, whatever detector is behind it.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from multimood import assets
from multimood.errors import ConfigurationError
from multimood.trust.case import Embed

ASSET: Final = "values.toml"
VALUES: Final = (
    "self-direction: thought", "self-direction: action", "stimulation", "hedonism", "achievement", "power: dominance",
    "power: resources", "face", "security: personal", "security: societal", "tradition", "conformity: rules",
    "conformity: interpersonal", "humility", "benevolence: caring", "benevolence: dependability",
    "universalism: concern", "universalism: nature", "universalism: tolerance", "universalism: objectivity",
)  # fmt: skip
GAMMA: Final = 0.9
HORIZON: Final = 3
AT_ONCE: Final = 32
"""Texts in a request: what the shipped text encoder takes (`max_batch_size`)."""
LEAST_COSINE: Final = 0.35
LEAST_LEAD: Final = 1.5
"""In standard deviations above the mean of the 20 values."""


class ValuesFile(BaseModel):
    """The whole file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    edition: str = Field(pattern=r"^\d{4}\.\d{2}(\.\d+)?$")
    values: Mapping[str, tuple[str, ...]]


class ValueDetector:
    """Finds values in what a person says."""

    def __init__(
        self,
        described: Mapping[str, Sequence[str]],
        embed: Embed,
        version: str,
        *,
        least_cosine: float = LEAST_COSINE,
        least_lead: float = LEAST_LEAD,
    ) -> None:
        """See `load`; `least_cosine` and `least_lead` say how near is near enough."""
        self._described = described
        self._embed = embed
        self._least = (least_cosine, least_lead)
        self._known: NDArray[np.float32] | None = None
        self.version: Final = version

    @classmethod
    def load(cls, embed: Embed, path: Path | None = None) -> "ValueDetector":
        """With the shipped descriptions, or an operator's own file.

        Raises:
            ConfigurationError: unreadable, or a value is missing, unknown or not described.
        """
        content, raw = assets.read_toml(ValuesFile, ASSET, path)
        if set(content.values) != set(VALUES) or not all(content.values.values()):
            raise ConfigurationError(f"{path or ASSET} must describe each of {', '.join(VALUES)}, and nothing else")
        return cls(
            {name: content.values[name] for name in VALUES}, embed, assets.version("values", content.edition, raw)
        )

    async def cosines(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The closest sentence of each value: n texts -> float32 [n, 20].

        Raises:
            UnavailableError: from the encoder.
        """
        if self._known is None:
            self._known = await self._vectors([text for texts in self._described.values() for text in texts])
        near = await self._vectors(texts) @ self._known.T
        ends = np.cumsum([len(sentences) for sentences in self._described.values()])[:-1]
        found: NDArray[np.float32] = np.stack([part.max(axis=1) for part in np.split(near, ends, axis=1)], axis=1)
        return found

    async def _vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        parts = [await self._embed(texts[begin : begin + AT_ONCE]) for begin in range(0, len(texts), AT_ONCE)]
        return _unit(np.concatenate(parts))

    async def find(self, texts: Sequence[str]) -> list[frozenset[str]]:
        """The values in each text; none in one without words.

        Raises:
            UnavailableError: from the encoder.
        """
        worded = [place for place, text in enumerate(texts) if text.strip()]
        found: list[frozenset[str]] = [frozenset()] * len(texts)
        if not worded:
            return found
        near = await self.cosines([texts[place] for place in worded])
        lead = (near - near.mean(axis=1, keepdims=True)) / np.maximum(near.std(axis=1, keepdims=True), np.float32(1e-6))
        is_there = (near >= self._least[0]) & (lead >= self._least[1])
        for place, row in zip(worded, is_there, strict=True):
            found[place] = frozenset(name for name, there in zip(self._described, row, strict=True) if there)
        return found


@dataclass(frozen=True, slots=True)
class Ahead:
    """What follows a reply: the reward, and whether all of the horizon was seen (a dialogue ends)."""

    reward: float
    complete: bool


def lookahead(
    values_per_turn: Sequence[Collection[str]],
    gamma: float = GAMMA,
    horizon: int = HORIZON,
    targets: Collection[str] | None = None,
) -> list[Ahead]:
    """R(t) = sum over k = 1..h of gamma^(k-1) N(t+k): for each turn t of the seeker, what comes of the reply to it.

    N counts the values that the seeker's turn shows, of `targets` if they are given (ES-VR: those to be reinforced).
    Turns behind the end count nothing.

    Raises:
        ValueError: `gamma` outside 0..1, or `horizon` below 1.
    """
    counts = [shown(values, targets) for values in values_per_turn]
    return [ahead_of(counts[turn + 1 : turn + 1 + horizon], gamma, horizon) for turn in range(len(counts))]


def shown(values: Collection[str], targets: Collection[str] | None = None) -> int:
    """N of a turn: how many values it shows, of `targets` if they are given."""
    return len(set(values) if targets is None else set(values) & set(targets))


def ahead_of(counts: Sequence[int], gamma: float, horizon: int) -> Ahead:
    """What follows a reply, by N of the turns behind it, `horizon` at most.

    Raises:
        ValueError: `gamma` outside 0..1, or `horizon` below 1.
    """
    if not 0.0 <= gamma <= 1.0 or horizon < 1:
        raise ValueError(f"gamma={gamma}, horizon={horizon}: wanted gamma in 0..1 and a horizon of at least 1")
    value = sum(gamma**power * count for power, count in enumerate(counts[:horizon]))
    return Ahead(float(value), len(counts) >= horizon)


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    found: NDArray[np.float32] = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.float32(1e-12))
    return found
