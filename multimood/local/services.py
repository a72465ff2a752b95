"""What there is in the embedded mode, by name, and how a service is run."""

import http.client
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from multimood.errors import ConfigurationError
from multimood.local.places import checkout
from multimood.local.ports import HOST
from multimood.local.process import Child

HEALTH_TIMEOUT_S: Final = 3.0


@dataclass(frozen=True, slots=True)
class Service:
    """A deployable: its name and the module that runs it."""

    name: str
    needs: tuple[str, ...] = ("topics",)
    """Parts that must be ready before it is started; it finds everything else by itself, whenever it comes."""
    gives_way: bool = True
    """To those that a crisis goes through on its way to a human, where there is not processor enough for all."""

    @property
    def module(self) -> str:
        """What `python -m` runs."""
        return f"services.{self.name}"

    @property
    def health_port(self) -> str:
        """Name of its port for /healthz, /readyz and /metrics."""
        return f"{self.name}.health"


SERVICES: Final = (
    Service("gateway", needs=("topics", "store"), gives_way=False),
    Service("sentinel", gives_way=False),
    Service("text_encoder"),
    Service("audio_encoder"),
    Service("video_encoder"),
    Service("joiner"),
    Service("strategist"),
    Service("responder"),
    Service("reward"),
)
SERVERS: Final = ("kafka", "store", "triton")
TOPICS_STEP: Final = "topics"
"""Not a process, but something others wait for: the topics are on the broker."""
GATEWAY_PORT: Final = "gateway.grpc"


def chosen(only: Iterable[str] | None) -> tuple[str, ...]:
    """Put the parts asked for in starting order, all of them when nothing is asked for.

    Raises:
        ConfigurationError: an unknown name.
    """
    every = (*SERVERS, *(service.name for service in SERVICES))
    if only is None:
        return every
    wanted = set(only)
    if unknown := wanted - set(every):
        raise ConfigurationError(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(every)}")
    return tuple(name for name in every if name in wanted)


@dataclass(slots=True)
class ServiceProcess:
    """One service with its environment."""

    service: Service
    log: Path
    health_port: int
    env: Mapping[str, str]
    grace_s: float = 20.0
    child: Child | None = field(default=None, init=False)

    @property
    def name(self) -> str:
        """The service's name."""
        return self.service.name

    def start(self) -> None:
        """Start it."""
        argv = [sys.executable, "-m", self.service.module]
        self.child = Child(argv, log=self.log, env=self.env, cwd=checkout(), gives_way=self.service.gives_way)

    def ready(self) -> bool:
        """Ask whether it may be given work."""
        return self._answers("/readyz")

    def alive(self) -> bool:
        """Ask whether it makes progress."""
        return self._answers("/healthz")

    def stop(self) -> None:
        """Let it finish what it has begun, within the grace."""
        if self.child:
            self.child.stop(self.grace_s)

    def _answers(self, path: str) -> bool:
        connection = http.client.HTTPConnection(HOST, self.health_port, timeout=HEALTH_TIMEOUT_S)
        try:
            connection.request("GET", path)
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
