"""Loopback ports: kept over restarts where they are still free, so that what clients noted stays true.

Not from the range out of which the kernel takes one for every outgoing connection: a server that is started a few
seconds later would find its port taken by somebody's connection to another server.
"""

import random
import socket
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import Final, Self

HOST = "127.0.0.1"
LOWEST: Final = 10_000
TRIES: Final = 200
_OUTGOING: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
_chosen: Final[set[int]] = set()
"""By this process, ever."""
NO_DETOURS: Final[Mapping[str, int]] = MappingProxyType({})


def assign(names: Iterable[str], before: Mapping[str, int] | None = None) -> dict[str, int]:
    """Choose a different free port for each name, that of `before` where nobody took it meanwhile.

    All sockets stay open until the last port is chosen, so two names cannot get the same one. Nor does a later call
    choose it, for its server may not have bound it yet. Another process may still take one before that; the server then
    fails to start, and says so.
    """
    wanted = before or {}
    chosen: dict[str, int] = {}
    with _Sockets() as sockets:
        for name in names:
            chosen[name] = sockets.bind(wanted.get(name, 0))
    _chosen.update(chosen.values())
    return chosen


class _Sockets:
    """Listening sockets that are closed together."""

    def __init__(self) -> None:
        self._open: list[socket.socket] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        for one in self._open:
            one.close()

    def bind(self, preferred: int) -> int:
        """Listen on the preferred port if possible, else any; gives the port."""
        for port in chain([preferred] if preferred else [], _candidates(), [0]):
            one = socket.socket()
            # A server that was there may have left closed connections.
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                one.bind((HOST, port))
                one.listen()  # until then, two sockets with that option could both have the port
            except OSError:
                one.close()
                continue
            self._open.append(one)
            return int(one.getsockname()[1])
        raise OSError(f"no free port on {HOST}")


def _candidates() -> Iterator[int]:
    """Ports below the range of outgoing connections, in no order; none when there is nothing below it."""
    try:
        end = int(_OUTGOING.read_text().split()[0])
    except (OSError, ValueError):
        return
    for _ in range(TRIES if end > LOWEST else 0):
        port = random.randrange(LOWEST, end)  # noqa: S311 - nothing secret
        if port not in _chosen:
            yield port
