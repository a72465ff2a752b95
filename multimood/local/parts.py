"""What an embedded system is made of: the servers, then the services, each with what it needs to start."""

import os
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from multimood.local.endpoints import Endpoints, kafka_on
from multimood.local.kafka import KafkaServer
from multimood.local.places import DataFolder, checkout
from multimood.local.ports import NO_DETOURS
from multimood.local.repository import lay_out
from multimood.local.server import Server
from multimood.local.services import GATEWAY_PORT, SERVERS, SERVICES, TOPICS_STEP, ServiceProcess
from multimood.local.store import ObjectStore
from multimood.settings import StoreSettings

TRITON_PORTS: Final = ("triton.grpc", "triton.http", "triton.metrics")


@dataclass(frozen=True, slots=True)
class Part:
    """A process of the system with its place in it."""

    server: Server
    kind: Literal["server", "service"]
    port: int
    needs: tuple[str, ...] = ()
    start_within_s: float = 90.0
    heal: Callable[[], Sequence[str]] | None = None
    """Finds and repairs what died inside the server without its noticing; gives the names of what it repaired.

    Raises UnavailableError when only a restart of the whole server can help.
    """

    @property
    def name(self) -> str:
        """The name of its server."""
        return self.server.name


def port_names(names: Iterable[str], via: Container[str] = ()) -> tuple[str, ...]:
    """Name every port those parts listen on. Those that clients ask for are always among them."""
    wanted = set(names)
    services = tuple(service.health_port for service in SERVICES if service.name in wanted)
    detour = (KafkaServer.DETOUR,) if "kafka" in via else ()
    return (*KafkaServer.PORTS, *detour, *ObjectStore.PORTS, *TRITON_PORTS, GATEWAY_PORT, *services)


def assemble(
    folder: DataFolder, ports: Mapping[str, int], names: Iterable[str], via: Mapping[str, int] = NO_DETOURS
) -> list[Part]:
    """Build the named parts; nothing is started.

    `via`: ports that the services use instead of a server's own, where proxies lead there (`kafka`, `store.s3`,
    `triton.grpc`). Everyone else goes straight.
    """
    wanted = tuple(names)
    servers = [_server(name, folder, ports, via) for name in SERVERS if name in wanted]
    endpoints = Endpoints(folder, {**ports, **via})
    there = {*(server.name for server in servers), *([TOPICS_STEP] if "kafka" in wanted else [])}
    return servers + [
        Part(
            ServiceProcess(
                service,
                folder.log(service.name),
                ports[service.health_port],
                {**os.environ, **endpoints.service_env(service.name)},
            ),
            "service",
            ports[GATEWAY_PORT if service.name == "gateway" else service.health_port],
            tuple(need for need in service.needs if need in there),
        )
        for service in SERVICES
        if service.name in wanted
    ]


def _server(name: str, folder: DataFolder, ports: Mapping[str, int], via: Mapping[str, int]) -> Part:
    log = folder.log(name)
    if name == "kafka":
        kafka = KafkaServer(
            folder.kafka, log, ports["kafka"], ports["kafka.controller"],
            max_message_bytes=kafka_on(ports["kafka"]).max_message_bytes,
            detour=(ports[KafkaServer.DETOUR], via["kafka"]) if "kafka" in via else None,
        )  # fmt: skip
        return Part(kafka, "server", kafka.port)
    if name == "store":
        s3 = StoreSettings()
        buckets = s3.media_bucket, s3.experience_bucket, s3.keys_bucket
        store = ObjectStore(folder.store, log, ports, buckets)
        return Part(store, "server", ports["store.s3"])
    from multimood.local.triton import TritonServer  # noqa: PLC0415 - needs what only Triton's own set-up made

    triton = TritonServer(log=log, ports=ports, repository=lay_out(checkout() / "triton_models", folder.models))
    return Part(triton, "server", ports["triton.grpc"], start_within_s=240.0, heal=triton.heal)
