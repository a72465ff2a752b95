"""An OpenAI-compatible endpoint on a socket: it speaks the protocol, and breaks it, as a script says."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

Answer = Callable[["Exchange"], Any]

EVENT_STREAM = "Content-Type: text/event-stream\r\nConnection: close\r\n"


def chunk(text: str | None = None, finish: str | None = None, **more: Any) -> bytes:
    """One event of a streamed chat completion."""
    delta = {} if text is None else {"content": text}
    body = {
        "id": "x", "object": "chat.completion.chunk", "model": "test-model-2026",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more,
    }  # fmt: skip
    return event(json.dumps(body))


def counts(prompt: int, completion: int) -> bytes:
    """The event with the token counts."""
    usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    return event(json.dumps({"model": "test-model-2026", "choices": [], "usage": usage}))


def event(data: str) -> bytes:
    return f"data: {data}\n\n".encode()


DONE = event("[DONE]")


@dataclass(slots=True)
class Exchange:
    """One request and the way to answer it."""

    number: int
    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    writer: asyncio.StreamWriter

    async def begin(self, status: str = "200 OK", headers: str = EVENT_STREAM) -> None:
        await self.send(f"HTTP/1.1 {status}\r\n{headers}\r\n".encode())

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def refuse(self, status: str, headers: str = "") -> None:
        await self.begin(status, f"Content-Length: 2\r\nConnection: close\r\n{headers}")
        await self.send(b"{}")

    async def say(self, tokens: Sequence[str], *, finish: str = "stop", every_s: float = 0.0) -> None:
        """A whole, orderly answer."""
        await self.begin()
        for token in tokens:
            await self.send(chunk(token))
            await asyncio.sleep(every_s)
        await self.send(chunk(finish=finish) + counts(11, len(tokens)) + DONE)


@dataclass(slots=True)
class LLMServer:
    """Answers `POST /v1/chat/completions` by the script, one entry per request; the last entry goes on for ever."""

    script: list[Answer] = field(default_factory=list)
    exchanges: list[Exchange] = field(default_factory=list)
    abandoned: int = 0
    """Answers whose reader went away before they were finished."""
    url: str = ""

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            request, *lines = head.split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            method, path, _ = request.split(" ")
            if method == "GET":
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
                return
            exchange = Exchange(len(self.exchanges), path, headers, json.loads(body), writer)
            self.exchanges.append(exchange)
            answer = self.script[min(exchange.number, len(self.script) - 1)]
            answering = asyncio.create_task(answer(exchange))
            leaving = asyncio.create_task(reader.read())
            try:
                await asyncio.wait((answering, leaving), return_when=asyncio.FIRST_COMPLETED)
                if not answering.done():
                    self.abandoned += 1
                    answering.cancel()
                with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                    await answering
                with contextlib.suppress(ConnectionError):
                    await writer.drain()
            finally:
                leaving.cancel()


@asynccontextmanager
async def llm_server(*script: Answer) -> AsyncIterator[LLMServer]:
    made = LLMServer(list(script))
    server = await asyncio.start_server(made.handle, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    try:
        yield made
    finally:
        server.close()
