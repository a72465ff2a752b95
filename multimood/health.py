"""The small HTTP server every service has: /healthz (alive), /readyz (may be given work), /metrics (Prometheus)."""

import json
import logging
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from multimood.settings import HealthSettings

logger = logging.getLogger(__name__)

Checks = Callable[[], Awaitable[Mapping[str, bool]]]


async def _nothing() -> Mapping[str, bool]:
    return {}


class HealthServer:
    """Answers 200 when every named check holds, else 503 with the names of those that do not."""

    def __init__(self, settings: HealthSettings, *, ready: Checks, alive: Checks = _nothing) -> None:
        self._settings = settings
        self._checks = {"/healthz": alive, "/readyz": ready}
        self._runner: web.AppRunner | None = None
        self.port = settings.port

    async def start(self) -> None:
        """Listen."""
        app = web.Application()
        for path in self._checks:
            app.router.add_get(path, self._check)
        app.router.add_get("/metrics", self._metrics)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._settings.host, self._settings.port)
        await site.start()
        self.port = self._runner.addresses[0][1]
        logger.info("health endpoint", extra={"host": self._settings.host, "port": self.port})

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _check(self, request: web.Request) -> web.Response:
        checks = await self._checks[request.path]()
        return web.json_response(
            {"ok": all(checks.values()), "checks": dict(checks)},
            status=200 if all(checks.values()) else 503,
            dumps=lambda value: json.dumps(value, sort_keys=True),
        )

    async def _metrics(self, _request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})
