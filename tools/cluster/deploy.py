"""The system on the cluster: images in, Secrets made, k8s/overlays/ci applied, every pod Ready."""

import base64
import json
import os
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from pydantic import SecretStr

from multimood.apikeys import add_key
from multimood.settings import KafkaSettings, StoreSettings
from tools.cluster import kubectl, pki, runtime
from tools.cluster.places import CHECKOUT, ClusterError, work

NAMESPACE: Final = "multimood-ci"
OVERLAY: Final = CHECKOUT / "k8s/overlays/ci"
SERVICES: Final = (
    "gateway", "sentinel", "text-encoder", "audio-encoder", "video-encoder",
    "joiner", "strategist", "responder", "reward",
)  # fmt: skip
SERVERS: Final = ("kafka", "store", "triton")
GATEWAY: Final = f"multimood-gateway.{NAMESPACE}.svc"
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Deployed:
    """How a platform reaches the system that was deployed."""

    address: str
    api_key: str = field(repr=False)
    authority: str
    """PEM file of whoever signed the gateway's certificate."""
    secrets: Mapping[str, str] = field(repr=False)
    """The operator's variables: keys of the store and the pseudonyms."""

    @classmethod
    def read(cls, file: Path) -> "Deployed":
        """Read what an earlier call has written."""
        return cls(**json.loads(file.read_text()))

    @property
    def platform(self) -> dict[str, str]:
        """Variables for `multimood talk`."""
        return {**os.environ, "MULTIMOOD_ADDRESS": self.address, "MULTIMOOD_API_KEY": self.api_key}

    @property
    def kafka(self) -> KafkaSettings:
        """The broker, by the name that it calls itself."""
        return KafkaSettings(brokers=f"kafka.{NAMESPACE}.svc:9092")

    @property
    def store(self) -> StoreSettings:
        """The store, with its keys."""
        return StoreSettings(
            endpoint="store:8333", secure=False, access_key=self.secrets["MULTIMOOD_S3_ACCESS_KEY"],
            secret_key=SecretStr(self.secrets["MULTIMOOD_S3_SECRET_KEY"]),
        )  # fmt: skip


def deploy(say: Say, within_s: float = 900.0) -> Deployed:
    """Bring the system up; gives how to reach it.

    Raises:
        ClusterError: something is refused or does not become Ready; the message has what the pods say.
    """
    kept = work() / "deployed.json"
    if kept.exists():  # by an earlier call in the same cluster
        wait_ready(say, within_s)
        return Deployed.read(kept)
    runtime.take_images(work(), [*SERVICES, *SERVERS], say)
    say("all images are in containerd")
    kubectl.ask("apply", "--filename", str(OVERLAY / "namespace.yaml"))
    there = _secrets()
    kubectl.ask("apply", "--kustomize", str(OVERLAY))
    say("the overlay is applied")
    wait_ready(say, within_s)
    pki.private(kept, json.dumps(asdict(there)).encode())
    return there


def wait_ready(say: Say, within_s: float) -> None:
    """Wait until the topics' Job is done and every pod is Ready, telling each as it comes.

    Raises:
        ClusterError: not within the time.
    """
    deadline = time.monotonic() + within_s
    told: set[str] = set()
    while True:
        pods = [pod for pod in kubectl.get("--namespace", NAMESPACE, "pods")["items"] if not is_done(pod)]
        for name in sorted({component(pod) for pod in pods if is_ready(pod)} - told):
            say(f"{name} is Ready")
            told.add(name)
        if {*SERVICES, *SERVERS} <= told and all(is_ready(pod) for pod in pods):
            return
        if time.monotonic() > deadline:
            raise ClusterError(f"not Ready after {within_s:.0f} s:\n{explain()}")
        time.sleep(1)


def component(pod: Mapping[str, Any]) -> str:
    """Which service or server the pod is of."""
    return str(pod["metadata"]["labels"].get("app.kubernetes.io/component", pod["metadata"]["name"]))


def is_ready(pod: Mapping[str, Any]) -> bool:
    """Tell whether it takes work."""
    conditions = pod["status"].get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def is_done(pod: Mapping[str, Any]) -> bool:
    """Tell whether it ended as it should, or is on its way out."""
    return pod["status"].get("phase") == "Succeeded" or "deletionTimestamp" in pod["metadata"]


def pods(name: str) -> list[str]:
    """Name the pods of a service or server that are there to stay."""
    found = kubectl.get("--namespace", NAMESPACE, "pods", "--selector", f"app.kubernetes.io/component={name}")["items"]
    return [pod["metadata"]["name"] for pod in found if not is_done(pod)]


def explain() -> str:
    """Say what the pods that are not Ready are waiting for."""
    parts = [kubectl.ask("--namespace", NAMESPACE, "get", "pods", "--output", "wide")]
    for pod in kubectl.get("--namespace", NAMESPACE, "pods")["items"]:
        if is_ready(pod) or is_done(pod):
            continue
        name = pod["metadata"]["name"]
        parts.append(
            kubectl.ask("--namespace", NAMESPACE, "get", "events", f"--field-selector=involvedObject.name={name}")
        )
        if kubectl.works("--namespace", NAMESPACE, "logs", name, "--tail=1"):
            parts.append(kubectl.ask("--namespace", NAMESPACE, "logs", name, "--tail=15"))
    return "\n".join(parts)


def _secrets() -> Deployed:
    """Make what docs/operations.md asks an operator for: keys, the gateway's certificate, the tokenizer."""
    folder = work() / "gateway"
    folder.mkdir()
    authority = pki.Authority.new(folder)
    authority.issue("tls", "multimood-gateway", hosts=(GATEWAY,))
    api_key = add_key(folder / "keys.json", "ci")
    random = secrets.token_hex
    _secret("multimood-gateway-keys", {"keys.json": (folder / "keys.json").read_text()})
    _secret(
        "multimood-gateway-tls",
        {name: (folder / name).read_text() for name in ("tls.crt", "tls.key")}, kind="kubernetes.io/tls",
    )  # fmt: skip
    made = {
        "MULTIMOOD_S3_ACCESS_KEY": random(10),
        "MULTIMOOD_S3_SECRET_KEY": random(20),
        "MULTIMOOD_PSEUDONYM_KEY": random(32),
    }
    s3 = {"access-key": made["MULTIMOOD_S3_ACCESS_KEY"], "secret-key": made["MULTIMOOD_S3_SECRET_KEY"]}
    _secret("multimood-s3", s3)
    _secret("multimood-pseudonyms", {"key": made["MULTIMOOD_PSEUDONYM_KEY"]})
    _secret("multimood-master-key", {"key": random(32)})
    tokenizer = (CHECKOUT / ".tools/text_encoder/tokenizer.json").read_text()
    _create("ConfigMap", "multimood-tokenizer", {"data": {"tokenizer.json": tokenizer}})
    return Deployed(f"{GATEWAY}:8443", api_key, str(folder / "ca.crt"), made)


def _secret(name: str, values: Mapping[str, str], kind: str = "Opaque") -> None:
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    _create("Secret", name, {"type": kind, "data": encoded})


def _create(kind: str, name: str, content: Mapping[str, Any]) -> None:
    head = {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": NAMESPACE}}
    kubectl.ask("create", "--filename", "-", given=json.dumps({**head, **content}))
