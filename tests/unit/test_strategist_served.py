"""The strategist and the policy model: whose distribution is drawn from, and that the decision says so."""

import asyncio
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from strategist_world import CRISIS, POLICY, Fusion, Life, Log, Spoken, context, features

from multimood import topics
from multimood.clock import now_us
from multimood.contracts.v1 import events_pb2 as pb
from multimood.errors import UnavailableError
from multimood.inference import Inference
from multimood.perception.state import names_of
from multimood.perception.strategy import MODEL
from multimood.rollout.followed import MISSES, REST_S
from multimood.rollout.standing import NONE, Version, place
from multimood.taxonomy import MESC_STRATEGIES
from services.strategist.__main__ import chooser_of, served_of
from services.strategist.agent import Strategist, processor
from services.strategist.served import ServedPolicy
from services.strategist.settings import StrategistSettings

pytestmark = pytest.mark.unit

FIRST, SECOND = Version("1", b"a" * 32), Version("2", b"b" * 32)
FAR_US = 2**60


class Models(Fusion):
    """Fusion, and a policy of which version n is sure of the n-th strategy."""

    def __init__(self) -> None:
        super().__init__()
        self.policy_asked: list[tuple[str, Mapping[str, NDArray[Any]]]] = []
        self.broken: dict[str, Any] = {}

    async def infer(
        self, model: str, inputs: Mapping[str, NDArray[Any]], deadline_s: float | None = None, *, version: str = ""
    ) -> Inference:
        if model != "policy":
            return await super().infer(model, inputs, deadline_s)
        self.policy_asked.append((version, inputs))
        fault = self.broken.get(version)
        if isinstance(fault, Exception):
            raise fault
        sure = np.zeros((1, 10), np.float32) if fault is None else fault
        if fault is None:
            sure[0, int(version)] = 1
        return Inference({"strategy": sure}, version)


class World:
    """A strategist with a policy model."""

    def __init__(self) -> None:
        self.log, self.models, self.now = Log(), Models(), 0.0
        self.served = ServedPolicy(
            self.models, "policy", "mesc", FIRST, deadline_s=0.2, clock=lambda: self.now,  # type: ignore[arg-type]
        )  # fmt: skip
        policy = type(POLICY)(POLICY.taxonomy, POLICY.exploration, POLICY.model, POLICY.model_sha256, "policy")
        self.life = Life(self.log, self.models, policy=policy)
        settings = StrategistSettings(retry_budget_s=0.0, vetted_inference_s=0.05)
        self.life.strategist = Strategist(
            self.models, Spoken(), policy, settings, crisis=CRISIS, served=self.served,  # type: ignore[arg-type]
        )  # fmt: skip
        self.life.handler = processor(self._bus(), self.life.strategist, settings)

    def _bus(self) -> Any:
        from multimood.bus import Bus

        return Bus(self.life._emit, self.life._dead_letter)

    async def decide(self, utterance: str, conversation: str = "c", **change: Any) -> pb.Decision:
        await self.life.take(features(utterance, conversation=conversation, **change))
        return self.log.of(topics.DECISION)[-1]

    def canary(self, share: float, until_us: int = FAR_US, model: str = "policy") -> None:
        self.served.learn(
            pb.Rollout(
                context=pb.Context(tenant="multimood", conversation_id=model, utterance_id="step-1"),
                model=model,
                champion=pb.PolicyVersion(version="1", sha256=FIRST.sha256),
                share=share,
                until_us=until_us,
                challenger=pb.PolicyVersion(version="2", sha256=SECOND.sha256),
                stage=pb.ROLLOUT_STAGE_CANARY,
            )
        )


def told(decision: pb.Decision) -> tuple[str, str, str]:
    return decision.policy_assigned, decision.policy_served, decision.rollout_step


async def test_the_champion_is_drawn_from_and_named() -> None:
    world = World()
    decision = await world.decide("u0")
    assert told(decision) == ("1", "1", "")
    assert max(decision.strategy, key=lambda item: item.p).label == MESC_STRATEGIES[1]
    assert sum(item.p for item in decision.strategy) == pytest.approx(1)
    assert f"policy:1@{FIRST.sha256.hex()[:12]};" in decision.policy_version
    assert [(m.version, m.sha256) for m in decision.models if m.name == "policy"] == [("1", FIRST.sha256)]
    ((_, asked),) = world.models.policy_asked
    assert asked["state"].shape == (1, len(names_of("state-1:mesc")))
    assert asked["state"][0] == pytest.approx(decision.state), "what is logged is what was asked"
    assert [label for label, may in zip(MESC_STRATEGIES, asked["eligible"][0], strict=True) if may] == [
        *decision.eligible
    ]


async def test_a_canary_splits_by_conversation_and_each_row_says_which() -> None:
    world = World()
    world.canary(0.5)
    for number in range(40):
        decision = await world.decide(f"u{number}", f"c{number}")
        mine = "2" if place("t", f"c{number}", SECOND) < 0.5 else "1"
        assert told(decision) == (mine, mine, "step-1")
    assert {version for version, _ in world.models.policy_asked} == {"1", "2"}
    hashes = {(d.policy_served, d.policy_sha256) for d in world.log.of(topics.DECISION)}
    assert len(hashes) == 2, "another version is another policy"


async def test_a_canary_of_another_model_or_whose_lease_ended_changes_nothing() -> None:
    world = World()
    world.canary(1.0, model="policy_esconv")
    assert told(await world.decide("u0")) == ("1", "1", "")
    world.canary(1.0, until_us=now_us() - 1)
    assert told(await world.decide("u1")) == ("1", "1", "step-1")


async def test_a_challenger_that_does_not_answer_gives_way_to_the_champion_and_rests() -> None:
    world = World()
    world.canary(1.0)
    world.models.broken["2"] = UnavailableError("gone")
    for number in range(MISSES + 2):
        assert told(await world.decide(f"u{number}", f"c{number}")) == ("2", "1", "step-1")
    asked = [version for version, _ in world.models.policy_asked]
    assert asked == ["2", "1"] * MISSES + ["1", "1"], "asked a few times, then it rests"
    del world.models.broken["2"]
    assert told(await world.decide("v0", "d")) == ("2", "1", "step-1")
    world.now += REST_S
    assert told(await world.decide("v1", "e")) == ("2", "2", "step-1")


@pytest.mark.parametrize(
    "fault",
    [
        UnavailableError("gone"),
        np.full((1, 10), np.nan, np.float32),
        np.full((1, 10), 0.2, np.float32),
        np.full((1, 8), 1 / 8, np.float32),
        np.full((1, 10), 0.1, np.float32),  # "others" may never be chosen
    ],
)
async def test_without_a_usable_answer_it_is_the_fusion_model_s_own(fault: Any) -> None:
    world = World()
    world.models.broken["1"] = fault
    decision = await world.decide("u0")
    assert told(decision) == ("1", "", "")
    assert "policy" not in decision.policy_version
    assert decision.policy_sha256 == POLICY.sha256()
    assert decision.chosen
    alone = Log()
    await Life(alone, Fusion()).take(features("u0"))
    assert [item.p for item in decision.strategy] == [item.p for item in alone.of(topics.DECISION)[0].strategy]


async def test_a_vetted_reply_is_no_action_of_a_policy() -> None:
    world = World()
    decision = await world.decide("u0", level=pb.RISK_LEVEL_IMMINENT)
    assert (decision.override, told(decision)) == (pb.OVERRIDE_CRISIS, ("", "", ""))
    assert not world.models.policy_asked


async def test_a_policy_that_passes_the_model_on_changes_nothing() -> None:
    """What version 1 does, by its formula: the fusion model's own distribution, masked and scaled."""
    world = World()
    columns = [number for number, name in enumerate(names_of("state-1:mesc")) if name.startswith("model.")]

    async def passing(model: str, inputs: Any, deadline_s: float | None = None, *, version: str = "") -> Inference:
        if model != "policy":
            return await Fusion.infer(world.models, model, inputs, deadline_s)
        given = inputs["state"][:, columns] * inputs["eligible"]
        return Inference({"strategy": given / given.sum()}, version)

    world.models.infer = passing  # type: ignore[method-assign, assignment]
    decision = await world.decide("u0")
    alone = Log()
    await Life(alone, Fusion()).take(features("u0"))
    plain = alone.of(topics.DECISION)[0]
    assert [item.p for item in decision.strategy] == pytest.approx([item.p for item in plain.strategy], abs=1e-6)


def test_which_model_is_asked() -> None:
    client: Any = None
    assert chooser_of(StrategistSettings()) == MODEL["mesc"] == "policy"
    assert chooser_of(StrategistSettings(taxonomy="esconv")) == ""
    assert chooser_of(StrategistSettings(policy_model="")) == ""
    shipped = served_of(StrategistSettings(), client).standing.champion
    assert shipped.version == "1"
    assert len(shipped.sha256) == 32
    assert served_of(StrategistSettings(taxonomy="esconv", policy_model="own"), client).standing.champion == NONE


async def test_with_no_model_named_nothing_is_asked() -> None:
    models = Models()
    served = ServedPolicy(models, "", "esconv", NONE, deadline_s=0.2)  # type: ignore[arg-type]
    drawn = await served.draw_from(context(), None, {"a": 1.0}, ["a"])  # type: ignore[arg-type]
    assert (drawn.strategy, drawn.served, drawn.assigned) == ({"a": 1.0}, NONE, NONE)
    assert not models.policy_asked
    await asyncio.sleep(0)
