"""Apache Kafka as one JVM: broker and controller in one KRaft node, on the loopback address only."""

import base64
import os
import shutil
import socket
import struct
import subprocess
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from multimood.errors import ConfigurationError, UnavailableError
from multimood.local.places import installed, tools
from multimood.local.ports import HOST
from multimood.local.process import Child

_API_VERSIONS: Final = struct.Struct(">ihhih")  # size, key 18, version 0, correlation id, length of no client id
_LOGGING: Final = """\
rootLogger.level=INFO
rootLogger.appenderRef.out.ref=out
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d{ISO8601} %p %c{1} %m%n
"""
# What says something about every partition or every setting at every start.
_CHATTER: Final = (
    "state.change.logger",
    "kafka.cluster.Partition",
    "kafka.log",
    "kafka.server.metadata.DynamicConfigPublisher",
    "kafka.server.ReplicaFetcherManager",
    "org.apache.kafka.common.config",
    "org.apache.kafka.controller.ReplicationControlManager",
    "org.apache.kafka.controller.ConfigurationControlManager",
    "org.apache.kafka.storage.internals.log",
)


@dataclass(slots=True)
class KafkaServer:
    """A broker whose topics survive restarts, on the same or on other ports.

    `port` serves clients, `controller_port` is the node's talk with itself.

    `detour`: a further port of the broker's, and the port of a proxy in front of it that clients are told instead. A
    client connects to the address that the broker names, so without this a proxy would see its first request only.
    """

    folder: Path
    log: Path
    port: int
    controller_port: int
    heap_mb: int = 512
    max_message_bytes: int = 1 << 20
    grace_s: float = 20.0
    detour: tuple[int, int] | None = None
    name: str = "kafka"
    child: Child | None = field(default=None, init=False)

    PORTS = ("kafka", "kafka.controller")
    DETOUR = "kafka.detour"

    @property
    def brokers(self) -> str:
        """The host:port that clients bootstrap from."""
        return f"{HOST}:{self.port}"

    def start(self) -> None:
        """Write the configuration, format the storage if it is new, start the broker.

        Raises:
            ConfigurationError: Java or the jars are missing.
            UnavailableError: the storage could not be formatted.
        """
        java = shutil.which("java")
        if java is None:
            raise ConfigurationError("java is not on the PATH: run `make setup`")
        self.folder.mkdir(parents=True, exist_ok=True)
        config = self._configure()
        command = [java, "-cp", f"{installed(tools() / 'kafka' / 'libs')}/*"]
        if not (self._storage / "meta.properties").exists():
            self._format([*command, "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"], config)
        heap = (f"-Xms{self.heap_mb // 4}m", f"-Xmx{self.heap_mb}m", "-XX:+UseSerialGC", "-XX:+ExitOnOutOfMemoryError")
        logging = f"-Dlog4j2.configurationFile={self.folder / 'log4j2.properties'}"
        argv = [command[0], *heap, "-Djava.awt.headless=true", logging, *command[1:], "kafka.Kafka", str(config)]
        self.child = Child(argv, log=self.log, env=dict(os.environ), cwd=self.folder)

    def ready(self) -> bool:
        """Ask for the supported requests: an answer comes from the broker itself, an open port alone says little."""
        try:
            with socket.create_connection((HOST, self.port), timeout=2) as connection:
                connection.sendall(_API_VERSIONS.pack(_API_VERSIONS.size - 4, 18, 0, 1, -1))
                answer = connection.recv(10)
        except OSError:
            return False
        return len(answer) == 10 and struct.unpack(">ih", answer[4:]) == (1, 0)  # noqa: PLR2004

    def alive(self) -> bool:
        """Ask the same as `ready`."""
        return self.ready()

    def stop(self) -> None:
        """Orderly shutdown, so that the next start needs no log recovery."""
        if self.child:
            self.child.stop(self.grace_s)

    @property
    def _storage(self) -> Path:
        return self.folder / "data"

    def _configure(self) -> Path:
        settings = {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.voters": f"1@{HOST}:{self.controller_port}",
            "listeners": f"PLAINTEXT://{HOST}:{self.port},CONTROLLER://{HOST}:{self.controller_port}",
            "advertised.listeners": f"PLAINTEXT://{HOST}:{self.port}",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,DETOUR:PLAINTEXT",
            "inter.broker.listener.name": "PLAINTEXT",
            "log.dirs": self._storage,
            "auto.create.topics.enable": "false",
            "message.max.bytes": self.max_message_bytes,
            "replica.fetch.max.bytes": self.max_message_bytes,
            # One node: nothing to replicate to, nobody to wait for.
            "offsets.topic.replication.factor": 1,
            "offsets.topic.num.partitions": 8,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "transaction.state.log.num.partitions": 4,
            "share.coordinator.state.topic.replication.factor": 1,
            "share.coordinator.state.topic.min.isr": 1,
            # After a kill the controller takes the new process only when it has given up the old one.
            "broker.session.timeout.ms": 3_000,
            "broker.heartbeat.interval.ms": 500,
            "group.initial.rebalance.delay.ms": 0,
            "num.network.threads": 2,
            "num.io.threads": 4,
            "log.cleaner.dedupe.buffer.size": 16 << 20,
            # What was purged leaves the disk within half a minute.
            "log.retention.check.interval.ms": 20_000,
            "log.segment.delete.delay.ms": 1_000,
            "log.cleaner.backoff.ms": 5_000,
        }
        if self.detour is not None:
            settings["listeners"] = f"{settings['listeners']},DETOUR://{HOST}:{self.detour[0]}"
            settings["advertised.listeners"] = f"{settings['advertised.listeners']},DETOUR://{HOST}:{self.detour[1]}"
        quiet = (f"logger.{i}.name={name}\nlogger.{i}.level=WARN\n" for i, name in enumerate(_CHATTER))
        (self.folder / "log4j2.properties").write_text(_LOGGING + "".join(quiet))
        config = self.folder / "server.properties"
        config.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
        return config

    def _format(self, java: list[str], config: Path) -> None:
        argv = [*java, "kafka.tools.StorageTool", "format", "-t", cluster_id(), "-c", str(config)]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603
        if done.returncode:
            raise UnavailableError(f"formatting {self._storage} failed: {(done.stderr or done.stdout).strip()[-2000:]}")


def cluster_id(random: Callable[[], uuid.UUID] = uuid.uuid4) -> str:
    """Make an id for a new cluster, in Kafka's spelling, none with a leading dash: its tools would see an option."""
    while (made := base64.urlsafe_b64encode(random().bytes).decode().rstrip("=")).startswith("-"):
        pass
    return made
