"""A language model that is shown two replies to one dialogue and says which is better: for the check of position."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, cast

import httpx

from multimood.trust.asking import Asking, request_of
from multimood.trust.case import TrustCase
from multimood.trust.kept import KeptScores, digest
from multimood.trust.llm import Rubric, quoted
from multimood.trust.spending import Spending

ASSET: Final = "trust_pair.txt"
FIELDS: Final = frozenset(("locale", "dialogue", "first", "second"))

Better: TypeAlias = Literal["first", "second", "equal"]
_ANSWERS: Final = ("first", "second", "equal")


class PairJudge:
    """Asks a chat model which of two replies is better."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        model: str,
        rubric: Rubric | None = None,
        *,
        kept: KeptScores | None = None,
        **asking: Any,
    ) -> None:
        """As `LLMJudge`; without a `rubric` the shipped one is used."""
        self._kept = kept
        self._asking = Asking(client, model, **asking)
        self._rubric = rubric or load()

    @property
    def spending(self) -> Spending:
        """What it has cost so far."""
        return self._asking.spending

    async def better(self, case: TrustCase, other: str) -> Better:
        """Which is better, the case's reply (shown first) or the `other` one (shown second).

        Raises:
            UnavailableError, ConfigurationError: see `Asking.ask`.
        """
        prompt = self._rubric.filled(case, first=quoted(case.reply), second=quoted(other))
        shape = {"better": {"type": "string", "enum": list(_ANSWERS)}}
        request = request_of(self._asking.model, prompt, "pair", shape)
        asked = digest(request)
        if self._kept is not None and (before := self._kept.get(asked)) is not None:
            self.spending.remembered()
            return cast("Better", next(iter(before)))
        verdict: Better = await self._asking.ask(request, _read, "which is better")
        if self._kept is not None:
            self._kept.keep(asked, {verdict: 1.0})
        return verdict


def load(path: Path | None = None) -> Rubric:
    """The shipped rubric of pairs, or an operator's own file. Raises ConfigurationError."""
    return Rubric.load(path, asset=ASSET, fields=FIELDS)


@dataclass(frozen=True, slots=True)
class Position:
    """How a judge of pairs stands to their order, over `pairs` that it saw in both orders."""

    pairs: int
    first: float | None
    """Share of its verdicts, ties aside, for the reply shown first; 0.5: none is favoured. None: only ties."""
    turned: float | None
    """Share of the pairs on which it changed its mind with the order. None: there were none."""


def position(verdicts: Sequence[tuple[Better, Better]]) -> Position:
    """The check: of each pair the verdict in one order, and in the other."""
    every = [verdict for pair in verdicts for verdict in pair if verdict != "equal"]
    swapped = {"first": "second", "second": "first", "equal": "equal"}
    return Position(
        len(verdicts),
        every.count("first") / len(every) if every else None,
        sum(swapped[one] != other for one, other in verdicts) / len(verdicts) if verdicts else None,
    )


def _read(answer: Any) -> Better | None:
    return cast("Better", answer["better"]) if len(answer) == 1 and answer["better"] in _ANSWERS else None
