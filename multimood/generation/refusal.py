"""Why an OpenAI-compatible endpoint refuses a request, as far as its answer tells: codes and field names, no sentence.

Its sentences are not passed on: some servers repeat the request in them, and so what the person said.
"""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, Literal

import httpx

Cause = Literal["", "length", "content"]

UNFIT: Final = frozenset((400, 413, 422))
"""It is the request that is refused, not who asks."""
MOST_BYTES_OF_REFUSAL: Final = 16_384
MOST_WAIT_S: Final = 3_600.0
_CODE: Final = re.compile(r"[A-Za-z][\w.-]{0,59}", re.ASCII)
_LENGTH: Final = re.compile(r"context[ _](length|size|window)|maximum context|too many (input )?tokens", re.IGNORECASE)
_CONTENT: Final = re.compile(r"content_(filter|policy)\w*|\w*moderation\w*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Refusal:
    """What is known of it; all empty when the endpoint does not say."""

    field: str = ""
    """The field of the request that it does not take."""
    code: str = ""
    """Its own word for the fault."""
    cause: Cause = ""
    """It is this request, not the configuration: it is too long, or a filter of contents stands before the model."""

    def after(self, status: int) -> str:
        """What is known of it, behind its HTTP status."""
        said = [f"HTTP {status}", *([f"field {self.field}"] if self.field else []), *([self.code] if self.code else [])]
        return ", ".join(said)


def read_refusal(body: bytes, fields: Collection[str]) -> Refusal:
    """Read the body of an answer with an error status; `fields` are those of the request."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return Refusal()
    if not isinstance(answer, Mapping):
        return Refusal()
    # {"error": {...}} says OpenAI, {"error": "..."} Ollama, {"message": ...} older vLLM, {"detail": [...]} FastAPI.
    error = answer.get("error", answer)
    error = error if isinstance(error, Mapping) else {"message": error}
    message = error.get("message")
    message = message if isinstance(message, str) else ""
    codes = [word for word in (error.get("code"), error.get("type")) if isinstance(word, str) and _CODE.fullmatch(word)]
    cause: Cause = ""
    if any(_CONTENT.fullmatch(code) for code in codes):
        cause = "content"
    elif any(_LENGTH.search(text) for text in (*codes, message)):
        cause = "length"
    field = _parameter(error.get("param"), fields) or _located(answer.get("detail"), fields) or _named(message, fields)
    return Refusal("" if cause else field, codes[0] if codes else "", cause)


def _parameter(given: Any, fields: Collection[str]) -> str:
    name = given.partition(".")[0].partition("[")[0] if isinstance(given, str) else ""
    return name if name in fields else ""


def _located(details: Any, fields: Collection[str]) -> str:
    if not isinstance(details, Sequence) or isinstance(details, str):
        return ""
    places = [detail.get("loc") for detail in details if isinstance(detail, Mapping)]
    names = [name for place in places if isinstance(place, Sequence) for name in place]
    return next((name for name in names if isinstance(name, str) and name in fields), "")


def _named(message: str, fields: Collection[str]) -> str:
    """A field in quotes, or one whose name is no word of any language."""
    if "json_schema" in message and "response_format" in fields:
        return "response_format"
    for field in fields:
        if re.search(rf"(?<![\w]){re.escape(field)}(?![\w])" if "_" in field else rf"['\"`]{field}['\"`]", message):
            return field
    return ""


def seconds_to_wait(retry_after: str) -> float:
    """A `Retry-After` header in seconds, whether number or date; 0 without one, an hour at most."""
    if retry_after.strip().isdecimal():
        return min(float(retry_after), MOST_WAIT_S)
    try:
        then = parsedate_to_datetime(retry_after)
    except ValueError:
        return 0.0
    then = then if then.tzinfo else then.replace(tzinfo=UTC)
    return min(max(0.0, (then - datetime.now(UTC)).total_seconds()), MOST_WAIT_S)


async def beginning(response: httpx.Response, most: int) -> bytes:
    """The body, or as soon as there are more than `most` bytes of it what has come so far."""
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > most:
            break
    return bytes(body)


def without(request: Mapping[str, Any], fields: Collection[str]) -> dict[str, Any]:
    """The request without fields that an endpoint does not take; the newer name of the one that has two."""
    kept = {name: value for name, value in request.items() if name not in fields}
    if "max_tokens" in fields:
        kept["max_completion_tokens"] = request["max_tokens"]
    return kept
