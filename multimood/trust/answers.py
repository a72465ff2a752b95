"""What an endpoint answered, taken apart: the model's words, and the one object in them."""

import json
import re
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, Final, TypeVar

from multimood.trust.failures import WithheldError

MOST_OBJECTS: Final = 64
"""Places at which an object may begin in an answer that has words around it."""

T = TypeVar("T")


def words_of(model: str, choice: Any) -> str:
    """The text of a choice. Raises LookupError, TypeError, AttributeError where it is none.

    Raises:
        WithheldError: the model declined.
    """
    message = choice["message"]
    if message.get("refusal") or choice.get("finish_reason") == "content_filter":
        raise WithheldError(f"the judge {model} declined to judge this case")
    content = message["content"]
    if isinstance(content, list):  # parts, as some gateways have them
        content = "".join(part.get("text", "") for part in content)
    return str(content or "")


def only_one(content: str, read: Callable[[Any], T | None]) -> T | None:
    """What `read` makes of the JSON object in an answer; None when there is none that it can use, or two that differ.

    Servers that know no JSON schema let the model write around it: a fence, a sentence, what it thinks.
    """
    found: list[T] = []
    for value in _values(content):
        usable = _tried(value, read)
        if usable is not None and usable not in found:
            found.append(usable)
    return found[0] if len(found) == 1 else None


def _values(content: str) -> Iterator[Any]:
    try:
        yield json.loads(content)
    except (ValueError, RecursionError):
        decoder, end = json.JSONDecoder(), 0
        for start in islice(re.finditer(r"\{", content), MOST_OBJECTS):
            if start.start() < end:
                continue  # within the last object
            try:
                value, end = decoder.raw_decode(content, start.start())
            except (ValueError, RecursionError):
                continue
            yield value


def _tried(value: Any, read: Callable[[Any], T | None]) -> T | None:
    try:
        return read(value)
    except (ValueError, LookupError, TypeError, AttributeError):
        return None
