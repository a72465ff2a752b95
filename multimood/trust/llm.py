"""A language model as judge, behind any OpenAI-compatible endpoint.

The judge that trains must not be the only judge that grades: give evaluation another model than training.
"""

import asyncio
import json
import string
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import httpx

from multimood import assets
from multimood.errors import ConfigurationError, DeadlineExceededError, UnavailableError
from multimood.taxonomy import CRITERIA
from multimood.trust.case import LEAST, MOST, TrustCase
from multimood.trust.kept import KeptScores, digest
from multimood.trust.spending import Prices, Spending

ASSET: Final = "trust_rubric.txt"
MOST_TURNS: Final = 20
MOST_TURN_CHARACTERS: Final = 2_000
_FIELDS: Final = frozenset(("criteria", "shape", "emotion", "strategy", "locale", "dialogue", "reply"))
_RETRIED: Final = frozenset((408, 409, 425, 429, 500, 502, 503, 504))
_MOST_ANSWER_BYTES: Final = 65_536


class Rubric:
    """The versioned prompt template: a first line `edition <yyyy.mm>`, `---`, then the text with `$fields`."""

    def __init__(self, template: string.Template, version: str) -> None:
        """See `load`."""
        self._template = template
        self.version: Final = version

    @classmethod
    def load(cls, path: Path | None = None) -> "Rubric":
        """Read the shipped rubric, or an operator's own file.

        Raises:
            ConfigurationError: unreadable, without an edition, or not using exactly the known fields.
        """
        raw = assets.read(ASSET, path)
        place = path or ASSET
        head, _, body = raw.decode("utf-8", "replace").partition("\n---\n")
        if not head.startswith("edition ") or not body:
            raise ConfigurationError(f"{place} must begin with a line `edition <yyyy.mm>` and a line `---`")
        template = string.Template(body)
        if not template.is_valid() or set(template.get_identifiers()) != _FIELDS:
            raise ConfigurationError(
                f"{place} must use exactly the fields {', '.join(sorted(_FIELDS))}; write $$ for $"
            )
        return cls(template, assets.version("rubric", head.removeprefix("edition ").strip(), raw))

    def render(self, case: TrustCase, criteria: Sequence[str]) -> str:
        """Fill in the prompt. What people said enters as JSON, so that it cannot end its own quotation."""
        turns = [{"role": turn.role, "text": turn.text[:MOST_TURN_CHARACTERS]} for turn in case.dialogue[-MOST_TURNS:]]
        return self._template.substitute(
            criteria=", ".join(criteria),
            shape="{" + ", ".join(f'"{name}": <1-10>' for name in criteria) + "}",
            emotion=case.user_emotion or "unknown",
            strategy=case.strategy or "none",
            locale=case.locale,
            dialogue=json.dumps(turns, ensure_ascii=False),
            reply=json.dumps(case.reply[:MOST_TURN_CHARACTERS], ensure_ascii=False),
        )


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
        timeout_s: float = 30.0,
        attempts: int = 3,
        pause_s: float = 0.5,
        kept: KeptScores | None = None,
        prices: Prices | None = None,
    ) -> None:
        """`client` carries the endpoint's base URL (with `/v1`) and its authorization; the caller closes it.

        What was asked before is answered from `kept`; without it every case is asked for.

        Raises:
            ConfigurationError: an unknown criterion, or nothing to try.
        """
        if not criteria or not set(criteria) <= set(CRITERIA):
            raise ConfigurationError(f"criteria {list(criteria)}: choose from {', '.join(CRITERIA)}")
        if attempts < 1 or timeout_s <= 0:
            raise ConfigurationError(f"attempts={attempts}, timeout_s={timeout_s}: both must be positive")
        self._client = client
        self._model = model
        self._rubric = rubric
        self._timeout = timeout_s
        self._attempts = attempts
        self._pause = pause_s
        self._kept = kept
        self.spending: Final = Spending(model, prices or Prices())
        self.criteria: Sequence[str] = tuple(criteria)
        self.version = f"{model}/{rubric.version}"

    async def score(self, case: TrustCase) -> Mapping[str, float]:
        """Score the judge's criteria, each 1..10.

        Raises:
            UnavailableError: no usable answer in all attempts; `DeadlineExceededError` when the last one took too long.
            ConfigurationError: the endpoint refuses the request (wrong key, model or URL).
        """
        request = self._request(case)
        asked = digest(request)
        if self._kept is not None and (before := self._kept.get(asked)) is not None:
            self.spending.remembered()
            return before
        given = await self._try(request)
        if self._kept is not None:
            self._kept.keep(asked, given)
        return given

    async def _try(self, request: Mapping[str, Any]) -> Mapping[str, float]:
        fault: UnavailableError = UnavailableError("the judge was never asked")
        for attempt in range(self._attempts):
            if attempt:
                await asyncio.sleep(self._pause * 2 ** (attempt - 1))
            try:
                async with asyncio.timeout(self._timeout):
                    return await self._ask(request)
            except (TimeoutError, httpx.TimeoutException):
                fault = DeadlineExceededError(f"the judge {self._model} gave no answer within {self._timeout} s")
            except httpx.HTTPError as error:
                fault = UnavailableError(f"the judge {self._model} cannot be reached ({type(error).__name__})")
            except UnavailableError as error:
                fault = error
        raise fault

    def _request(self, case: TrustCase) -> dict[str, Any]:
        whole = {"type": "integer", "minimum": int(LEAST), "maximum": int(MOST)}
        schema = {
            "type": "object",
            "properties": dict.fromkeys(self.criteria, whole),
            "required": list(self.criteria),
            "additionalProperties": False,
        }
        return {
            "model": self._model,
            "temperature": 0,
            "max_tokens": 200,
            "messages": [{"role": "user", "content": self._rubric.render(case, self.criteria)}],
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "trust", "strict": True, "schema": schema},
            },
        }

    async def _ask(self, request: Mapping[str, Any]) -> Mapping[str, float]:
        body = bytearray()
        async with self._client.stream("POST", "chat/completions", json=request) as response:
            if response.status_code in _RETRIED:
                raise UnavailableError(f"the judge {self._model} answered HTTP {response.status_code}")
            if response.is_error:
                raise ConfigurationError(
                    f"the judge {self._model} refused (HTTP {response.status_code}): check its URL, key and model name"
                )
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > _MOST_ANSWER_BYTES:
                    raise UnavailableError(f"the judge {self._model} answered more than {_MOST_ANSWER_BYTES} bytes")
        return self._read(bytes(body))

    def _read(self, body: bytes) -> Mapping[str, float]:
        usage: Any = None
        try:
            answer = json.loads(body)
            usage = answer.get("usage")
            scores = json.loads(answer["choices"][0]["message"]["content"])
            result = {name: scores[name] for name in self.criteria}
            valid = len(scores) == len(result) and all(
                type(score) is int and LEAST <= score <= MOST for score in result.values()
            )
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            valid = False
        self.spending.answered(usage)
        if not valid:
            # Not the answer itself: it may quote the person.
            raise UnavailableError(f"the judge {self._model} did not answer with whole numbers for its criteria")
        return {name: float(score) for name, score in result.items()}
