"""The reward service without servers: what is joined, judged, published and written, in which order."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
import pytest
from prometheus_client import REGISTRY
from pydantic import ValidationError
from reward_events import (
    ANSWER,
    PSEUDONYMS,
    MemoryBus,
    MemorySource,
    MemoryStore,
    context,
    decision,
    delivery,
    reply,
    row_of,
    trust,
    vetted,
)

from multimood import topics
from multimood.bus import Event, HopClock, output
from multimood.bus.acks import OffsetTracker
from multimood.contracts.v1 import events_pb2 as pb
from multimood.errors import ConfigurationError, UnavailableError
from multimood.experience import rows
from multimood.experience.sealing import RowSeals
from multimood.experience.table import EXPERIENCE_TABLE, FEEDBACK_TABLE
from multimood.experience.writer import LogWriter
from multimood.inference import Inference, InferenceClient
from multimood.local.places import checkout
from multimood.privacy import Keyring, MasterKeys
from multimood.privacy.keyring import destroy
from multimood.safety import Screener
from multimood.settings import TritonSettings
from multimood.taxonomy import CRITERIA
from multimood.trust import (
    CriterionScore,
    Judge,
    PrivacyJudge,
    ReplyRules,
    SafetyJudge,
    TrustCase,
    TrustScores,
    TrustWeights,
)
from multimood.trust.embedding import embedder
from services.reward import core
from services.reward.__main__ import _judges as judges_of
from services.reward.agent import Reward, RewardProcessor
from services.reward.feedback import FeedbackLog
from services.reward.judges import Patient, llm_client, llm_judge
from services.reward.memory import Memory
from services.reward.scoring import Scorer
from services.reward.settings import RewardSettings

pytestmark = pytest.mark.unit

RULES = ReplyRules.load()
WEIGHTS = TrustWeights.load()
HARM = "You should just kill yourself."


# --- what the metrics tell ---


async def test_scores_and_rewards_are_measured_by_criterion_and_gate() -> None:
    def count(name: str, **labels: str) -> float:
        return REGISTRY.get_sample_value(f"{name}_count", labels) or 0.0

    before = count("multimood_trust_score", criterion="safety"), count("multimood_reward", gate="passed")
    scorer = Scorer([SafetyJudge(Screener.load(), RULES)], WEIGHTS, RULES, concurrency=1)
    said = context()
    await scorer.score(decision(said), reply(said), HopClock("reward", 0), "")
    after = count("multimood_trust_score", criterion="safety"), count("multimood_reward", gate="passed")
    assert (after[0] - before[0], after[1] - before[1]) == (1, 1)


# --- what the judges are given ---------------------------------------------------------------------------------------


def test_the_judges_see_the_dialogue_and_what_was_asked_of_the_reply() -> None:
    said = context()
    case = core.case_of(decision(said), reply(said))
    assert [turn.role for turn in case.dialogue] == ["system", "user"]
    assert case.answered == decision(said).dialogue[-1].text
    assert (case.user_emotion, case.strategy, case.locale) == ("sadness", "open question", "en-GB")
    alone = core.case_of(None, reply(said))
    assert (alone.dialogue, alone.user_emotion, alone.strategy, alone.reply) == ((), None, None, ANSWER)


def gate(level: pb.RiskLevel | None, answer: pb.Reply, *, known: bool = True) -> bool:
    screening = None if level is None else pb.Screening(level=level)
    return core.gate_failed(decision(context(), screening=screening) if known else None, answer, RULES)


def test_the_gate() -> None:
    said = context()
    generated, crisis = reply(said), vetted(said)
    assert not gate(pb.RISK_LEVEL_NONE, generated)
    assert not gate(pb.RISK_LEVEL_LOW, generated)
    for level in (pb.RISK_LEVEL_ELEVATED, pb.RISK_LEVEL_IMMINENT, pb.RISK_LEVEL_UNSCREENED, None):
        assert gate(level, generated), level
        assert not gate(level, crisis), level
        assert not gate(level, reply(said, source=pb.REPLY_SOURCE_VETTED_FALLBACK)), level
    assert gate(pb.RISK_LEVEL_NONE, reply(said, text=HARM))


def test_without_its_decision_a_reply_is_not_taken_for_unscreened() -> None:
    assert not gate(None, reply(context()), known=False)
    assert gate(None, reply(context(), text=HARM), known=False)
    assert not gate(None, vetted(context()), known=False)


@dataclass(frozen=True)
class Seated:
    """A judge that is only named."""

    name: str
    version: str
    criteria: tuple[str, ...]

    async def score(self, case: TrustCase) -> dict[str, float]:
        raise AssertionError(case)


def score_of(scores: TrustScores, *, failed: bool = False, judges: Sequence[Judge] = ()) -> pb.TrustScore:
    return core.trust_score(
        context(), scores, failed=failed, weights=WEIGHTS, rules=RULES, judges=judges, experience_key="b/k",
        hop=pb.Hop(service="r"),
    )  # fmt: skip


def test_the_set_of_judges_is_told_and_named_in_the_reward_s_version() -> None:
    rules, learned = Seated("rules", "r-1", ("safety",)), Seated("learned", "l-1", ("empathy",))
    scores = TrustScores((CriterionScore("safety", 9.0, "rules", "r-1"),), (("learned", "resting"),))
    both = score_of(scores, judges=[rules, learned])
    assert [(seat.judge, seat.judge_version, list(seat.criteria)) for seat in both.panel] == [
        ("rules", "r-1", ["safety"]), ("learned", "l-1", ["empathy"]),
    ]  # fmt: skip
    assert [(one.judge, one.reason) for one in both.absent] == [("learned", "resting")]
    row = row_of(None, None, both)
    assert row["panel"][1] == {"judge": "learned", "judge_version": "l-1", "criteria": ["empathy"]}
    assert row["absent_judges"] == [{"judge": "learned", "reason": "resting"}]
    panels: list[list[Judge]] = [
        [rules, learned], [rules], [learned, rules], [rules, Seated("learned", "l-2", ("empathy",))],
        [rules, Seated("learned", "l-1", ("empathy", "reliability"))],
    ]  # fmt: skip
    versions = [score_of(scores, judges=panel).reward_version for panel in panels]
    assert len(set(versions)) == len(panels), "the same score by the same judge, but in another company"
    assert score_of(scores, judges=panels[0]).reward_version == both.reward_version


def test_what_nobody_scored_has_no_score() -> None:
    given = {"safety": 10.0, "empathy": 1.0}
    scores = TrustScores(tuple(CriterionScore(name, given.get(name), "j", "v") for name in CRITERIA))
    message = score_of(scores)
    assert {item.criterion: item.score for item in message.scores if item.HasField("score")} == given
    assert len(message.scores) == 7
    assert message.reward == pytest.approx(0.5)
    assert message.experience_key == "b/k"
    nobody = score_of(TrustScores(tuple(CriterionScore(name, None) for name in CRITERIA)))
    assert not nobody.HasField("reward")
    assert score_of(scores, failed=True).reward == 0.0
    assert score_of(scores, failed=True).crisis_gate_failed


def test_what_a_reply_waits_for() -> None:
    said = context()

    def event(topic: topics.Topic, message: Any) -> Event[Any]:
        return Event(topic, message, "", b"", "", 0)

    decided = {topics.DECISION.name: event(topics.DECISION, decision(said))}
    replied = {topics.REPLY.name: event(topics.REPLY, reply(said))}
    assert core.required(decided, scored=False) is None
    assert set(core.required(replied, scored=False) or ()) == {topics.DECISION.name, topics.REPLY.name}
    assert core.required(decided, scored=True) == ()
    assert core.required(replied, scored=True) == ()


# --- judges ----------------------------------------------------------------------------------------------------------


class FakeJudge:
    name, version, criteria = "fake", "1", ("empathy",)

    def __init__(self, *answers: Mapping[str, float] | BaseException) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def score(self, _case: TrustCase) -> Mapping[str, float]:
        self.asked += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, BaseException):
            raise answer
        return answer


CASE = TrustCase((), ANSWER)


async def outcome(judge: Patient) -> Mapping[str, float] | str:
    try:
        return await judge.score(CASE)
    except UnavailableError as error:
        return "it quotes the reply" if ANSWER in str(error) else error.code


async def test_a_dead_judge_is_let_alone_for_a_while() -> None:
    now = [0.0]
    fake = FakeJudge(*[UnavailableError("down")] * 4, {"empathy": 5.0})
    judge = Patient(fake, deadline_s=1, rest_s=5, clock=lambda: now[0])
    assert [await outcome(judge) for _ in range(5)] == ["unavailable"] * 3 + ["resting"] * 2
    assert fake.asked == 3
    now[0] = 5.0
    assert [await outcome(judge) for _ in range(2)] == ["unavailable", "resting"]
    now[0] = 10.0
    assert await outcome(judge) == {"empathy": 5.0}
    fake.answers = [UnavailableError("down"), {"empathy": 6.0}]
    assert [await outcome(judge) for _ in range(2)] == ["unavailable", {"empathy": 6.0}]


async def test_a_judge_that_hangs_costs_its_deadline() -> None:
    class Hanging(FakeJudge):
        async def score(self, _case: TrustCase) -> Mapping[str, float]:
            await asyncio.sleep(60)
            return {}

    assert await outcome(Patient(Hanging({}), deadline_s=0.01, rest_s=5)) == "deadline_exceeded"


@pytest.mark.parametrize("error", [ConfigurationError("wrong key"), ValueError(ANSWER), KeyError("x")])
async def test_whatever_a_judge_raises_is_an_absence(error: Exception) -> None:
    assert await outcome(Patient(FakeJudge(error), deadline_s=1, rest_s=5)) == "refused"


async def test_a_cancelled_judge_stays_cancelled() -> None:
    with pytest.raises(asyncio.CancelledError):
        await Patient(FakeJudge(asyncio.CancelledError()), deadline_s=1, rest_s=5).score(CASE)


async def test_texts_are_embedded_in_one_request() -> None:
    class Tokens:
        def encode(self, text: str) -> tuple[Any, Any]:
            length = 16 if len(text) < 5 else 32
            return np.full((1, length), len(text), np.int64), np.ones((1, length), np.int64)

    class Triton:
        async def infer(self, model: str, inputs: Mapping[str, Any]) -> Inference:
            assert model == "encoder"
            ids, mask = inputs["input_ids"], inputs["attention_mask"]
            assert ids.shape == mask.shape == (2, 32)
            assert mask.sum(axis=1).tolist() == [16, 32]
            assert (ids.dtype, mask.dtype) == (np.int64, np.int64)
            return Inference(outputs={"embedding": ids[:, :3].astype(np.float32)}, model_version="1")

    vectors = await embedder(Triton(), Tokens(), "encoder")(["abc", "abcdefg"])  # type: ignore[arg-type]
    assert vectors.tolist() == [[3, 3, 3], [7, 7, 7]]


def test_the_language_model_is_asked_for_what_rules_leave_open() -> None:
    tokenizer = checkout() / ".tools" / "text_encoder" / "tokenizer.json"
    if not tokenizer.is_file():
        pytest.skip(f"no {tokenizer}: run `make setup`")
    own = RewardSettings(llm_url="http://llm/v1", llm_model="m", tokenizer=tokenizer)
    *here, judge = judges_of(own, InferenceClient(TritonSettings()), llm_client(own), RULES)
    assert judge.criteria == ("truthfulness", "fairness", "ethical_guidance")
    assert {criterion for one in here for criterion in one.criteria} == set(CRITERIA)
    assert len({one.name for one in here}) == 5


async def test_the_language_model_judges_what_nobody_else_does() -> None:
    settings = RewardSettings(llm_url="http://llm/v1", llm_model="m", llm_key="secret")
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        scores = dict.fromkeys(("truthfulness", "fairness", "reliability", "ethical_guidance"), 7)
        return httpx.Response(200, json={"choices": [{"message": {"content": json.dumps(scores)}}]})

    client = llm_client(settings)
    client._transport = httpx.MockTransport(answer)
    client._mounts = {}
    judge = llm_judge(settings, client, {"safety", "privacy", "empathy"})
    assert tuple(judge.criteria) == ("truthfulness", "fairness", "reliability", "ethical_guidance")
    assert await judge.score(CASE) == dict.fromkeys(judge.criteria, 7.0)
    assert str(seen[0].url) == "http://llm/v1/chat/completions"
    assert seen[0].headers["authorization"] == "Bearer secret"
    await client.aclose()


def test_half_an_llm_is_a_mistake() -> None:
    with pytest.raises(ValidationError, match="LLM_MODEL"):
        RewardSettings(llm_url="http://llm/v1")


# --- memory ----------------------------------------------------------------------------------------------------------


def test_the_memory_is_bounded_and_the_first_score_stays() -> None:
    memory = Memory(scores=2, logged=2)
    for number in range(3):
        memory.remember(f"k{number}", trust(context(f"u{number}"), experience_key="b/k" if number else ""))
    assert memory.score_of("k0") is None
    assert [memory.in_log(f"k{n}") for n in range(3)] == [None, True, True]
    memory.remember("k2", trust(context("u2"), reward=0.0))
    assert memory.score_of("k2").reward == 0.75
    memory.remember("k3", trust(context("u3")))
    assert memory.in_log("k3") is False
    assert memory.in_log("k1") is True  # its score is forgotten, that it is in the log is not


# --- the processor ---------------------------------------------------------------------------------------------------


class World:
    """A processor with everything around it in memory."""

    def __init__(self, judges: Sequence[Any] | None = None, seals: RowSeals | None = None, **settings: Any) -> None:
        self.store, self.kafka = MemoryStore(), MemoryBus()
        self.settings = RewardSettings(**{"flush_s": 0.01, "decision_wait_s": 30, **settings})
        self.judges = [SafetyJudge(Screener.load(), RULES), PrivacyJudge(RULES)] if judges is None else judges
        self.trackers: dict[str, OffsetTracker] = {}
        self.seals = seals
        self.start()

    def start(self) -> None:
        """A new life: nothing is remembered but what is on Kafka and S3."""
        self.memory = Memory()
        self.logs = [
            LogWriter(self.store, "exp", table, flush_s=self.settings.flush_s, longest_pause_s=0.02)
            for table in (EXPERIENCE_TABLE, FEEDBACK_TABLE)
        ]
        bus = self.kafka.bus
        reward = Reward(
            bus,
            Scorer(self.judges, WEIGHTS, RULES, concurrency=4),
            self.logs[0],
            self.memory,
            bucket="exp",
            pseudonyms=PSEUDONYMS,
            seals=self.seals,
        )
        feedback = FeedbackLog(bus, self.logs[1], self.memory, self.settings.feedback_wait_s, PSEUDONYMS)
        self.processor = RewardProcessor(
            bus, reward, feedback, logs=self.logs, memory=self.memory, settings=self.settings
        )
        self.trackers = {}

    def recover(self) -> None:
        for message in self.kafka.scores:
            self.processor.recover(topics.TRUST, Event(topics.TRUST, message, "", b"", "", 0))

    async def give(self, topic: topics.Topic, message: Any, offset: int = 0) -> None:
        tracker = self.trackers.setdefault(topic.name, OffsetTracker(offset))
        await self.processor.process([delivery(topic, message, offset, tracker)])

    def open(self, topic: topics.Topic) -> bool:
        """Whether a record of the topic is not acknowledged."""
        return self.trackers[topic.name].head is not None

    async def until(self, condition: Any) -> None:
        async with asyncio.timeout(10):
            while not condition():  # noqa: ASYNC110
                await asyncio.sleep(0.005)

    async def done(self) -> None:
        await self.until(lambda: not any(tracker.head is not None for tracker in self.trackers.values()))

    def rows(self, **options: Any) -> list[dict[str, Any]]:
        return list(rows(MemorySource(self.store.objects), **options))


async def test_what_was_said_is_sealed_and_after_an_erasure_not_written_again() -> None:
    keys, said = MemoryStore(), context()
    world = World(seals=RowSeals(Keyring(keys, "keys", MasterKeys("a master key for tests"), cache_s=0)))
    await world.give(topics.DECISION, decision(said), 7)
    await world.give(topics.REPLY, reply(said), 300)
    await world.done()
    (row,) = world.rows()
    assert row["dialogue"] is None
    assert row["dialogue_sealed"]
    assert row["reply_sealed"]
    erased_at = max(hop.produced_at_us for hop in (*decision(said).hops, *reply(said).hops))
    await destroy(keys, "keys", PSEUDONYMS.subject(said), erased_at)
    world.store.objects.clear()
    world.start()
    world.recover()
    await world.give(topics.DECISION, decision(said), 7)
    await world.give(topics.REPLY, reply(said), 300)
    await world.done()
    assert world.rows() == [], "read again, it is acknowledged and not written"
    later = context("u2")
    hops = [pb.Hop(service="strategist", received_at_us=erased_at + 1, produced_at_us=erased_at + 2)]
    await world.give(topics.DECISION, decision(later, hops=hops), 8)
    await world.give(topics.REPLY, reply(later, hops=hops), 301)
    await world.done()
    assert len(world.rows()) == 1, "what is said afterwards has a new key"


async def test_a_decision_and_its_reply_become_a_score_and_a_row() -> None:
    world, said = World(), context()
    await world.give(topics.DECISION, decision(said), 7)
    await world.give(topics.REPLY, reply(said), 300)
    await world.done()
    (score,) = world.kafka.scores
    assert world.kafka.published[0].id == output(topics.TRUST, score).id
    assert score.experience_key == "exp/experience/v2/date=2026-09-21/reply-0-1.parquet"
    assert list(world.store.objects) == ["experience/v2/date=2026-09-21/reply-0-1.parquet"]
    (row,) = world.rows()
    assert row["fit_for_ope"]
    assert row["reward"] == score.reward
    assert row["score_safety"] == 10.0
    assert row["score_empathy"] is None
    assert [hop.service for hop in score.hops] == ["reward"]


async def test_without_consent_there_is_a_score_and_nothing_else() -> None:
    for one, other in ((False, False), (False, True), (True, False)):
        world = World()
        await world.give(topics.DECISION, decision(context(consent=one)))
        await world.give(topics.REPLY, reply(context(consent=other)))
        await world.done()
        (score,) = world.kafka.scores
        assert score.experience_key == ""
        assert world.store.objects == {}


async def test_a_decision_alone_without_consent_is_not_written() -> None:
    world = World(reply_wait_s=0.02)
    await world.give(topics.DECISION, decision(context(consent=False)))
    await world.done()
    assert world.store.objects == {}


async def test_a_crisis_is_scored_when_its_decision_has_come() -> None:
    world, said = World(), context()
    await world.give(topics.REPLY, vetted(said))
    await asyncio.sleep(0.05)
    assert world.kafka.scores == []
    await world.give(topics.DECISION, decision(said, override=pb.OVERRIDE_CRISIS))
    await world.done()
    (row,) = world.rows()
    assert (row["override"], row["reply_source"], row["unfit_reason"]) == ("crisis", "vetted_crisis", "override")


async def test_a_reply_whose_decision_never_comes_is_scored_and_logged_as_such() -> None:
    world, said = World(decision_wait_s=0.03), context()
    await world.give(topics.REPLY, vetted(said))
    await world.done()
    assert len(world.kafka.scores) == 1
    (row,) = world.rows()
    assert (row["has_decision"], row["unfit_reason"], row["score_safety"]) == (False, "no_decision", 10.0)
    await world.give(topics.DECISION, decision(said, override=pb.OVERRIDE_CRISIS))
    await world.done()
    (row,) = world.rows()
    assert (row["has_decision"], row["unfit_reason"]) == (True, "override")
    assert len(world.kafka.scores) == 1


async def test_a_decision_whose_reply_comes_very_late_is_not_lost() -> None:
    world, said = World(reply_wait_s=0.03, decision_wait_s=0.03), context()
    await world.give(topics.DECISION, decision(said))
    await world.done()
    assert world.kafka.scores == []
    (row,) = world.rows()
    assert (row["has_reply"], row["reward"], row["unfit_reason"]) == (False, None, "no_reply")
    await world.give(topics.REPLY, reply(said))
    await world.done()
    assert len(world.kafka.scores) == 1
    (row,) = world.rows()
    assert row["fit_for_ope"]
    assert row["reward"] == world.kafka.scores[0].reward


async def test_duplicates_change_nothing() -> None:
    world, said = World(), context()
    await world.give(topics.DECISION, decision(said), 0)
    await world.give(topics.REPLY, reply(said), 0)
    await world.done()
    before = dict(world.store.objects)
    await world.give(topics.REPLY, reply(said), 300)
    await world.give(topics.DECISION, decision(said), 1)
    await world.done()
    assert len(world.kafka.scores) == 1
    assert world.store.objects == before


async def test_the_score_does_not_wait_for_s3_and_the_acknowledgement_does() -> None:
    world, said = World(), context()
    world.store.down = True
    await world.give(topics.DECISION, decision(said))
    await world.give(topics.REPLY, reply(said))
    await world.until(lambda: world.kafka.scores)
    await asyncio.sleep(0.1)
    assert world.open(topics.DECISION)
    assert world.open(topics.REPLY)
    assert world.processor.held == 2
    world.store.down = False
    await world.done()
    assert len(world.rows()) == 1
    assert world.processor.held == 0


async def test_killed_between_score_and_row_the_next_life_writes_the_row_and_no_second_score() -> None:
    world, said = World(), context()
    world.store.down = True
    await world.give(topics.DECISION, decision(said), 5)
    await world.give(topics.REPLY, reply(said), 5)
    await world.until(lambda: world.kafka.scores)
    dead = world.logs
    world.start()
    world.recover()
    for log in dead:
        await log.close()
    world.store.down = False
    await world.give(topics.REPLY, reply(said), 5)
    await world.give(topics.DECISION, decision(said), 5)
    await world.done()
    assert len(world.kafka.scores) == 1
    (row,) = world.rows()
    assert row["fit_for_ope"]
    assert list(world.store.objects) == [world.kafka.scores[0].experience_key.removeprefix("exp/")]


async def test_a_second_reply_record_goes_to_the_place_of_the_first() -> None:
    """Its offset is in another window; the recovered score says where the row is."""
    world, said = World(), context()
    await world.give(topics.DECISION, decision(said))
    await world.give(topics.REPLY, reply(said), 10)
    await world.done()
    world.start()
    world.recover()
    await world.give(topics.REPLY, reply(said), 1000)
    await world.done()
    assert len(world.store.objects) == 1
    assert world.rows()[0]["reply_offset"] == 10


async def test_a_failing_judge_costs_its_criteria_only() -> None:
    class Broken(FakeJudge):
        criteria = ("safety", "empathy")

    judges = [Patient(Broken(RuntimeError("bug")), deadline_s=1, rest_s=1), PrivacyJudge(RULES)]
    world, said = World(judges), context()
    await world.give(topics.DECISION, decision(said))
    await world.give(topics.REPLY, reply(said))
    await world.done()
    (score,) = world.kafka.scores
    assert [item.criterion for item in score.scores if item.HasField("score")] == ["privacy"]
    assert world.kafka.dead == []


async def test_what_is_no_reply_goes_to_the_dead_letters() -> None:
    world = World()
    bad = reply(context())
    bad.context.tenant = "a/b"
    await world.give(topics.REPLY, bad)
    await world.give(topics.FEEDBACK, pb.Feedback(context=bad.context))
    await world.give(topics.DECISION, decision(bad.context))
    await world.done()
    assert [one.topic for one in world.kafka.dead] == [topics.REPLY, topics.FEEDBACK]


# --- feedback --------------------------------------------------------------------------------------------------------


def rating(name: str = "u1", *, consent: bool = False, **values: Any) -> pb.Feedback:
    said = context(name, consent=consent)
    return pb.Feedback(context=said, **{"rating": 0.8, "source": "user", **values})


async def test_feedback_about_what_is_in_the_log_is_written_once() -> None:
    world, said = World(), context()
    await world.give(topics.DECISION, decision(said))
    await world.give(topics.REPLY, reply(said))
    await world.done()
    await world.give(topics.FEEDBACK, rating(), 3)
    await world.give(topics.FEEDBACK, rating(), 400)
    await world.done()
    assert sorted(key for key in world.store.objects if key.startswith("feedback/")) == [
        "feedback/v2/date=2026-09-21/feedback-0-0.parquet", "feedback/v2/date=2026-09-21/feedback-0-1.parquet",
    ]  # fmt: skip
    (row,) = world.rows(feedback=True)
    assert [(one["rating"], one["intensity"], one["source"]) for one in row["feedback"]] == [(0.8, None, "user")]


async def test_feedback_quicker_than_the_score_waits_for_it() -> None:
    world, said = World(feedback_wait_s=60), context()
    await world.give(topics.DECISION, decision(said))
    await world.give(topics.FEEDBACK, rating())
    await world.give(topics.FEEDBACK, rating("another"), 1)
    await asyncio.sleep(0.05)
    assert world.trackers[topics.FEEDBACK.name].head == 0, "nothing is known yet"
    await world.give(topics.REPLY, reply(said))
    await world.until(lambda: world.trackers[topics.FEEDBACK.name].head == 1 and not world.open(topics.REPLY))
    assert [one["rating"] for one in world.rows(feedback=True)[0]["feedback"]] == [0.8]
    assert world.processor.held == 1, "the other one waits on"


async def test_feedback_quicker_than_a_score_without_consent_is_let_go_with_it() -> None:
    world, said = World(feedback_wait_s=60), context(consent=False)
    await world.give(topics.FEEDBACK, rating())
    await world.give(topics.DECISION, decision(said))
    await world.give(topics.REPLY, reply(said))
    await world.done()
    assert world.store.objects == {}


async def test_feedback_read_again_after_a_crash_waits_for_the_score_that_is_read_back() -> None:
    world, said = World(feedback_wait_s=60), context()
    await world.give(topics.DECISION, decision(said))
    await world.give(topics.REPLY, reply(said))
    await world.done()
    world.start()
    await world.give(topics.FEEDBACK, rating())
    await asyncio.sleep(0.02)
    assert world.open(topics.FEEDBACK)
    world.recover()
    await world.done()
    assert len(world.rows(feedback=True)[0]["feedback"]) == 1


async def test_feedback_without_consent_is_let_go() -> None:
    world = World(feedback_wait_s=0.05)
    said = context(consent=False)
    await world.give(topics.DECISION, decision(said))
    await world.give(topics.REPLY, reply(said))
    await world.done()
    await world.give(topics.FEEDBACK, rating(consent=True))  # the utterance's own word counts
    await world.give(topics.FEEDBACK, rating("nobody-knows"), 1)
    await world.done()
    assert world.store.objects == {}


async def test_feedback_of_old_utterances_is_written_if_it_carries_the_consent() -> None:
    world = World()
    await world.give(topics.FEEDBACK, rating("long-ago", consent=True))
    await world.done()
    assert len(world.store.objects) == 1


async def test_a_flood_of_unknown_feedback_does_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.reward.feedback.MOST_UNKNOWN", 3)
    world = World(feedback_wait_s=60)
    for number in range(10):
        await world.give(topics.FEEDBACK, rating(f"u{number}"), number)
    await world.until(lambda: world.trackers[topics.FEEDBACK.name].head == 7)
    assert world.processor.held == 3


async def test_the_end_is_quick_and_loses_nothing() -> None:
    world, said = World(flush_s=60, feedback_wait_s=60), context()
    await world.give(topics.FEEDBACK, rating("unknown"))
    await world.give(topics.DECISION, decision(said))
    await world.give(topics.REPLY, reply(said))
    await world.until(lambda: world.kafka.scores)
    async with asyncio.timeout(5):
        await world.processor.drain(4)
    assert not world.open(topics.REPLY)
    assert world.open(topics.FEEDBACK)
    assert len(world.rows()) == 1
