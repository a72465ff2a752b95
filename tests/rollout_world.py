"""A platform, a responder and a reward that are formulas, around a real strategist, broker and Triton."""

import asyncio
import contextlib
import hashlib
import itertools
import json
import os
import secrets
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from service_process import environment_of
from strategist_world import features

from multimood import topics
from multimood.bus import Publisher
from multimood.bus.tail import Follower
from multimood.clock import now_us
from multimood.contracts.v1 import events_pb2 as pb
from multimood.local.places import checkout
from multimood.rollout.standing import Course, Standing, Version, standing_of
from multimood.settings import KafkaSettings

MOST_WAITING = 40
LAGS_US = 3_000_000
"""So late a strategist may learn of a step, on a loaded machine."""


def graphs(folder: Path) -> dict[str, bytes]:
    """Policies' graphs by name."""
    script = Path(__file__).with_name("policy_graphs.py")
    subprocess.run([checkout() / ".venv-triton/bin/python", script, folder], check=True)
    return {file.stem: file.read_bytes() for file in folder.glob("*.onnx")}


def run_folder(folder: Path, graph: bytes, gate: Mapping[str, Any] | None = None) -> Path:
    """What `rl train` and `rl evaluate` leave, as far as it is read."""
    folder.mkdir()
    (folder / "policy.onnx").write_bytes(graph)
    told = {
        "passed": True, "policy_sha256": hashlib.sha256(graph).hexdigest(), "champion": "logged", "reasons": [],
        "estimates": [], "at": "2026-01-01T00:00:00Z",
        "data": {"parts": {"held": {"policy_versions": {"mesc;policy:1@aaaaaaaaaaaa": 300}}}},
    }  # fmt: skip
    if gate is None or gate:
        (folder / "gate.json").write_text(json.dumps({**told, **(gate or {})}))
    return folder


@dataclass
class Commands:
    """`multimood rl` on these servers."""

    kafka: KafkaSettings
    triton: str
    repository: Path
    audit: Path
    model: str = "policy"

    def start(self, *arguments: object) -> "asyncio.subprocess.Process | Any":
        """Begin one."""
        env = {
            **os.environ, **environment_of(self.kafka), "OMP_NUM_THREADS": "1", "COLUMNS": "200",
            "MULTIMOOD_ROLLOUT_REPOSITORY": str(self.repository), "MULTIMOOD_ROLLOUT_TRITON": self.triton,
            "MULTIMOOD_ROLLOUT_AUDIT": str(self.audit),
        }  # fmt: skip
        argv = [sys.executable, "-c", "from multimood.cli import app; app()", "rl", *map(str, arguments)]
        return asyncio.create_subprocess_exec(
            *argv, env=env, cwd=checkout(), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )

    async def run(self, *arguments: object, within_s: float = 120) -> tuple[int, str, str]:
        """Exit code, output, errors."""
        process = await self.start(*arguments)
        return await ended(process, within_s)

    async def status(self) -> dict[str, Any]:
        """What `status --json` says."""
        code, out, err = await self.run("status", "--json", "--model", self.model)
        assert code == 0, err
        found: dict[str, Any] = json.loads(out)
        return found

    async def challenger(self, graph: bytes, within_s: float = 60) -> str:
        """The version of a graph, once its canary has begun."""
        deadline, digest = time.monotonic() + within_s, hashlib.sha256(graph).hexdigest()
        while True:
            state = await self.status()
            if state["state"] == "canary" and state["challenger"]["sha256"] == digest:
                version: str = state["challenger"]["version"]
                return version
            assert time.monotonic() < deadline, state
            await asyncio.sleep(0.2)

    async def judged(self, folder: Path, graph: bytes) -> Path:
        """A run that was judged beside the champion of now."""
        champion = (await self.status())["champion"]
        return run_folder(folder, graph, {"champion": "the last", "champion_sha256": champion["sha256"]})

    async def steps(self) -> list[dict[str, Any]]:
        """All steps so far."""
        return (await self.status())["history"]

    def records(self) -> list[dict[str, Any]]:
        """The audit's."""
        return [json.loads(file.read_text()) for file in sorted(self.audit.glob("*/*.json"))]


async def ended(process: Any, within_s: float = 120) -> tuple[int, str, str]:
    try:
        out, err = await asyncio.wait_for(process.communicate(), within_s)
    except TimeoutError:
        process.kill()
        out, err = await process.communicate()
        raise AssertionError(f"did not end: {out.decode()} {err.decode()}") from None
    return process.returncode, out.decode(), err.decode()


@dataclass
class Platform:
    """Conversations of two turns, for as long as it is open; a reply and a score for every decision."""

    kafka: KafkaSettings
    rewards: Mapping[str, float] = field(default_factory=dict)
    """By the version that was served."""
    otherwise: float = 0.5
    pause_s: float = 0.05
    name: str = field(default_factory=lambda: secrets.token_hex(4))
    sent: set[str] = field(default_factory=set)
    decisions: list[pb.Decision] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    """Decisions by utterance."""
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def __aenter__(self) -> Self:
        self._publisher = Publisher(self.kafka, "platform", timeout_s=30)
        self._follower = Follower(self.kafka, (topics.DECISION,), since_s=0)
        await self._publisher.start()
        await self._follower.start()
        self._tasks = [asyncio.create_task(self._answer()), asyncio.create_task(self._speak())]
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.finish()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._publisher.stop()
        await self._follower.stop()

    async def finish(self, within_s: float = 60) -> None:
        """Say nothing more, and wait until all that was said is decided."""
        self._tasks[1].cancel()
        until = time.monotonic() + within_s
        while self.counts.keys() != self.sent:
            assert time.monotonic() < until, f"{len(self.sent - self.counts.keys())} of {len(self.sent)} not decided"
            await asyncio.sleep(0.1)

    async def _speak(self) -> None:
        for number in itertools.count():
            await self._say(f"{self.name}-{number}", 0)
            await asyncio.sleep(self.pause_s)
            while len(self.sent) - len(self.counts) > MOST_WAITING:  # noqa: ASYNC110 - the machine may be busy
                await asyncio.sleep(self.pause_s)

    async def _say(self, conversation: str, turn: int) -> None:
        utterance = f"{conversation}-u{turn}"
        self.sent.add(utterance)
        await self._publisher.publish(topics.FEATURES, features(utterance, conversation=conversation))

    async def _answer(self) -> None:
        async for received in self._follower:
            decision = received.message
            if not isinstance(decision, pb.Decision) or not decision.context.conversation_id.startswith(self.name):
                continue
            self.decisions.append(decision)
            self.counts[decision.context.utterance_id] += 1
            if self.counts[decision.context.utterance_id] > 1:
                continue
            now = now_us()
            hop = pb.Hop(service="responder", received_at_us=now - 300_000, produced_at_us=now)
            source = pb.REPLY_SOURCE_GENERATED
            await self._publisher.publish(
                topics.REPLY, pb.Reply(context=decision.context, text="x", source=source, hops=[hop])
            )
            spread = int.from_bytes(hashlib.sha256(decision.context.utterance_id.encode()).digest()[:1]) / 2550
            reward = self.rewards.get(decision.policy_served, self.otherwise) + spread
            await self._publisher.publish(topics.TRUST, pb.TrustScore(context=decision.context, reward=reward))
            if decision.step == 0:
                await self._say(decision.context.conversation_id, 1)


class Assignments:
    """What the steps say of every conversation at every time, and the hashes of the versions."""

    def __init__(self, steps: Sequence[pb.Rollout], shipped: Version) -> None:
        course = Course(shipped)
        self.steps = [step for step in steps if course.take(step)]
        self.shipped = shipped
        self.standings = {step.context.utterance_id: standing_of(step) for step in self.steps}
        self.hashes = {shipped.version: shipped.sha256}
        for step in self.steps:
            for version in (step.champion, step.challenger):
                assert self.hashes.setdefault(version.version, version.sha256) == version.sha256

    def check(self, context: pb.Context, assigned: str, step: str, since_us: int, at_us: int) -> None:
        """A row names the version that its conversation's hash and the step allow, and a step that was not too old."""
        standing = self.standings[step] if step else Standing(self.shipped)
        assert standing is not None
        times = (at_us, since_us, since_us - LAGS_US)
        assert assigned in {standing.of(context.tenant, context.conversation_id, when).version for when in times}
        later = [one for one in self.steps if one.at_us + LAGS_US < since_us]
        if later:
            known = [one.context.utterance_id for one in self.steps]
            assert step in known[known.index(later[-1].context.utterance_id) :], "a step was not followed"


def check_rows(decisions: Sequence[pb.Decision], steps: Sequence[pb.Rollout], shipped: Version) -> Counter[str]:
    """Every decision names the version that its conversation belonged to, and the hash of what was served.

    Gives how many decisions each version served, "" for none.
    """
    assignments = Assignments(steps, shipped)
    served: Counter[str] = Counter()
    for decision in decisions:
        if decision.override != pb.OVERRIDE_NONE:
            assert not decision.policy_served
            continue
        at_us = decision.hops[-1].produced_at_us
        assignments.check(decision.context, decision.policy_assigned, decision.rollout_step, at_us, at_us)
        served[decision.policy_served] += 1
        models = {model.name: model for model in decision.models}
        if decision.policy_served:
            model = models["policy"]
            wanted = assignments.hashes[decision.policy_served]
            assert (model.version, model.sha256) == (decision.policy_served, wanted)
            assert f";policy:{model.version}@{model.sha256.hex()[:12]};" in decision.policy_version
        else:
            assert "policy" not in models
            assert ";policy:" not in decision.policy_version
    return served


async def until(holds: Any, within_s: float = 60, what: str = "it") -> None:
    """Wait for something that an awaitable or a plain function tells."""
    deadline = time.monotonic() + within_s
    while True:
        found = holds()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return
        assert time.monotonic() < deadline, f"{what} did not come within {within_s} s"
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.sleep(0.2)
