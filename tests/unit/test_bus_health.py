"""The small HTTP server: what it answers, and that a check that fails is told by name."""

import json
from collections.abc import AsyncIterator, Mapping

import aiohttp
import pytest

from multimood.health import HealthServer
from multimood.settings import HealthSettings

pytestmark = pytest.mark.unit


class Checks:
    """As told."""

    def __init__(self) -> None:
        self.ready = {"broker": True, "consuming": True}
        self.alive = {"not_crashed": True}

    async def is_ready(self) -> Mapping[str, bool]:
        return self.ready

    async def is_alive(self) -> Mapping[str, bool]:
        return self.alive


@pytest.fixture
def checks() -> Checks:
    return Checks()


@pytest.fixture
async def address(checks: Checks) -> AsyncIterator[str]:
    server = HealthServer(HealthSettings(port=0), ready=checks.is_ready, alive=checks.is_alive)
    await server.start()
    assert server.port > 0
    yield f"http://127.0.0.1:{server.port}"
    await server.stop()


async def ask(url: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return answer.status, await answer.text()


async def test_all_well(address: str) -> None:
    assert await ask(f"{address}/readyz") == (200, '{"checks": {"broker": true, "consuming": true}, "ok": true}')
    assert (await ask(f"{address}/healthz"))[0] == 200
    status, body = await ask(f"{address}/metrics")
    assert status == 200
    assert "# TYPE" in body
    assert (await ask(f"{address}/"))[0] == 404


async def test_ready_and_alive_are_two_things(address: str, checks: Checks) -> None:
    checks.ready["broker"] = False
    status, body = await ask(f"{address}/readyz")
    assert (status, json.loads(body)) == (503, {"ok": False, "checks": {"broker": False, "consuming": True}})
    assert (await ask(f"{address}/healthz"))[0] == 200
    checks.alive["not_crashed"] = False
    assert (await ask(f"{address}/healthz"))[0] == 503
