"""The nine services as processes of a test's own, any number of each: started, killed and drained one by one."""

import asyncio
import secrets
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from pydantic import SecretStr
from service_process import READY_WITHIN_S, Process

from multimood.apikeys import add_key
from multimood.bus.admin import apply_topics
from multimood.client import Client, TurnInput
from multimood.errors import UnavailableError
from multimood.local.kafka import KafkaServer
from multimood.local.places import tools
from multimood.local.ports import HOST, assign
from multimood.local.store import ObjectStore
from multimood.local.triton import TritonServer
from multimood.settings import KafkaSettings, StoreSettings

RETRY_S = 0.3
TOKENIZER = str(tools() / "text_encoder" / "tokenizer.json")


class OwnSystem:
    """Servers that somebody else keeps, and services on them. The language model is an OpenAI-compatible endpoint."""

    def __init__(
        self, folder: Path, kafka: KafkaServer | KafkaSettings, store: ObjectStore, triton: TritonServer, llm_url: str,
        **env: str,
    ) -> None:  # fmt: skip
        self.kafka = kafka if isinstance(kafka, KafkaSettings) else KafkaSettings(brokers=kafka.brokers)
        self.access: dict[str, KafkaSettings] = {}
        """As whom a service comes, where that is another than `kafka`."""
        media, experience = store.buckets[:2]
        self.s3 = StoreSettings(
            endpoint=store.endpoint, secure=False, access_key=store.credentials.access_key,
            secret_key=SecretStr(store.credentials.secret_key), media_bucket=media, experience_bucket=experience,
        )  # fmt: skip
        self.processes: dict[str, Process] = {}
        self.gateways: dict[str, str] = {}
        """Addresses by process."""
        self._folder = folder
        self.group = f"t{secrets.token_hex(4)}"
        self._keys = folder / "keys.json"
        self._key = add_key(self._keys, "t")
        self._env = {
            "MULTIMOOD_S3_ENDPOINT": self.s3.endpoint,
            "MULTIMOOD_S3_SECURE": "false",
            "MULTIMOOD_S3_ACCESS_KEY": self.s3.access_key,
            "MULTIMOOD_S3_SECRET_KEY": self.s3.secret_key.get_secret_value(),
            "MULTIMOOD_S3_MEDIA_BUCKET": media,
            "MULTIMOOD_S3_EXPERIENCE_BUCKET": experience,
            "MULTIMOOD_TRITON_URL": triton.url,
            "MULTIMOOD_TEXT_ENCODER_TOKENIZER": TOKENIZER,
            "MULTIMOOD_REWARD_TOKENIZER": TOKENIZER,
            "MULTIMOOD_RESPONDER_BACKEND": "openai",
            "MULTIMOOD_RESPONDER_OPENAI_URL": llm_url,
            "MULTIMOOD_RESPONDER_OPENAI_MODEL": "test-model",
            **env,
        }
        apply_topics(self.kafka)

    def start(self, service: str, number: int = 0) -> str:
        """Start one more of a service, or that one again; gives its name. It is not ready yet."""
        name = f"{service}-{number}"
        if name not in self.processes:
            self.processes[name] = self._made(service, name)
        self.processes[name].start()
        return name

    def _made(self, service: str, name: str) -> Process:
        folder, env = self._folder / name, dict(self._env)
        if service == "gateway":
            port = assign([name])[name]
            self.gateways[name] = f"{HOST}:{port}"
            env |= {"MULTIMOOD_GATEWAY_LISTEN": self.gateways[name], "MULTIMOOD_GATEWAY_KEYS": str(self._keys)}
        folder.mkdir()
        return Process(service, self.access.get(service, self.kafka), folder, self.group, **env)

    async def ready(self, names: Iterable[str], within_s: float = READY_WITHIN_S) -> None:
        """Wait until they may be given work."""
        deadline = time.monotonic() + within_s
        while unready := [name for name in names if not await self.is_ready(name)]:
            tails = {name: self.processes[name].tail() for name in unready}
            assert time.monotonic() < deadline, f"not ready: {tails}"
            await asyncio.sleep(0.2)

    async def is_ready(self, name: str) -> bool:
        """Ask it now."""
        return await asyncio.to_thread(self.processes[name].is_ready)

    def pids(self) -> Mapping[str, int]:
        """Of those that run."""
        return {name: process.pid for name, process in self.processes.items() if process.exit_code() is None}

    def stop(self) -> None:
        """End all of them at once."""
        for process in self.processes.values():
            process.kill()

    def client(self, gateway: str) -> Client:
        """A platform's connection to one of the gateways."""
        return Client(self.gateways[gateway], self._key)

    async def publish(self, turn: TurnInput, clients: Iterable[Client], within_s: float = 240.0) -> None:
        """Send a turn to one gateway after another until one confirms it: a platform's duty, and its right."""
        deadline = time.monotonic() + within_s
        while True:
            for client in clients:
                try:
                    await client.publish(turn, timeout_s=15)
                except UnavailableError:
                    if time.monotonic() > deadline:
                        raise
                    await asyncio.sleep(RETRY_S)
                else:
                    return
