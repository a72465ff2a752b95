"""Whatever lies on the topic: a conversation belongs to a version that the step names, or the step says nothing."""

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from multimood.contracts.v1 import events_pb2 as pb
from multimood.rollout.standing import NONE, Version, place, standing_of

pytestmark = pytest.mark.property

versions = st.builds(
    pb.PolicyVersion, version=st.sampled_from(["", "1", "2", "17", "-1", "x", "../1", "٣"]),
    sha256=st.sampled_from([b"", b"short", b"a" * 32, b"b" * 32]),
)  # fmt: skip
steps = st.builds(
    pb.Rollout, champion=versions, challenger=st.none() | versions, share=st.floats(width=64),
    stage=st.integers(-1, 5), until_us=st.integers(-(2**63), 2**63 - 1),
)  # fmt: skip
names = st.text(max_size=20)


@given(steps, names, names, st.integers(0, 2**62))
def test_a_conversation_gets_what_the_step_names(step: pb.Rollout, tenant: str, conversation: str, now_us: int) -> None:
    standing = standing_of(step)
    if standing is None:
        return
    found = standing.of(tenant, conversation, now_us)
    assert found == standing.of(tenant, conversation, now_us)
    told = {Version(one.version, one.sha256) for one in (step.champion, step.challenger)}
    assert found in told | {NONE}
    assert not found.version or (found.version.isascii() and found.version.isdecimal() and len(found.sha256) == 32)
    if now_us >= step.until_us or step.stage != pb.ROLLOUT_STAGE_CANARY:
        assert found == standing.champion


@given(st.binary(max_size=200))
def test_bytes_are_a_step_or_none(value: bytes) -> None:
    try:
        step = pb.Rollout.FromString(value)
    except DecodeError:
        return
    standing = standing_of(step)
    if standing is not None:
        standing.of("t", "c", 1)


@given(names, names, st.floats(0, 1), st.floats(0, 1))
def test_a_growing_share_only_adds(tenant: str, conversation: str, one: float, other: float) -> None:
    at = place(tenant, conversation, Version("2", b"b" * 32))
    assert 0 <= at < 1
    small, large = sorted((one, other))
    assert not (at < small) or at < large
