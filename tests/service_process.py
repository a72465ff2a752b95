"""A service as the process it is in production: started with an environment, asked for its health, killed, drained."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from aiohttp import ClientSession
from pydantic import SecretStr

from multimood.local.ports import assign
from multimood.local.process import tail
from multimood.local.services import SERVICES, ServiceProcess
from multimood.settings import KafkaSettings

READY_WITHIN_S = 60.0


class Process:
    """`python -m services.<name>` on a broker, in consumer groups of its own."""

    def __init__(self, name: str, kafka: KafkaSettings, folder: Path, group: str, **env: str) -> None:
        port = assign([f"{name}.health"])[f"{name}.health"]
        self.log = folder / f"{name}.log"
        self.health = f"http://127.0.0.1:{port}"
        self.telemetry = folder / "telemetry"
        environment = {
            **os.environ,
            **environment_of(kafka),
            "MULTIMOOD_KAFKA_GROUP_PREFIX": group,
            "MULTIMOOD_KAFKA_SESSION_TIMEOUT_S": "6",
            "MULTIMOOD_HEALTH_PORT": str(port),
            "MULTIMOOD_TELEMETRY_FOLDER": str(self.telemetry),
            "OMP_NUM_THREADS": "1",
            **env,
        }
        service = next(service for service in SERVICES if service.name == name)
        self._process = ServiceProcess(service, self.log, port, environment)

    @property
    def pid(self) -> int:
        """Of its present life."""
        assert self._process.child is not None, "start() first"
        return self._process.child.pid

    def start(self) -> None:
        """Start it (again); returns before it is ready. From the main thread, see `Child`."""
        self._process.start()

    def is_ready(self) -> bool:
        """Ask it now."""
        return self._process.ready()

    def exit_code(self) -> int | None:
        """None while it runs."""
        assert self._process.child is not None, "start() first"
        return self._process.child.exit_code()

    def tail(self) -> str:
        """End of its log."""
        return tail(self.log)

    async def __aenter__(self) -> Self:
        self.start()
        await self.ready()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await asyncio.to_thread(self._process.stop)

    async def ready(self) -> None:
        """Wait until it may be given work."""
        for _ in range(int(READY_WITHIN_S / 0.1)):
            if await asyncio.to_thread(self._process.ready):
                return
            assert self._process.child is not None
            assert self._process.child.exit_code() is None, self.log.read_text()
            await asyncio.sleep(0.1)
        raise AssertionError(f"not ready:\n{self.log.read_text()[-4000:]}")

    def kill(self) -> None:
        """SIGKILL."""
        assert self._process.child is not None
        self._process.child.identity.send(signal.SIGKILL)

    async def drained(self) -> int | None:
        """SIGTERM; gives the exit code."""
        await asyncio.to_thread(self._process.stop)
        assert self._process.child is not None
        return self._process.child.exit_code()

    async def metrics(self) -> str:
        """What it exposes to Prometheus."""
        async with ClientSession() as session:
            return await (await session.get(f"{self.health}/metrics")).text()

    def spans(self) -> str:
        """What it traced, as it lies on the disk."""
        return "".join(path.read_text() for path in self.telemetry.glob("*.jsonl"))


def environment_of(kafka: KafkaSettings) -> dict[str, str]:
    """The variables that give these settings, as far as they were set."""
    values = {name: getattr(kafka, name) for name in kafka.model_fields_set}
    return {
        f"MULTIMOOD_KAFKA_{name.upper()}": value.get_secret_value() if isinstance(value, SecretStr) else str(value)
        for name, value in values.items()
        if value is not None
    }


async def ends(name: str, **env: str) -> tuple[int | None, bytes]:
    """Start a service that cannot work; gives its exit code and what it said."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", f"services.{name}", env={**os.environ, **env},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        said, _ = await asyncio.wait_for(process.communicate(), 2 * READY_WITHIN_S)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    return process.returncode, said


async def all_end(name: str, *environments: Mapping[str, str]) -> list[tuple[int | None, bytes]]:
    """The same for several environments, side by side."""
    return await asyncio.gather(*(ends(name, **env) for env in environments))
