"""TCP proxies that misbehave on demand, in a thread of their own.

Our own because the usual one (Toxiproxy) is a program of another tool chain that every machine that runs the tests
would have to have, and because what is needed of it is short.
"""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Coroutine, Mapping
from types import TracebackType
from typing import Any, Final, Literal, Self

HOST: Final = "127.0.0.1"
CHUNK_BYTES: Final = 64 << 10
RESET: Final = struct.pack("ii", 1, 0)
"""SO_LINGER: close with RST instead of FIN."""

Fault = Literal["delay", "black_hole", "reset", "refuse"]
FAULTS: Final[tuple[Fault, ...]] = ("delay", "black_hole", "reset", "refuse")
"""delay: every piece comes late. black_hole: connections open and nothing comes through, until it all does. reset: what
is open is cut, new ones work. refuse: what is open is cut, and the port is closed."""


class Proxy:
    """One listening port in front of one server. Use it from its event loop."""

    def __init__(self, upstream: Callable[[], int]) -> None:
        self.port = 0
        self._upstream = upstream
        self._server: asyncio.Server | None = None
        self._held: socket.socket | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._passing = asyncio.Event()
        self._passing.set()
        self._delay_s = 0.0

    async def start(self) -> None:
        """Listen: on any free port the first time, then on that one."""
        self._server = await asyncio.start_server(self._serve, HOST, self.port, limit=CHUNK_BYTES)
        self.port = self._server.sockets[0].getsockname()[1]
        if self._held is not None:
            self._held.close()
            self._held = None

    async def stop(self) -> None:
        """Close the port and every connection."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self._cut()

    async def _refuse(self) -> None:
        await self.stop()
        self._held = socket.socket()  # bound, not listening: connections are refused, and nobody else gets the port
        self._held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._held.bind((HOST, self.port))

    async def begin(self, fault: Fault, delay_s: float = 0.0) -> None:
        """Misbehave."""
        match fault:
            case "delay":
                self._delay_s = delay_s
            case "black_hole":
                self._passing.clear()
            case "reset":
                self._cut()
            case "refuse":
                await self._refuse()

    async def heal(self) -> None:
        """Pass everything again, also what was held back."""
        self._delay_s = 0.0
        self._passing.set()
        if self._server is None:
            await self.start()

    def _cut(self) -> None:
        for writer in list(self._open):
            with contextlib.suppress(OSError):
                raw: socket.socket = writer.get_extra_info("socket")
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            await self._passing.wait()
            far_reader, far_writer = await asyncio.open_connection(HOST, self._upstream(), limit=CHUNK_BYTES)
        except (OSError, LookupError):
            self._close(writer)
            return
        self._open.add(far_writer)
        ways = [
            asyncio.create_task(self._pump(reader, far_writer)),
            asyncio.create_task(self._pump(far_reader, writer)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            self._close(writer, far_writer)

    def _close(self, *writers: asyncio.StreamWriter) -> None:
        for writer in writers:
            self._open.discard(writer)
            writer.transport.abort()

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while data := await source.read(CHUNK_BYTES):
            await asyncio.sleep(self._delay_s)
            await self._passing.wait()
            target.write(data)
            await target.drain()
        target.write_eof()


class Proxies:
    """Proxies by name, served by a thread: they work while others start and wait."""

    def __init__(self, upstreams: Mapping[str, Callable[[], int]]) -> None:
        self._upstreams = upstreams
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxies", daemon=True)
        self._proxies: dict[str, Proxy] = {}

    def __enter__(self) -> Self:
        self._thread.start()
        for name, upstream in self._upstreams.items():
            proxy = self._proxies[name] = Proxy(upstream)
            self._wait(proxy.start())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for proxy in self._proxies.values():
            self._wait(proxy.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    @property
    def ports(self) -> dict[str, int]:
        """Where they listen."""
        return {name: proxy.port for name, proxy in self._proxies.items()}

    def begin(self, name: str, fault: Fault, delay_s: float = 0.0) -> None:
        """Let one misbehave."""
        self._wait(self._proxies[name].begin(fault, delay_s))

    def heal(self, name: str) -> None:
        """Let one pass everything again."""
        self._wait(self._proxies[name].heal())

    def _wait(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=10)
