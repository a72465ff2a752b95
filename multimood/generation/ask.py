"""What is asked of a language model, and what comes back."""

import hashlib
import json
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

Role: TypeAlias = Literal["system", "user", "assistant"]
Finish: TypeAlias = Literal["", "stop", "length", "cancelled"]


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One message of a chat."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Ask:
    """One reply to be written."""

    messages: Sequence[ChatMessage]
    max_tokens: int
    temperature: float
    seed: int
    """0 .. 2^31-1."""
    within_s: float
    """How long the whole reply may take; told to servers that can make use of it."""
    log_probs: bool = False
    """Whether the tokens' probabilities are wanted, of a server that tells them."""

    def chat(self) -> list[dict[str, str]]:
        """The messages as every backend sends them."""
        return [{"role": message.role, "content": message.content} for message in self.messages]

    def sha256(self) -> bytes:
        """Hash (32 bytes) of the rendered prompt: the messages as compact JSON in UTF-8."""
        return hashlib.sha256(json.dumps(self.chat(), ensure_ascii=False, separators=(",", ":")).encode()).digest()


@dataclass(frozen=True, slots=True)
class Token:
    """A token that the model wrote, as far as its server tells."""

    id: int | None
    """In the model's own vocabulary."""
    log_prob: float
    """Natural logarithm of its probability."""


@dataclass(frozen=True, slots=True)
class Piece:
    """The next part of a reply. The last one has a `finish`; counts are those so far."""

    text: str
    finish: Finish
    prompt_tokens: int
    completion_tokens: int
    model_version: str
    tokens: Sequence[Token] = ()
    """Those since the last piece; none when they were not asked for, or are not told."""


class Writer(Protocol):
    """A language model that writes."""

    @property
    def name(self) -> str:
        """Name of the model, for the log."""

    def stream(self, ask: Ask) -> AsyncGenerator[Piece, None]:
        """Write a reply. The last piece, and no other, has a `finish`; leaving early (`aclosing`) stops the model.

        Raises:
            UnavailableError: the model cannot be reached, or broke off: a new call may succeed.
            MultimoodError: it will not answer this, or is not configured rightly.
        """


class Generator(Writer, Protocol):
    """A language model that can be reached."""

    async def ready(self) -> bool:
        """Tell whether the model takes requests now."""

    async def close(self) -> None:
        """Disconnect."""
