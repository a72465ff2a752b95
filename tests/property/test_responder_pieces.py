"""What holds of a reply however its text comes in: what left is a prefix, and the guard has seen it first."""

import asyncio
from collections.abc import AsyncGenerator
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multimood.bus import HopClock
from multimood.errors import UnavailableError
from multimood.generation import Piece
from multimood.generation.draft import CUT, Draft
from multimood.safety import Verdict
from multimood.trust.guard import guard
from services.responder.writing import NotWritten, Progress, Writing

pytestmark = pytest.mark.property

CALM = Verdict("none", (), 0.0, "v")
WORDS = st.sampled_from(
    (
        "I", "hear", "you.", "That", "sounds", "hard!", "you", "should", "die", "diet.", "kill", "yourself", "call",
        "+1", "555", "123", "4567", "now", "a@b.org", "e.g.", "1.", "Dr.", "...", "User:", "\n", "“So?”", "大丈夫。",
        "👩‍👩‍👧", "naïve", "\ud800", "\x07", "<|im_end|>",
    )
)  # fmt: skip
TEXTS = st.lists(WORDS, max_size=40).map(" ".join) | st.text(max_size=80)
MOST_TOKENS = 12


def in_tokens(text: str, cuts: list[int]) -> list[str]:
    places = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    return [text[a:b] for a, b in pairwise(places)]


async def attempt(
    tokens: list[str], end: str, sentences: int, *, slow_broker: bool
) -> tuple[list[str], list[str], str | None]:
    """Pieces that left, texts the guard has allowed, and the reply (None: there is none)."""
    told: list[str] = []
    allowed: list[str] = []

    async def model() -> AsyncGenerator[Piece, None]:
        for number, token in enumerate(tokens):
            await asyncio.sleep(0)
            yield Piece(token, "", 1, number + 1, "v")
        if end == "broken":
            raise UnavailableError("gone")
        yield Piece("", end, 1, len(tokens), "v")

    def look(text: str) -> str | None:
        result = guard(text, CALM)
        if result.allowed:
            allowed.append(text)
        return None if result.allowed else str(result.reason)

    async def tell(index: int, text: str) -> None:
        assert index == len(told)
        assert "".join([*told, text]) in {seen[: len("".join([*told, text]))] for seen in allowed}
        for _ in range(5 if slow_broker else 1):
            await asyncio.sleep(0)
        told.append(text)

    draft = Draft(most_sentences=sentences, most_characters=200)
    writing = Writing(draft, Progress(), look=look, tell=tell, max_tokens=max(MOST_TOKENS, len(tokens)))
    try:
        written = await writing.write(model(), HopClock("x", 0))
    except (NotWritten, UnavailableError):
        return told, allowed, None
    assert "".join(told) + written.rest == written.text
    assert written.text in allowed
    return told, allowed, written.text


@settings(max_examples=300, deadline=None)
@given(
    TEXTS, st.lists(st.integers(0, 200), max_size=40), st.sampled_from(("stop", "length", "cancelled", "broken")),
    st.integers(0, 3), st.booleans(),
)  # fmt: skip
def test_what_left_is_a_prefix_that_the_guard_allowed(
    text: str, cuts: list[int], end: str, sentences: int, slow_broker: bool
) -> None:
    told, allowed, reply = asyncio.run(attempt(in_tokens(text, cuts), end, sentences, slow_broker=slow_broker))
    left = "".join(told)
    assert left == left.strip()
    assert any(seen.startswith(left) for seen in allowed) or not left
    if reply is None:
        return
    assert reply.startswith(left)
    assert reply == reply.strip()
    assert guard(reply, CALM).allowed
    reply.encode()  # it can be sent
    if end == "stop" and not sentences and len(text) < 150:
        assert not reply.endswith(CUT) or text.rstrip().endswith(CUT)


@settings(max_examples=200, deadline=None)
@given(TEXTS, st.lists(st.integers(0, 200), max_size=40))
def test_pieces_are_whole_words(text: str, cuts: list[int]) -> None:
    draft = Draft(most_sentences=0, most_characters=10_000)
    pieces = []
    for token in in_tokens(text, cuts):
        draft.add(token)
        seen, before = draft.seen(), draft.sent
        piece = draft.take()
        assert draft.text[before : draft.sent] == piece
        if piece:
            pieces.append(piece)
            assert piece == piece.rstrip()
            rest = draft.text[draft.sent :]
            assert rest[:1].isspace() or piece[-1] in "。！？，、；"  # noqa: RUF001
            assert not seen or draft.sent < len(seen), "the last whole word stays"
    assert "".join(pieces) == draft.text[: draft.sent]


@settings(max_examples=200, deadline=None)
@given(TEXTS, st.lists(st.integers(0, 200), max_size=40))
def test_the_reply_does_not_depend_on_the_portions(text: str, cuts: list[int]) -> None:
    whole = Draft(most_sentences=2, most_characters=100)
    whole.add(text)
    parts = Draft(most_sentences=2, most_characters=100)
    for token in in_tokens(text, cuts):
        parts.add(token)
    assert parts.finish(cut=False) == whole.finish(cut=False)
    assert parts.finish(cut=True) == whole.finish(cut=True)
