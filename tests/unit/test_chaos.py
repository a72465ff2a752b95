"""The tools of the chaos run: the plan is its seed's, and the proxies do what their faults are called."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from benchmarks.chaos.plan import LINKS, Disturb, Kill, Pause, plan
from benchmarks.chaos.proxy import FAULTS, HOST, Proxy
from benchmarks.chaos.traffic import Clips, turns
from multimood.local.services import SERVERS, SERVICES

pytestmark = pytest.mark.unit


def test_the_same_seed_gives_the_same_plan_and_another_another() -> None:
    assert plan(3, 40, (1, 5)) == plan(3, 40, (1, 5))
    assert plan(3, 40, (1, 5)) != plan(4, 40, (1, 5))


@pytest.mark.parametrize("kills", [12, 20, 300])
def test_a_plan_has_its_kills_every_part_and_every_fault_on_every_link(kills: int) -> None:
    acts = [act for _, act in plan(1, kills, (1, 5))]
    killed = Counter(act.part for act in acts if isinstance(act, Kill))
    assert killed.total() == kills
    assert set(killed) == {*SERVERS, *(service.name for service in SERVICES)}
    disturbed = {(act.link, act.fault) for act in acts if isinstance(act, Disturb)}
    assert disturbed == {(link, fault) for link in LINKS for fault in FAULTS}
    assert any(isinstance(act, Pause) for act in acts)


def test_one_turn_in_ten_is_a_crisis_and_conversations_have_several_turns() -> None:
    source = turns(1, Clips(b"sound", b"film"))
    made = [next(source) for _ in range(720)]
    assert sum("kill" in turn.text for turn in made) == 72
    assert len({turn.utterance_id for turn in made}) == 720
    assert set(Counter(turn.conversation_id for turn in made).values()) == {6}
    assert 0.4 < sum(turn.learning_consent for turn in made) / 720 < 0.6
    assert all(turn.text or turn.audio for turn in made)


# --- the proxy -------------------------------------------------------------------------------------------------------


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1024):
        writer.write(data)
    writer.close()


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    """In front of a server that sends back what it gets."""
    server = await asyncio.start_server(_echo, HOST, 0)
    port = server.sockets[0].getsockname()[1]
    proxy = Proxy(lambda: port)
    await proxy.start()
    yield proxy
    await proxy.stop()
    server.close()


async def said(proxy: Proxy, data: bytes = b"hello") -> bytes:
    reader, writer = await asyncio.open_connection(HOST, proxy.port)
    writer.write(data)
    writer.write_eof()
    heard = await reader.read()
    writer.close()
    return heard


async def test_without_a_fault_everything_passes(proxy: Proxy) -> None:
    large = bytes(range(256)) * 4096
    assert await said(proxy, large) == large


async def test_a_delay_delays(proxy: Proxy) -> None:
    await proxy.begin("delay", 0.1)
    began = time.monotonic()
    assert await said(proxy) == b"hello"
    assert time.monotonic() - began >= 0.2  # there and back
    await proxy.heal()
    assert await said(proxy) == b"hello"


async def test_a_black_hole_holds_everything_and_then_lets_it_through(proxy: Proxy) -> None:
    reader, writer = await asyncio.open_connection(HOST, proxy.port)
    writer.write(b"before")
    assert await reader.read(6) == b"before"
    await proxy.begin("black_hole")
    writer.write(b"meanwhile")
    new = asyncio.create_task(said(proxy))
    await asyncio.sleep(0.1)
    assert not new.done()
    await proxy.heal()
    assert await reader.read(9) == b"meanwhile"
    assert await new == b"hello"
    writer.close()


async def test_a_reset_cuts_what_is_open_and_nothing_else(proxy: Proxy) -> None:
    reader, writer = await asyncio.open_connection(HOST, proxy.port)
    writer.write(b"before")
    assert await reader.read(6) == b"before"
    await proxy.begin("reset")
    with pytest.raises(ConnectionResetError):
        await reader.read(1)
    assert await said(proxy) == b"hello"


async def test_a_refusal_closes_the_port_until_it_is_healed_on_the_same_one(proxy: Proxy) -> None:
    port = proxy.port
    reader, writer = await asyncio.open_connection(HOST, port)
    writer.write(b"before")
    assert await reader.read(6) == b"before"
    await proxy.begin("refuse")
    with pytest.raises(ConnectionResetError):
        await reader.read(1)
    with pytest.raises(ConnectionRefusedError):
        await said(proxy)
    await proxy.heal()
    assert await said(proxy) == b"hello"
    assert proxy.port == port


async def test_where_no_server_is_the_connection_is_closed() -> None:
    gone = Proxy(lambda: 1)
    await gone.start()
    reader, writer = await asyncio.open_connection(HOST, gone.port)
    assert await reader.read() == b""
    writer.close()
    await gone.stop()
