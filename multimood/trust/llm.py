"""A language model as judge, behind any OpenAI-compatible endpoint.

The judge that trains must not be the only judge that grades: give evaluation another model than training.
"""

import json
import string
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import httpx

from multimood import assets
from multimood.errors import ConfigurationError
from multimood.taxonomy import CRITERIA
from multimood.trust.asking import Asking, request_of
from multimood.trust.case import LEAST, MOST, TrustCase
from multimood.trust.kept import KeptScores, digest
from multimood.trust.spending import Spending

ASSET: Final = "trust_rubric.txt"
MOST_TURNS: Final = 20
MOST_TURN_CHARACTERS: Final = 2_000
FIELDS: Final = frozenset(("criteria", "shape", "emotion", "strategy", "locale", "dialogue", "reply"))


class Rubric:
    """A versioned prompt template: a first line `edition <yyyy.mm>`, `---`, then the text with `$fields`."""

    def __init__(self, template: string.Template, version: str) -> None:
        """See `load`."""
        self._template = template
        self.version: Final = version

    @classmethod
    def load(cls, path: Path | None = None, *, asset: str = ASSET, fields: frozenset[str] = FIELDS) -> "Rubric":
        """Read a shipped rubric, or an operator's own file in place of it.

        Raises:
            ConfigurationError: unreadable, without an edition, or not using exactly the known fields.
        """
        raw = assets.read(asset, path)
        place = path or asset
        head, _, body = raw.decode("utf-8", "replace").partition("\n---\n")
        if not head.startswith("edition ") or not body:
            raise ConfigurationError(f"{place} must begin with a line `edition <yyyy.mm>` and a line `---`")
        template = string.Template(body)
        if not template.is_valid() or set(template.get_identifiers()) != fields:
            raise ConfigurationError(f"{place} must use exactly the fields {', '.join(sorted(fields))}; write $$ for $")
        return cls(template, assets.version("rubric", head.removeprefix("edition ").strip(), raw))

    def filled(self, case: TrustCase, **fields: str) -> str:
        """The prompt about a case's dialogue. What was said enters as JSON, so that it cannot end its own quotation."""
        turns = [{"role": turn.role, "text": turn.text[:MOST_TURN_CHARACTERS]} for turn in case.dialogue[-MOST_TURNS:]]
        return self._template.substitute(dialogue=json.dumps(turns, ensure_ascii=False), locale=case.locale, **fields)

    def render(self, case: TrustCase, criteria: Sequence[str]) -> str:
        """The prompt that asks for scores of a reply."""
        return self.filled(
            case,
            criteria=", ".join(criteria),
            shape="{" + ", ".join(f'"{name}": <1-10>' for name in criteria) + "}",
            emotion=case.user_emotion or "unknown",
            strategy=case.strategy or "none",
            reply=quoted(case.reply),
        )


def quoted(reply: str) -> str:
    """A reply as a JSON string, not longer than a prompt can bear."""
    return json.dumps(reply[:MOST_TURN_CHARACTERS], ensure_ascii=False)


class LLMJudge:
    """Asks a chat model for the criteria it is responsible for, by default all seven."""

    name = "llm"

    def __init__(
        self,
        client: httpx.AsyncClient,
        model: str,
        rubric: Rubric,
        criteria: Sequence[str] = CRITERIA,
        *,
        kept: KeptScores | None = None,
        **asking: Any,
    ) -> None:
        """`client` and `asking` are those of `Asking`. What was asked before is answered from `kept`.

        Raises:
            ConfigurationError: an unknown criterion, or nothing to try.
        """
        if not criteria or not set(criteria) <= set(CRITERIA):
            raise ConfigurationError(f"criteria {list(criteria)}: choose from {', '.join(CRITERIA)}")
        self._asking = Asking(client, model, **asking)
        self._rubric = rubric
        self._kept = kept
        self.criteria: Sequence[str] = tuple(criteria)
        self.version = f"{model}/{rubric.version}"

    @property
    def spending(self) -> Spending:
        """What it has cost so far."""
        return self._asking.spending

    async def score(self, case: TrustCase) -> Mapping[str, float]:
        """Score the judge's criteria, each 1..10.

        Raises:
            UnavailableError, ConfigurationError: see `Asking.ask`.
        """
        whole = {"type": "integer", "minimum": int(LEAST), "maximum": int(MOST)}
        prompt = self._rubric.render(case, self.criteria)
        request = request_of(self._asking.model, prompt, "trust", dict.fromkeys(self.criteria, whole))
        asked = digest(request)
        if self._kept is not None and (before := self._kept.get(asked)) is not None:
            self.spending.remembered()
            return before
        given = await self._asking.ask(request, self._read, "whole numbers for its criteria")
        if self._kept is not None:
            self._kept.keep(asked, given)
        return given

    def _read(self, scores: Any) -> Mapping[str, float] | None:
        result = {name: scores[name] for name in self.criteria}
        valid = len(scores) == len(result) and all(
            type(score) is int and LEAST <= score <= MOST for score in result.values()
        )
        return {name: float(score) for name, score in result.items()} if valid else None
