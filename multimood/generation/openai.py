"""A chat model behind any OpenAI-compatible endpoint (vLLM, llama.cpp, Ollama, a gateway to a vendor, ...)."""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

import httpx

from multimood.errors import ConfigurationError, MultimoodError, UnavailableError
from multimood.generation.ask import Ask, Finish, Piece, Token
from multimood.generation.errors import BusyError, RefusedError
from multimood.generation.refusal import (
    MOST_BYTES_OF_REFUSAL,
    UNFIT,
    Refusal,
    beginning,
    read_refusal,
    seconds_to_wait,
    without,
)
from multimood.generation.sse import EventParser, EventTooLongError

CONNECT_S: Final = 5.0
READY_S: Final = 3.0
COUNTS_S: Final = 2.0
"""After the end of the text the token counts and the end of the stream may take so long; then we go on without."""
MOST_BYTES: Final = 8 << 20
LAST_PORT: Final = 65_535
MOST_IDS: Final = 1 << 31
_MISCONFIGURED: Final = frozenset(
    (HTTPStatus.UNAUTHORIZED, HTTPStatus.PAYMENT_REQUIRED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND,
     HTTPStatus.METHOD_NOT_ALLOWED)
)  # fmt: skip
_LATER: Final = frozenset((HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT, HTTPStatus.TOO_EARLY))
_BUSY: Final = frozenset((HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE))
_DISPENSABLE: Final = frozenset(("seed", "stream_options", "logprobs", "max_tokens", "temperature"))
"""What an endpoint need not know."""
_END: Final = "[DONE]"

logger = logging.getLogger(__name__)


def endpoint(url: str, key: str = "") -> httpx.AsyncClient:
    """A client for the endpoint at `url` (with its `/v1`), authorized by `key` if there is one.

    Raises:
        ConfigurationError: no HTTP URL.
    """
    key = key.strip()  # what is read from a file ends with its line
    if not (key.isascii() and (key.isprintable() or not key)):
        raise ConfigurationError("the LLM's key has characters that no key has: give it as the endpoint's owner did")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        base = httpx.URL(url if url.endswith("/") else f"{url}/")
    except httpx.InvalidURL as error:
        raise ConfigurationError(f"the LLM's URL {url!r} is none: {error}") from None
    if base.scheme not in {"http", "https"} or not base.host:
        raise ConfigurationError(f"the LLM's URL {url!r} must begin with http:// or https:// and name a host")
    if not 0 < (base.port or 1) <= LAST_PORT:
        raise ConfigurationError(f"the LLM's URL {url!r} has port {base.port}: the last there can be is {LAST_PORT}")
    # No read timeout: how long to wait for a token is the asker's decision.
    return httpx.AsyncClient(base_url=base, headers=headers, timeout=httpx.Timeout(None, connect=CONNECT_S))


class OpenAIGenerator:
    """`POST chat/completions` with `stream`. One call is one request: trying again is `patiently`'s business."""

    def __init__(self, client: httpx.AsyncClient, name: str) -> None:
        self._client = client
        self.name: Final = name
        self._left_out: set[str] = set()
        """Fields that the endpoint turned out not to take."""

    async def stream(self, ask: Ask) -> AsyncGenerator[Piece, None]:
        """See `Generator`."""
        body = {
            "model": self.name,
            "messages": ask.chat(),
            "max_tokens": ask.max_tokens,
            "temperature": ask.temperature,
            "seed": ask.seed,
            "stream": True,
            "stream_options": {"include_usage": True},
            **({"logprobs": True} if ask.log_probs else {}),
        }
        try:
            while True:
                sent = without(body, self._left_out)
                async with self._client.stream("POST", "chat/completions", json=sent) as response:
                    if response.status_code == HTTPStatus.OK:
                        async with aclosing(_events(response)) as events:
                            async for piece in _pieces(self.name, events):
                                yield piece
                        return
                    refusal = read_refusal(await beginning(response, MOST_BYTES_OF_REFUSAL), sent)
                if response.status_code not in UNFIT or refusal.field not in _DISPENSABLE:
                    raise _failure(self.name, response, refusal)
                if refusal.field not in self._left_out:
                    logger.warning("an endpoint takes no field", extra={"model": self.name, "field": refusal.field})
                self._left_out.add(refusal.field)
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise UnavailableError(f"the connection to {self.name} failed: {type(error).__name__}") from None

    async def ready(self) -> bool:
        """Ask for the list of models, which every such endpoint has; one that has none but answers is up, too."""
        try:
            response = await self._client.get("models", timeout=READY_S)
        except (httpx.HTTPError, httpx.StreamError):
            return False
        return response.is_success or response.status_code in {HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED}

    async def close(self) -> None:
        """See `Generator`."""
        await self._client.aclose()


@dataclass(slots=True)
class _Reading:
    """What the chunks said so far."""

    finish: Finish = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    counted: bool = False
    version: str = ""
    text: str = ""
    tokens: list[Token] = field(default_factory=list)
    """Since the last piece."""

    def take(self, name: str, data: str) -> None:
        """Read a chunk; its text is in `text` then. Raises RefusedError, UnavailableError."""
        self.text = ""
        try:
            chunk = json.loads(data)
            if chunk.get("error"):
                raise UnavailableError(f"{name} broke off with an error of its own")
            self.version = str(chunk.get("system_fingerprint") or chunk.get("model") or self.version)
            if usage := chunk.get("usage"):
                self.prompt_tokens = max(0, int(usage["prompt_tokens"]))
                self.completion_tokens = max(0, int(usage["completion_tokens"]))
                self.counted = True
            for choice in chunk.get("choices") or ():
                self._choose(name, choice)
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            # Not the chunk itself: it may quote the person.
            raise RefusedError(f"{name} does not speak the protocol: a chunk is no chat completion") from None

    def _choose(self, name: str, choice: dict[str, Any]) -> None:
        text = (choice.get("delta") or {}).get("content")
        if text:
            self.text += str(text)
            self.completion_tokens += not self.counted  # about one a chunk, until the endpoint counts
        self.tokens += _tokens(choice.get("logprobs"))
        match choice.get("finish_reason"):
            case None:
                pass
            case "content_filter":
                raise RefusedError(f"{name} withheld its reply (content_filter)")
            case "length":
                self.finish = "length"
            case _:
                self.finish = "stop"

    def piece(self, finish: Finish = "") -> Piece:
        """What is known now."""
        tokens, self.tokens = tuple(self.tokens), []
        return Piece(self.text, finish, self.prompt_tokens, self.completion_tokens, self.version, tokens)


def _tokens(log_probs: Any) -> list[Token]:
    """What a chunk says of its tokens. The protocol has no ids; llama.cpp gives them beside."""
    found = []
    for item in (log_probs or {}).get("content") or ():
        identity, log_prob = item.get("id"), item.get("logprob")
        if log_prob is not None:
            is_id = isinstance(identity, int) and 0 <= identity < MOST_IDS
            found.append(Token(identity if is_id else None, float(log_prob)))
    return found


async def _pieces(name: str, events: AsyncIterator[str]) -> AsyncIterator[Piece]:
    reading = _Reading()
    while True:
        try:
            # Endless while text may come; short once only the counts are missing.
            async with asyncio.timeout(COUNTS_S if reading.finish else None):
                data = await anext(events, None)
        except (TimeoutError, httpx.HTTPError):
            if not reading.finish:
                raise
            data = None
        if data is None or data == _END:
            break
        reading.take(name, data)
        if reading.text:
            yield reading.piece()
    if not reading.finish:
        raise UnavailableError(f"the stream of {name} ended without saying why")
    reading.text = ""
    yield reading.piece(reading.finish)


async def _events(response: httpx.Response) -> AsyncGenerator[str, None]:
    parser, received = EventParser(), 0
    async for chunk in response.aiter_bytes():
        received += len(chunk)
        if received > MOST_BYTES:
            raise UnavailableError(f"an endpoint sent more than {MOST_BYTES} bytes for one reply")
        try:
            for data in parser.feed(chunk):
                yield data
        except EventTooLongError:
            raise RefusedError("an endpoint does not speak the protocol: an event has no end") from None


def _failure(name: str, response: httpx.Response, refusal: Refusal) -> MultimoodError:
    status = response.status_code
    said = refusal.after(status)
    if status in _MISCONFIGURED:
        return ConfigurationError(f"{name} refused ({said}): check the endpoint's URL, key and model name")
    if status in _BUSY:
        return BusyError(f"{name} is busy ({said})", seconds_to_wait(response.headers.get("retry-after", "")))
    if status in _LATER or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return UnavailableError(f"{name} answered {said}")
    return RefusedError(f"{name} will not answer this request ({said})")
