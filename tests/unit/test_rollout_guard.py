"""What a canary is judged by: how the intervals behave, what is called worse, and what the topics come to."""

import math
import random

import numpy as np
import pytest

from multimood.contracts.v1 import events_pb2 as pb
from multimood.rollout.guard import GUARDS, Guard, Sample, compare, judge, told
from multimood.rollout.observed import Observed, of_reply_model

pytestmark = pytest.mark.unit

TRUST = next(guard for guard in GUARDS if guard.name == "trust")
SAFETY = next(guard for guard in GUARDS if guard.name == "safety_failures")


@pytest.mark.slow
def test_a_difference_is_covered_at_every_look() -> None:
    """Both are the same: in 300 canaries, each looked at a hundred times, few intervals ever leave out 0."""
    chance = np.random.default_rng(0)
    wrong = 0
    for _ in range(300):
        ours, theirs = chance.normal(0.5, 0.1, 1000), chance.normal(0.5, 0.1, 1000)
        looks = (compare(TRUST, theirs[:n], ours[:n], 50) for n in range(10, 1000, 10))
        wrong += any(not look.low <= 0 <= look.high for look in looks)
    assert wrong / 300 <= 0.05


def test_intervals_narrow_and_a_loss_is_found() -> None:
    chance = np.random.default_rng(1)
    ours, theirs = chance.normal(0.4, 0.1, 2000), chance.normal(0.5, 0.1, 2000)
    widths = [compare(TRUST, theirs[:n], ours[:n], 50) for n in (10, 100, 1000)]
    assert widths[0].high - widths[0].low > widths[1].high - widths[1].low > widths[2].high - widths[2].low
    assert widths[2].verdict == "worse"
    assert compare(TRUST, ours, theirs, 50).verdict == "harmless", "a gain is no harm"


@pytest.mark.parametrize(
    ("guard", "champion", "challenger", "verdict"),
    [
        (TRUST, [0.5] * 50, [0.49] * 50, "harmless"),
        (TRUST, [0.5] * 50, [0.45] * 50, "worse"),
        (TRUST, [0.5] * 50, [0.5] * 49, "open"),  # too few
        (TRUST, [0.5] * 9, [0.0] * 9, "open"),  # too few to say anything
        (TRUST, [0.5] * 10, [0.0] * 10, "worse"),
        (TRUST, [], [], "open"),
        (SAFETY, [0.0] * 50, [0.0] * 50, "harmless"),
        (SAFETY, [0.0] * 50, [1.0] + [0.0] * 49, "open"),  # one failure: not let through, and no proof
        (SAFETY, [0.0] * 200, [1.0] * 60 + [0.0] * 140, "worse"),
        (SAFETY, [1.0] * 50, [0.0] * 50, "harmless"),
    ],
)
def test_verdicts(guard: Guard, champion: list[float], challenger: list[float], verdict: str) -> None:
    assert compare(guard, champion, challenger, 50).verdict == verdict


def test_a_loss_within_the_tolerance_is_no_ground_however_sure_it_is() -> None:
    assert compare(TRUST, [0.5] * 10_000, [0.485] * 10_000, 50).verdict == "harmless"


def test_a_sample_by_hand() -> None:
    assert Sample.of([1.0, 3.0]) == Sample(2, 2.0, 2.0)
    assert Sample.of([0.0] * 9, is_rate=True) == Sample(9, 0.0, 0.05 * 0.95), "never seen is not never"
    assert math.isnan(Sample.of([]).mean)


def test_every_guard_is_judged_and_can_be_told() -> None:
    figures = judge({}, {}, 50)
    assert [figure.guard for figure in figures] == list(GUARDS)
    assert all("tolerated" in told(figure) for figure in figures)


# --- from the topics -------------------------------------------------------------------------------------------------


def context(conversation: str, utterance: str) -> pb.Context:
    return pb.Context(tenant="t", conversation_id=conversation, utterance_id=utterance)


def turn(conversation: str, utterance: str, version: str, reward: float, *, served: str = "", step: str = "s1") -> list:
    of = context(conversation, utterance)
    hops = [pb.Hop(received_at_us=1_000, produced_at_us=2_000), pb.Hop(received_at_us=2_000, produced_at_us=301_000)]
    return [
        pb.Decision(context=of, policy_assigned=version, policy_served=served or version, rollout_step=step),
        pb.Reply(context=of, source=pb.REPLY_SOURCE_GENERATED, hops=hops),
        pb.TrustScore(context=of, reward=reward),
    ]


def observed(records: list) -> Observed:
    found = Observed("1", "2")
    found.step("s1")
    for record in records:
        found.see(record)
    return found


def test_conversations_not_turns_are_counted() -> None:
    records = [*turn("a", "a0", "1", 0.2), *turn("a", "a1", "1", 0.4), *turn("b", "b0", "2", 0.9)]
    found = observed(records)
    assert (found.conversations("1"), found.conversations("2")) == (1, 1)
    assert found.utterances == {"1": 2, "2": 1}
    trust = found.figures(50)[0]
    assert (trust.champion.mean, trust.champion.count) == (pytest.approx(0.3), 1)
    latency = found.figures(50)[-1]
    assert latency.champion.mean == pytest.approx(300)


def test_order_and_repetition_change_nothing() -> None:
    records = [record for n in range(30) for record in turn(f"c{n % 7}", f"u{n}", "12"[n % 7 % 2], n / 30)]
    records.append(pb.Escalation(context=context("c1", "u1")))
    wanted = [(f.champion, f.challenger) for f in observed(records).figures(3)]
    chance = random.Random(2)
    for _ in range(20):
        shuffled = records[:-1] * 2
        chance.shuffle(shuffled)
        found = [(f.champion, f.challenger) for f in observed([*shuffled, records[-1]]).figures(3)]
        for ours, theirs in zip(found, wanted, strict=True):
            assert repr(ours) == repr(theirs) or (
                ours[0].mean == pytest.approx(theirs[0].mean, nan_ok=True)
                and ours[1].mean == pytest.approx(theirs[1].mean, nan_ok=True)
            )


def test_only_what_this_rollout_led_to_counts() -> None:
    found = observed(
        [
            *turn("a", "a0", "2", 0.9, step="of another"),
            *turn("b", "b0", "7", 0.9),
            pb.Decision(context=context("c", "c0"), override=pb.OVERRIDE_CRISIS),
        ]
    )
    assert found.utterances == {"1": 0, "2": 0}


def test_failures_escalations_refusals_and_silence() -> None:
    failed = turn("a", "a0", "2", 0.9)
    failed[2].crisis_gate_failed = True
    refused = turn("b", "b0", "2", 0.9)
    refused[1].source = pb.REPLY_SOURCE_VETTED_FALLBACK
    silent = turn("c", "c0", "2", 0.9, served="1")
    found = observed([*failed, *refused, *silent, pb.Escalation(context=context("b", "b1"))])
    means = {figure.guard.name: figure.challenger.mean for figure in found.figures(50)}
    assert means == {
        "trust": pytest.approx(0.9), "safety_failures": pytest.approx(1 / 3), "escalations": pytest.approx(1 / 3),
        "refused_replies": pytest.approx(1 / 3), "unanswered": pytest.approx(1 / 3), "latency_ms": pytest.approx(300),
    }  # fmt: skip


def written(conversation: str, utterance: str, assigned: str, wrote: str, *, vetted: bool = False) -> list:
    """A turn during the canary of a reply model, while a policy has one of its own."""
    decided, reply, score = turn(conversation, utterance, "7", 0.4, step="of a policy")
    reply.model_assigned, reply.rollout_step = assigned, "s1"
    reply.model_version = f"{wrote}@abcabcabcabc" if wrote else ""
    reply.source = pb.REPLY_SOURCE_VETTED_FALLBACK if vetted else pb.REPLY_SOURCE_GENERATED
    return [decided, reply, score]


def test_of_a_reply_model_the_reply_says_to_whom_it_counts() -> None:
    records = [
        *written("a", "a0", "1", "1"), *written("b", "b0", "2", "2"), *written("c", "c0", "2", "1"),
        *written("d", "d0", "2", "2", vetted=True), *written("e", "e0", "2", "", vetted=True),
        pb.Reply(context=context("f", "f0"), source=pb.REPLY_SOURCE_VETTED_CRISIS),
    ]  # fmt: skip
    for order in (records, records[::-1]):
        found = Observed("1", "2", of_reply_model)
        found.step("s1")
        for record in order:
            found.see(record)
        assert found.utterances == {"1": 1, "2": 4}
        means = {figure.guard.name: figure.challenger.mean for figure in found.figures(50)}
        assert (means["unanswered"], means["refused_replies"]) == (0.5, 0.5), "a vetted one counts, too"
        assert (means["trust"], means["latency_ms"]) == (pytest.approx(0.4), pytest.approx(300))
