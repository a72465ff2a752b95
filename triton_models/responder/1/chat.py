"""What a chat request may be. Nothing of it is quoted in an error."""

import json
import math
import secrets
from typing import Any

ROLES = ("system", "user", "assistant")
SEEDS = 1 << 32
WANTED = f'expected a list of {{"role": one of {", ".join(ROLES)}; "content": text}}'


class RefusedError(Exception):
    """A request that cannot be answered; the message says what would be right."""


def read_chat(messages: bytes, max_tokens: int, temperature: float, seed: int) -> dict[str, Any]:
    """Give the request as the engine takes it. Raises RefusedError."""
    if max_tokens < 0:
        raise RefusedError(f"max_tokens is {max_tokens}, expected 0 or more")
    if not (math.isfinite(temperature) and temperature >= 0):
        raise RefusedError(f"temperature is {temperature}, expected 0 or more")
    return {
        "messages": read_messages(messages),
        "max_tokens": max_tokens,
        "temperature": temperature,
        "seed": seed % SEEDS if seed >= 0 else secrets.randbelow(SEEDS),
    }


def read_messages(raw: bytes) -> list[dict[str, str]]:
    """Read the messages. Raises RefusedError.

    What looks like the begin of a control token (<|im_end|>) is spelt apart, so that nobody speaks in another's role.
    """
    try:
        messages = json.loads(raw)
    except (ValueError, RecursionError):
        raise RefusedError("messages is not JSON in UTF-8") from None
    if not isinstance(messages, list):
        raise RefusedError(f"messages is no list, {WANTED}")
    return [_read_message(index, message) for index, message in enumerate(messages)]


def _read_message(index: int, message: object) -> dict[str, str]:
    if not isinstance(message, dict):
        raise RefusedError(f"message {index} is no object, {WANTED}")
    role, content = message.get("role"), message.get("content")
    if role not in ROLES or not isinstance(content, str):
        raise RefusedError(f"message {index} lacks a role or a content, {WANTED}")
    # Lone surrogates, which JSON can express, have no UTF-8 form.
    return {"role": role, "content": content.encode("utf-8", "replace").decode().replace("<|", "< |")}
