"""The OpenAI-compatible backend against a real endpoint on a socket: orderly, slow, broken, busy, absent."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from llm_server import DONE, Answer, Exchange, LLMServer, chunk, counts, event, llm_server

from multimood.errors import ConfigurationError, DeadlineExceededError, MultimoodError, UnavailableError
from multimood.generation import (
    Ask,
    BusyError,
    ChatMessage,
    OpenAIGenerator,
    Patience,
    Piece,
    RefusedError,
    Token,
    patiently,
)
from multimood.generation.openai import endpoint
from multimood.generation.sse import EventParser, EventTooLongError

pytestmark = pytest.mark.unit

SECRET = "zq what the person said"
ASK = Ask((ChatMessage("system", "Be kind."), ChatMessage("user", SECRET)), 64, 0.4, 7, 30.0)
QUICK = Patience(first_s=2.0, whole_s=5.0, pause_s=0.01)


@asynccontextmanager
async def talking(*script: Answer) -> AsyncIterator[tuple[LLMServer, OpenAIGenerator]]:
    async with llm_server(*script) as server:
        generator = OpenAIGenerator(endpoint(server.url, "key-1"), "test-model")
        try:
            yield server, generator
        finally:
            await generator.close()


async def all_of(pieces: AsyncGenerator[Piece, None]) -> list[Piece]:
    async with aclosing(pieces):
        return [piece async for piece in pieces]


async def kind(exchange: Exchange) -> None:
    await exchange.say(["I ", "hear ", "you."])


# --- orderly -------------------------------------------------------------------------------------------------------


async def test_what_is_asked_and_what_comes() -> None:
    async with talking(kind) as (server, generator):
        pieces = await all_of(generator.stream(ASK))
        assert await generator.ready()
    assert [piece.text for piece in pieces] == ["I ", "hear ", "you.", ""]
    assert [piece.finish for piece in pieces] == ["", "", "", "stop"]
    assert [piece.completion_tokens for piece in pieces] == [1, 2, 3, 3]
    assert (pieces[-1].prompt_tokens, pieces[-1].model_version) == (11, "test-model-2026")
    (asked,) = server.exchanges
    assert asked.path == "/v1/chat/completions"
    assert asked.headers["authorization"] == "Bearer key-1"
    assert asked.body == {
        "model": "test-model", "max_tokens": 64, "temperature": 0.4, "seed": 7, "stream": True,
        "stream_options": {"include_usage": True},
        "messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": SECRET}],
    }  # fmt: skip


async def test_pieces_come_as_they_are_written() -> None:
    async def slow(exchange: Exchange) -> None:
        await exchange.say(["I ", "hear ", "you."], every_s=0.1)

    async with talking(slow) as (_, generator):
        at = [time.monotonic() async for _ in generator.stream(ASK)]
    assert at[2] - at[0] > 0.15


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
async def test_any_portions_and_line_ends_will_do(size: int) -> None:
    async def pieces(exchange: Exchange) -> None:
        stream = b": a comment\r\n\r\nevent: x\r\n" + chunk("I hear ").replace(b"\n", b"\r\n")
        stream += b"id: 7\rretry: 5\r" + chunk("you \u2764.").replace(b"\n", b"\r")
        stream += chunk(finish="length") + counts(5, 9) + DONE
        await exchange.begin()
        for at in range(0, len(stream), size):
            await exchange.send(stream[at : at + size])

    async with talking(pieces) as (_, generator):
        got = await all_of(generator.stream(ASK))
    assert "".join(piece.text for piece in got) == "I hear you \u2764."
    assert (got[-1].finish, got[-1].prompt_tokens, got[-1].completion_tokens) == ("length", 5, 9)


@pytest.mark.parametrize("counted", [True, False])
async def test_a_stream_that_does_not_end_after_its_end(counted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("multimood.generation.openai.COUNTS_S", 0.1)

    async def open_end(exchange: Exchange) -> None:
        await exchange.begin()
        await exchange.send(chunk("Yes.") + chunk(finish="stop") + (counts(3, 1) if counted else b""))
        await asyncio.sleep(30)

    async with talking(open_end) as (_, generator):
        got = await asyncio.wait_for(all_of(generator.stream(ASK)), 2)
    assert (got[-1].finish, got[-1].prompt_tokens) == ("stop", 3 if counted else 0)


async def test_leaving_early_hangs_up() -> None:
    async def endless(exchange: Exchange) -> None:
        await exchange.begin()
        while True:
            await exchange.send(chunk("on and "))
            await asyncio.sleep(0.01)

    async with talking(endless) as (server, generator):
        async with aclosing(generator.stream(ASK)) as pieces:
            assert (await anext(pieces)).text
        for _ in range(100):
            if server.abandoned:
                break
            await asyncio.sleep(0.01)
        assert server.abandoned == 1


# --- not orderly ---------------------------------------------------------------------------------------------------


def status(line: str, headers: str = "") -> Answer:
    async def answer(exchange: Exchange) -> None:
        await exchange.refuse(line, headers)

    return answer


def raw(*parts: bytes) -> Answer:
    async def answer(exchange: Exchange) -> None:
        await exchange.begin()
        for part in parts:
            await exchange.send(part)

    return answer


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (status("429 Too Many", "Retry-After: 7\r\n"), BusyError),
        (status("503 Busy"), BusyError),
        (status("500 Oops"), UnavailableError),
        (status("502 Bad"), UnavailableError),
        (status("408 Slow"), UnavailableError),
        (status("401 Who"), ConfigurationError),
        (status("404 Where"), ConfigurationError),
        (status("400 Too long"), RefusedError),
        (status("422 What"), RefusedError),
        (status("302 Elsewhere", "Location: http://127.0.0.1:9/\r\n"), RefusedError),
        (raw(), UnavailableError),
        (raw(chunk("I ")), UnavailableError),
        (raw(chunk("I "), DONE), UnavailableError),
        (raw(event('{"error": {"message": "' + SECRET + '"}}')), UnavailableError),
        (raw(event("not json " + SECRET)), RefusedError),
        (raw(event('"' + SECRET + '"')), RefusedError),
        (raw(event("[" * 100_000)), RefusedError),
        (raw(event('{"choices": 5}')), RefusedError),
        (raw(event('{"choices": [{"delta": "x"}]}')), RefusedError),
        (raw(event('{"usage": {"prompt_tokens": "many"}}')), RefusedError),
        (raw(chunk("I "), chunk(finish="content_filter"), DONE), RefusedError),
        (raw(b"data: " + b"x" * 300_000), RefusedError),
        (raw(*[chunk("x" * 100_000)] * 100), UnavailableError),
    ],
)
async def test_failures_are_told_apart_and_quote_nothing(answer: Answer, expected: type[MultimoodError]) -> None:
    async with talking(answer) as (_, generator):
        with pytest.raises(MultimoodError) as caught:
            await asyncio.wait_for(all_of(generator.stream(ASK)), 10)
    assert type(caught.value) is expected
    error: BaseException | None = caught.value
    while error is not None and not error.__suppress_context__:
        assert "zq" not in str(error)
        error = error.__context__
    assert "zq" not in str(caught.value)


async def test_what_the_endpoint_says_about_coming_back() -> None:
    async with talking(status("429 x", "Retry-After: 7\r\n"), status("503 x", "Retry-After: tomorrow\r\n")) as (_, it):
        for expected in (7.0, 0.0):
            with pytest.raises(BusyError) as caught:
                await all_of(it.stream(ASK))
            assert caught.value.retry_after_s == expected


@pytest.mark.parametrize("field", ["seed", "stream_options", "max_tokens"])
async def test_a_field_that_is_not_taken_is_left_out_from_then_on(field: str) -> None:
    async def picky(exchange: Exchange) -> None:
        if field not in exchange.body:
            await kind(exchange)
            return
        said = json.dumps({"detail": [{"loc": ["body", field], "msg": "extra", "input": exchange.body}]}).encode()
        await exchange.begin("422 Unprocessable Content", f"Content-Length: {len(said)}\r\nConnection: close\r\n")
        await exchange.send(said)

    async with talking(picky) as (server, generator):
        for _ in range(2):
            assert "".join(piece.text for piece in await all_of(generator.stream(ASK))) == "I hear you."
        assert [field in exchange.body for exchange in server.exchanges] == [True, False, False]


async def test_a_field_that_cannot_be_left_out_is_named() -> None:
    async def no(exchange: Exchange) -> None:
        said = json.dumps({"error": {"param": "messages", "code": "bad_role", "message": SECRET}}).encode()
        await exchange.begin("400 Bad Request", f"Content-Length: {len(said)}\r\nConnection: close\r\n")
        await exchange.send(said)

    async with talking(no) as (_, generator):
        with pytest.raises(RefusedError, match=r"\(HTTP 400, field messages, bad_role\)"):
            await all_of(generator.stream(ASK))


async def test_nobody_there() -> None:
    async with talking(kind) as (server, _):
        url = server.url
    generator = OpenAIGenerator(endpoint(url), "m")
    with pytest.raises(UnavailableError):
        await all_of(generator.stream(ASK))
    assert not await generator.ready()
    await generator.close()


@pytest.mark.parametrize("url", ["", "localhost:8000", "ftp://x/v1", "http://", "http://[::1", "http://x:99999/v1"])
def test_urls_that_cannot_work(url: str) -> None:
    with pytest.raises(ConfigurationError):
        endpoint(url)


async def test_a_key_that_cannot_be_one_is_not_shown_and_its_line_s_end_does_no_harm() -> None:
    for key in ("hush\u00e9", "hush\x00", "hu\nsh"):
        with pytest.raises(ConfigurationError, match="characters that no key has") as caught:
            endpoint("http://x/v1", key)
        assert "hu" not in str(caught.value)
    async with endpoint("http://x/v1", "key\n") as client:
        assert client.headers["authorization"] == "Bearer key"


# --- patience ------------------------------------------------------------------------------------------------------


async def test_what_fails_before_the_first_word_is_tried_again() -> None:
    script = [status("429 x"), status("500 x"), raw(), raw(event('{"error": {}}'), event('{"error": 1}')), kind]
    async with talking(*script) as (server, generator):
        got = await all_of(patiently(generator, ASK, QUICK))
    assert "".join(piece.text for piece in got) == "I hear you."
    assert len(server.exchanges) == 5


async def test_what_fails_after_the_first_word_is_not() -> None:
    async with talking(raw(chunk("I ")), kind) as (server, generator):
        with pytest.raises(UnavailableError):
            await all_of(patiently(generator, ASK, QUICK))
    assert len(server.exchanges) == 1


async def test_what_will_never_work_is_not() -> None:
    async with talking(status("400 x"), kind) as (server, generator):
        with pytest.raises(RefusedError):
            await all_of(patiently(generator, ASK, QUICK))
    assert len(server.exchanges) == 1


async def test_an_endpoint_that_is_busy_for_too_long_is_not_waited_for() -> None:
    async with talking(status("429 x", "Retry-After: 60\r\n")) as (server, generator):
        started = time.monotonic()
        with pytest.raises(BusyError):
            await all_of(patiently(generator, ASK, QUICK))
    assert time.monotonic() - started < 1
    assert len(server.exchanges) == 1


async def test_trying_again_ends_with_the_time_for_the_first_word() -> None:
    async with talking(status("500 x")) as (server, generator):
        started = time.monotonic()
        with pytest.raises(UnavailableError):
            await all_of(patiently(generator, ASK, Patience(first_s=0.3, whole_s=5, pause_s=0.05)))
    assert time.monotonic() - started < 1
    assert 2 <= len(server.exchanges) <= 6


@pytest.mark.parametrize("before", [0, 1])
async def test_silence_ends(before: int) -> None:
    async def falls_silent(exchange: Exchange) -> None:
        await exchange.begin()
        await exchange.send(chunk("Well ") * before)
        await asyncio.sleep(30)

    async with talking(falls_silent) as (server, generator):
        started = time.monotonic()
        with pytest.raises(DeadlineExceededError):
            await all_of(patiently(generator, ASK, Patience(first_s=0.2, whole_s=0.4)))
        spent = time.monotonic() - started
        for _ in range(100):
            if server.abandoned:
                break
            await asyncio.sleep(0.01)
    assert spent >= (0.4 if before else 0.2) - 0.02
    assert spent < 2
    assert server.abandoned == 1


async def test_a_trickle_ends_with_the_whole_time() -> None:
    async def trickle(exchange: Exchange) -> None:
        await exchange.begin()
        while True:
            await exchange.send(chunk("and "))
            await asyncio.sleep(0.02)

    async with talking(trickle) as (_, generator):
        with pytest.raises(DeadlineExceededError):
            await all_of(patiently(generator, ASK, Patience(first_s=0.2, whole_s=0.4)))


# --- events --------------------------------------------------------------------------------------------------------


def test_events_with_several_lines_and_none() -> None:
    parser = EventParser()
    assert list(parser.feed(b"data: a\ndata:b\n\n\n\ndata\n\nevent: x\n\ndata: c")) == ["a\nb", ""]
    assert list(parser.feed(b"\n\r")) == []
    assert list(parser.feed(b"\n")) == ["c"]


def test_events_are_bounded() -> None:
    for flood in (b"x" * 65, b"data: 123456789\n" * 8):
        parser = EventParser(most_bytes=64)
        with pytest.raises(EventTooLongError):
            list(parser.feed(flood))


def test_chunks_of_the_server_are_what_the_protocol_says() -> None:
    assert json.loads(chunk("x").removeprefix(b"data: "))["choices"][0]["delta"] == {"content": "x"}


# --- tokens ----------------------------------------------------------------------------------------------------------


def token_chunk(text: str, *tokens: dict[str, Any]) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None, "logprobs": {"content": list(tokens)}}
    return event(json.dumps({"model": "test-model-2026", "choices": [choice]}))


async def told(exchange: Exchange) -> None:
    await exchange.begin()
    await exchange.send(token_chunk("I ", {"id": 40, "token": "I", "logprob": -0.5}, {"token": " ", "logprob": -1}))
    await exchange.send(token_chunk("hear", {"id": "odd", "logprob": -2.0}, {"id": -1, "logprob": -3.0}, {"id": 7}))
    await exchange.send(chunk(finish="stop") + counts(11, 4) + DONE)


async def test_tokens_are_told_when_they_are_asked_for() -> None:
    async with talking(told) as (server, generator):
        pieces = await all_of(generator.stream(replace(ASK, log_probs=True)))
    assert [list(piece.tokens) for piece in pieces] == [
        [Token(40, -0.5), Token(None, -1.0)], [Token(None, -2.0), Token(None, -3.0)], [],
    ]  # fmt: skip
    assert server.exchanges[0].body["logprobs"] is True


async def test_tokens_that_make_no_sense_are_a_refusal() -> None:
    async def odd(exchange: Exchange) -> None:
        await exchange.begin()
        await exchange.send(token_chunk("I ", {"id": 1, "logprob": "very likely"}))

    async with talking(odd) as (_, generator):
        with pytest.raises(RefusedError, match="does not speak the protocol"):
            await all_of(generator.stream(ASK))
