"""The responder and the versions of the reply model: who writes, who stands in, and that the reply says so."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
from test_responder_core import KIND, TEXTS, Wire, context, decision, event

from multimood import topics
from multimood.bus import Bus
from multimood.clock import now_us
from multimood.contracts.v1 import events_pb2 as pb
from multimood.errors import UnavailableError
from multimood.generation import OpenAIGenerator, TritonGenerator
from multimood.inference import Inference
from multimood.models import recorded
from multimood.rollout.followed import MISSES, REST_S, Followed
from multimood.rollout.shipped import REPLIES, shipped
from multimood.rollout.standing import Version, place
from services.responder.__main__ import served_of
from services.responder.agent import Responder
from services.responder.served import ServedByVersion
from services.responder.settings import ResponderSettings

pytestmark = pytest.mark.unit

FIRST, SECOND = Version("1", b"a" * 32), Version("2", b"b" * 32)
FAR_US = 2**60


class Triton:
    """Versions that write by a script; `broken` ones fail, or hang, before or after their first word."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.broken: dict[str, Any] = {}
        self.breaks_after = 0

    async def stream(
        self, model: str, inputs: Any, deadline_s: float, *, version: str = ""
    ) -> AsyncIterator[Inference]:
        assert model == REPLIES
        self.asked.append(version)
        for number, word in enumerate([*KIND, ""]):
            fault = self.broken.get(version)
            if fault is not None and number == self.breaks_after:
                if isinstance(fault, Exception):
                    raise fault
                await asyncio.sleep(fault)
            outputs = {
                "text": np.array([word.encode()], dtype=np.object_),
                "finish": np.array([b"" if word else b"stop"], dtype=np.object_),
                "prompt_tokens": np.array([9], np.int32), "completion_tokens": np.array([number + 1], np.int32),
                "weights": np.array([(version * 64)[:64].encode()], dtype=np.object_),
            }  # fmt: skip
            yield Inference(outputs, version)


class World:
    """A responder of the reply model's versions."""

    def __init__(self, first_s: float = 0.05) -> None:
        self.triton, self.now = Triton(), 0.0
        self.followed = Followed(REPLIES, FIRST, clock=lambda: self.now)
        generator = TritonGenerator(self.triton)  # type: ignore[arg-type]
        self.served = ServedByVersion(generator, self.followed, first_s)
        self.settings: dict[str, Any] = {"first_token_s": 0.3}

    async def reply(self, conversation: str = "c", **change: Any) -> pb.Reply:
        wire, made = Wire(), decision(**change)
        made.context.conversation_id = conversation
        responder = Responder(Bus(wire.emit, wire.dead_letter), self.served, TEXTS, ResponderSettings(**self.settings))
        await wire.emit(await responder.handle(event(made)), "")
        (reply,) = wire.replies
        return reply

    def canary(self, share: float, until_us: int = FAR_US, model: str = REPLIES) -> None:
        self.followed.learn(
            pb.Rollout(
                context=pb.Context(tenant="multimood", conversation_id=model, utterance_id="step-1"),
                model=model,
                champion=pb.PolicyVersion(version="1", sha256=FIRST.sha256),
                challenger=pb.PolicyVersion(version="2", sha256=SECOND.sha256),
                share=share,
                until_us=until_us,
                stage=pb.ROLLOUT_STAGE_CANARY,
            )
        )


def told(reply: pb.Reply) -> tuple[str, str, str]:
    return reply.model_assigned, reply.model_version, reply.rollout_step


async def test_until_something_is_promoted_the_shipped_version_writes() -> None:
    world = World()
    reply = await world.reply()
    assert (reply.text, told(reply)) == ("".join(KIND), ("1", "1@111111111111", ""))
    assert world.triton.asked == ["1"], "named, not the highest that is served"


async def test_a_canary_splits_by_conversation_and_each_reply_says_which() -> None:
    world = World()
    world.canary(0.5)
    for number in range(40):
        mine = "2" if place("t", f"c{number}", SECOND) < 0.5 else "1"
        assert told(await world.reply(f"c{number}")) == (mine, f"{mine}@{mine * 12}", "step-1")
    assert set(world.triton.asked) == {"1", "2"}


async def test_a_canary_of_another_model_or_whose_lease_ended_changes_nothing() -> None:
    world = World()
    world.canary(1.0, model="policy")
    assert told(await world.reply()) == ("1", "1@111111111111", "")
    world.canary(1.0, until_us=now_us() - 1)
    assert told(await world.reply()) == ("1", "1@111111111111", "step-1")


async def test_a_challenger_without_a_word_gives_way_to_the_champion_and_rests() -> None:
    world = World()
    world.canary(1.0)
    world.triton.broken["2"] = UnavailableError("unknown version")
    for number in range(MISSES + 1):
        reply = await world.reply(f"c{number}")
        assert (reply.source, told(reply)) == (pb.REPLY_SOURCE_GENERATED, ("2", "1@111111111111", "step-1"))
    assert world.triton.asked == ["2", "1"] * MISSES + ["1"], "asked a few times, then it rests"
    del world.triton.broken["2"]
    world.now += REST_S
    assert told(await world.reply("d")) == ("2", "2@222222222222", "step-1")


async def test_one_that_hangs_gives_way_in_time() -> None:
    world = World()
    world.canary(1.0)
    world.triton.broken["2"] = 60.0
    reply = await world.reply()
    assert (reply.source, told(reply)) == (pb.REPLY_SOURCE_GENERATED, ("2", "1@111111111111", "step-1"))


async def test_nobody_goes_on_in_another_s_words() -> None:
    world = World()
    world.canary(1.0)
    world.triton.broken["2"], world.triton.breaks_after = UnavailableError("gone"), 2
    reply = await world.reply()
    assert world.triton.asked == ["2"]
    assert (reply.source, reply.model_assigned) == (pb.REPLY_SOURCE_VETTED_FALLBACK, "2")


async def test_where_none_answers_the_text_is_vetted_and_names_the_version_that_should_have() -> None:
    world = World()
    world.settings["first_token_s"] = 0.1
    world.canary(1.0)
    world.triton.broken |= {"1": UnavailableError("gone"), "2": UnavailableError("gone")}
    reply = await world.reply()
    assert (reply.source, told(reply)) == (pb.REPLY_SOURCE_VETTED_FALLBACK, ("2", "", "step-1"))
    assert {"1", "2"} <= set(world.triton.asked)


async def test_a_step_that_is_taken_while_it_waits_for_its_turn_counts() -> None:
    world = World(first_s=5.0)
    world.settings |= {"generations": 1, "first_token_s": 10.0}
    world.triton.broken["1"] = 0.1
    wire = Wire()
    responder = Responder(Bus(wire.emit, wire.dead_letter), world.served, TEXTS, ResponderSettings(**world.settings))
    handling = [asyncio.create_task(responder.handle(event(decision(f"u{number}")))) for number in range(2)]
    await asyncio.sleep(0.02)
    world.canary(1.0)
    replies = [
        out.message for outputs in await asyncio.gather(*handling) for out in outputs if out.topic is topics.REPLY
    ]
    assert [reply.model_assigned for reply in replies] == ["1", "2"]


async def test_a_vetted_reply_by_decision_belongs_to_no_version() -> None:
    reply = await World().reply(override=pb.OVERRIDE_ESCALATED)
    assert (reply.source, told(reply)) == (pb.REPLY_SOURCE_VETTED_FALLBACK, ("", "", ""))


def test_which_model_follows_a_rollout() -> None:
    served, followed = served_of(ResponderSettings())
    assert followed is not None
    assert followed.standing.champion == shipped(REPLIES)
    assert shipped(REPLIES).sha256.hex() in recorded(REPLIES).files.values()
    assert served.choose(context()).assigned == "1"
    openai = {"backend": "openai", "openai_url": "http://127.0.0.1:1/v1", "openai_model": "m"}
    for own in ({"versions": "highest"}, {"model": "a_model_of_ones_own"}, openai):
        served, followed = served_of(ResponderSettings(**own))
        assert followed is None
        assert served.choose(context()).assigned == ""
    assert isinstance(served.generator, OpenAIGenerator)
