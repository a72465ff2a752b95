"""How much memory processes hold, sampled from /proc while something goes on."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_SESSION: Final = 3  # index of `session` among the fields after the command name in /proc/<pid>/stat
_RESIDENT: Final = 21


def sample(pids: Mapping[str, int]) -> dict[str, float]:
    """Resident memory (MB) by name: of a process that leads a session and all others in it; 0 of one that is gone."""
    pages = dict.fromkeys(pids.values(), 0)
    for _, session, resident in _processes():
        if session in pages:
            pages[session] += resident
    return {name: round(pages[pid] * PAGE / 2**20, 1) for name, pid in pids.items()}


def members(leader: int) -> list[int]:
    """The processes of a session, by who leads it."""
    return [pid for pid, session, _ in _processes() if session == leader]


def _processes() -> Iterator[tuple[int, int, int]]:
    """Number, session and resident pages of each."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            with contextlib.suppress(OSError):
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                yield int(folder.name), int(fields[_SESSION]), int(fields[_RESIDENT])


@asynccontextmanager
async def peaks(pids: Mapping[str, int], every_s: float = 0.5) -> AsyncIterator[dict[str, float]]:
    """The most that each was seen to hold during the block, MB."""
    most = sample(pids)

    async def watch() -> None:
        while True:
            await asyncio.sleep(every_s)
            for name, held in (await asyncio.to_thread(sample, pids)).items():
                most[name] = max(most[name], held)

    watching = asyncio.create_task(watch())
    try:
        yield most
    finally:
        watching.cancel()
