"""Which version a conversation belongs to: the share, that it stays, what a lease does, records that say nothing."""

import itertools

import pytest

from multimood.contracts.v1 import events_pb2 as pb
from multimood.rollout.standing import NONE, Course, Standing, Version, place, standing_of

pytestmark = pytest.mark.unit

CHAMPION, CHALLENGER = Version("1", b"a" * 32), Version("2", b"b" * 32)
NAMES = [("t", f"c{number}") for number in range(20_000)]
NOW = 1_000_000


def canary(share: float, until_us: int = NOW + 1) -> Standing:
    return Standing(CHAMPION, CHALLENGER, share, until_us, "step")


def given(standing: Standing) -> set[tuple[str, str]]:
    return {name for name in NAMES if standing.of(*name, NOW) == CHALLENGER}


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_the_challenger_gets_its_share(share: float) -> None:
    spread = 4 * (share * (1 - share) / len(NAMES)) ** 0.5
    assert len(given(canary(share))) / len(NAMES) == pytest.approx(share, abs=spread + 1e-12)


def test_as_the_share_grows_nobody_leaves_the_challenger() -> None:
    taken = [given(canary(share)) for share in (0.05, 0.1, 0.5, 0.51)]
    assert all(before < after for before, after in itertools.pairwise(taken))


def test_the_same_conversation_is_always_in_the_same_place_and_tenants_are_apart() -> None:
    assert place("t", "c", CHALLENGER) == 0.2612192466452914
    assert place("t", "c", CHALLENGER) != place("u", "c", CHALLENGER)


def test_another_challenger_is_tried_on_other_people() -> None:
    first = given(canary(0.1))
    second = {name for name in NAMES if place(*name, Version("3", b"c" * 32)) < 0.1}
    assert len(first & second) / len(NAMES) == pytest.approx(0.01, abs=0.004)


def test_a_lease_that_ended_leaves_the_champion() -> None:
    assert {canary(1.0, until_us=NOW).of(*name, NOW) for name in NAMES[:9]} == {CHAMPION}
    assert {canary(1.0).of(*name, NOW) for name in NAMES[:9]} == {CHALLENGER}


def record(stage: pb.RolloutStage = pb.ROLLOUT_STAGE_CANARY, share: float = 0.1, **change: object) -> pb.Rollout:
    return pb.Rollout(
        context=pb.Context(tenant="multimood", conversation_id="policy", utterance_id="s1"), model="policy",
        champion=pb.PolicyVersion(version="1", sha256=b"a" * 32), stage=stage, share=share, until_us=5,
        challenger=pb.PolicyVersion(version="2", sha256=b"b" * 32), **change,
    )  # fmt: skip


def test_what_a_record_says() -> None:
    assert standing_of(record()) == Standing(CHAMPION, CHALLENGER, 0.1, 5, "s1")
    assert standing_of(record(pb.ROLLOUT_STAGE_ROLLED_BACK)) == Standing(CHAMPION, step="s1")
    assert standing_of(record(pb.ROLLOUT_STAGE_COMPLETED)) == Standing(CHAMPION, step="s1")
    none = record(pb.ROLLOUT_STAGE_ROLLED_BACK)
    none.ClearField("champion")
    assert standing_of(none) == Standing(NONE, step="s1")


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan"), float("inf")])
def test_a_share_that_is_none_says_nothing(share: float) -> None:
    assert standing_of(record(share=share)) is None


@pytest.mark.parametrize(
    "broken",
    [
        pb.PolicyVersion(version="latest", sha256=b"b" * 32), pb.PolicyVersion(version="2", sha256=b"short"),
        pb.PolicyVersion(version="../2", sha256=b"b" * 32), pb.PolicyVersion(version="²", sha256=b"b" * 32),
    ],
)  # fmt: skip
def test_a_version_that_triton_could_not_serve_says_nothing(broken: pb.PolicyVersion) -> None:
    assert standing_of(_with(record(), broken)) is None


def _with(made: pb.Rollout, challenger: pb.PolicyVersion) -> pb.Rollout:
    made.challenger.CopyFrom(challenger)
    return made


def test_a_stage_of_a_later_version_says_nothing() -> None:
    assert standing_of(record(7)) is None  # type: ignore[arg-type]
    empty = record()
    empty.challenger.Clear()
    assert standing_of(empty) is None, "a canary of nothing"


def test_a_rollout_that_has_ended_stays_ended() -> None:
    """A renewal that was on its way when somebody rolled back would else bring the challenger back."""
    course = Course(CHAMPION)
    assert course.take(record(rollout_id="a"))
    assert course.take(record(pb.ROLLOUT_STAGE_ROLLED_BACK, rollout_id="a"))
    for late in (record(rollout_id="a"), record(pb.ROLLOUT_STAGE_COMPLETED, rollout_id="a"), record(share=2.0)):
        assert not course.take(late)
    assert course.standing == Standing(CHAMPION, step="s1")
    assert course.take(record(rollout_id="b"))
    assert course.standing.challenger == CHALLENGER
    assert course.last is not None
    assert course.last.rollout_id == "b"
