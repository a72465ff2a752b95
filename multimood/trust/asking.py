"""A chat model behind any OpenAI-compatible endpoint, asked for one JSON object of a given shape."""

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import httpx

from multimood.errors import ConfigurationError, DeadlineExceededError, UnavailableError
from multimood.generation.errors import BusyError
from multimood.generation.refusal import (
    MOST_BYTES_OF_REFUSAL,
    UNFIT,
    beginning,
    read_refusal,
    seconds_to_wait,
    without,
)
from multimood.trust.answers import only_one, words_of
from multimood.trust.failures import UnusableError, WithheldError, failure_of
from multimood.trust.spending import Prices, Spending

logger = logging.getLogger(__name__)

MOST_TOKENS: Final = 200
WARMER: Final = 0.3
"""After each unusable answer: at the same temperature the same words would come again."""
_MOST_ANSWER_BYTES: Final = 65_536
_DISPENSABLE: Final = ("response_format", "max_tokens", "temperature")
"""What an endpoint need not know: the answer is checked whether or not it was told the shape."""

T = TypeVar("T")


def request_of(
    model: str, prompt: str, name: str, properties: Mapping[str, Any], most_tokens: int = MOST_TOKENS
) -> dict[str, Any]:
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
        "max_tokens": most_tokens,
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
        url = client.base_url
        # Without the credentials that an address may have before its host.
        self._whom = f"the judge {model} at {url.scheme}://{url.netloc.decode('ascii')}{url.path}"
        self._timeout = timeout_s
        self._attempts = attempts
        self._pause = pause_s
        self._left_out: set[str] = set()
        """Fields that the endpoint turned out not to take."""
        self.spending: Final = Spending(model, prices or Prices())

    async def ask(self, request: Mapping[str, Any], read: Callable[[Any], T | None], wanted: str) -> T:
        """What `read` makes of the object that the model answers; None from it is an unusable answer, tried again.

        Raises:
            UnavailableError: no answer as `wanted` in all attempts; `DeadlineExceededError` when the last took too
                long, `WithheldError` when this one will never be answered, `BusyError` when it is to be asked later.
            ConfigurationError: the endpoint refuses the request (wrong key, model or URL).
        """
        fault: UnavailableError = UnavailableError("the judge was never asked")
        unusable = 0
        for attempt in range(self._attempts):
            if attempt:
                await asyncio.sleep(self._wait(attempt, fault))
            try:
                async with asyncio.timeout(self._timeout):
                    return self._read(await self._answer({**request, "temperature": WARMER * unusable}), read, wanted)
            except (TimeoutError, httpx.TimeoutException):
                fault = DeadlineExceededError(
                    f"{self._whom} gave no answer within {self._timeout:g} s: give it longer, or ask it less at once"
                )
            except httpx.HTTPError as error:
                fault = UnavailableError(f"{self._whom} cannot be reached ({type(error).__name__})")
            except WithheldError:
                raise
            except UnusableError as error:
                fault, unusable = error, unusable + 1
            except UnavailableError as error:
                fault = error
        raise fault

    def _wait(self, attempt: int, fault: UnavailableError) -> float:
        pause = self._pause * float(2 ** (attempt - 1))
        if not isinstance(fault, BusyError):
            return pause
        if fault.retry_after_s > self._timeout:
            raise fault
        return max(pause, fault.retry_after_s)

    async def _answer(self, request: Mapping[str, Any]) -> bytes:
        while True:
            sent = without(request, self._left_out)
            async with self._client.stream("POST", "chat/completions", json=sent) as response:
                if response.is_success:
                    return await self._whole(response)
                refusal = read_refusal(await beginning(response, MOST_BYTES_OF_REFUSAL), sent)
            if response.status_code not in UNFIT or refusal.field not in _DISPENSABLE:
                wait = seconds_to_wait(response.headers.get("retry-after", ""))
                took = self.spending.asked > 0
                raise failure_of(self._whom, response.status_code, refusal, wait_s=wait, took_others=took)
            # What is left out is not in the next request, so this ends. Several questions may find it out at once.
            if refusal.field not in self._left_out:
                logger.warning("an endpoint takes no field", extra={"model": self.model, "field": refusal.field})
            self._left_out.add(refusal.field)

    async def _whole(self, response: httpx.Response) -> bytes:
        body = await beginning(response, _MOST_ANSWER_BYTES)
        if len(body) > _MOST_ANSWER_BYTES:
            raise UnavailableError(f"{self._whom} answered more than {_MOST_ANSWER_BYTES} bytes")
        return body

    def _read(self, body: bytes, read: Callable[[Any], T | None], wanted: str) -> T:
        try:
            answer = json.loads(body)
            usage, choice = answer.get("usage"), answer["choices"][0]
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            raise UnavailableError(f"{self._whom} answers with no chat completion: check its URL") from None
        self.spending.answered(usage)
        try:
            found, finish = only_one(words_of(self.model, choice), read), choice.get("finish_reason")
        except (LookupError, TypeError, AttributeError):
            found, finish = None, None
        if found is None:
            # Not the answer itself: it may quote the person.
            cut = ": it was cut off, as those are that think aloud first" if finish == "length" else ""
            raise UnusableError(f"{self._whom} did not answer with {wanted}{cut}")
        return found
