"""A chat model behind any OpenAI-compatible endpoint, asked for one JSON object of a given shape."""

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import httpx

from multimood.errors import ConfigurationError, DeadlineExceededError, UnavailableError
from multimood.trust.spending import Prices, Spending

MOST_TOKENS: Final = 200
_RETRIED: Final = frozenset((408, 409, 425, 429, 500, 502, 503, 504))
_MOST_ANSWER_BYTES: Final = 65_536

T = TypeVar("T")


def request_of(model: str, prompt: str, name: str, properties: Mapping[str, Any]) -> dict[str, Any]:
    """The request: all `properties` (JSON Schema) are to be there, and nothing else."""
    schema = {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }
    return {
        "model": model,
        "temperature": 0,
        "max_tokens": MOST_TOKENS,
        "messages": [{"role": "user", "content": prompt}],
        "response_format": {"type": "json_schema", "json_schema": {"name": name, "strict": True, "schema": schema}},
    }


class Asking:
    """Asks, within a time, several times if need be."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        model: str,
        *,
        timeout_s: float = 30.0,
        attempts: int = 3,
        pause_s: float = 0.5,
        prices: Prices | None = None,
    ) -> None:
        """`client` carries the endpoint's base URL (with `/v1`) and its authorization; the caller closes it.

        Raises:
            ConfigurationError: nothing to try.
        """
        if attempts < 1 or timeout_s <= 0:
            raise ConfigurationError(f"attempts={attempts}, timeout_s={timeout_s}: both must be positive")
        self._client = client
        self.model: Final = model
        self._timeout = timeout_s
        self._attempts = attempts
        self._pause = pause_s
        self.spending: Final = Spending(model, prices or Prices())

    async def ask(self, request: Mapping[str, Any], read: Callable[[Any], T | None], wanted: str) -> T:
        """What `read` makes of the object that the model answers; None from it is an unusable answer, tried again.

        Raises:
            UnavailableError: no answer as `wanted` in all attempts; DeadlineExceededError when the last took too long.
            ConfigurationError: the endpoint refuses the request (wrong key, model or URL).
        """
        fault: UnavailableError = UnavailableError("the judge was never asked")
        for attempt in range(self._attempts):
            if attempt:
                await asyncio.sleep(self._pause * 2 ** (attempt - 1))
            try:
                async with asyncio.timeout(self._timeout):
                    return self._read(await self._answer(request), read, wanted)
            except (TimeoutError, httpx.TimeoutException):
                fault = DeadlineExceededError(f"the judge {self.model} gave no answer within {self._timeout} s")
            except httpx.HTTPError as error:
                fault = UnavailableError(f"the judge {self.model} cannot be reached ({type(error).__name__})")
            except UnavailableError as error:
                fault = error
        raise fault

    async def _answer(self, request: Mapping[str, Any]) -> bytes:
        body = bytearray()
        async with self._client.stream("POST", "chat/completions", json=request) as response:
            if response.status_code in _RETRIED:
                raise UnavailableError(f"the judge {self.model} answered HTTP {response.status_code}")
            if response.is_error:
                raise ConfigurationError(
                    f"the judge {self.model} refused (HTTP {response.status_code}): check its URL, key and model name"
                )
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > _MOST_ANSWER_BYTES:
                    raise UnavailableError(f"the judge {self.model} answered more than {_MOST_ANSWER_BYTES} bytes")
        return bytes(body)

    def _read(self, body: bytes, read: Callable[[Any], T | None], wanted: str) -> T:
        usage: Any = None
        found: T | None = None
        try:
            answer = json.loads(body)
            usage = answer.get("usage")
            found = read(json.loads(answer["choices"][0]["message"]["content"]))
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            found = None
        self.spending.answered(usage)
        if found is None:
            # Not the answer itself: it may quote the person.
            raise UnavailableError(f"the judge {self.model} did not answer with {wanted}")
        return found
