"""How much a tenant may ask for."""

import pytest

from services.gateway.limits import TENANTS, TenantLimits, TokenBucket, UploadMemory
from services.gateway.refusals import OverLimitError

pytestmark = pytest.mark.unit


class Clock:
    now = 50.0

    def __call__(self) -> float:
        return self.now


def limits(clock: Clock, **changes: float) -> TenantLimits:
    return TenantLimits(**{"rate_per_s": 2.0, "burst": 3, "bytes_per_minute": 600, **changes}, clock=clock)


def test_a_burst_passes_then_the_rate_holds() -> None:
    bucket = TokenBucket(rate=2.0, capacity=3.0, now=0.0)
    assert [bucket.take(1, 0.0) for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]
    assert bucket.take(1, 0.49) > 0
    assert bucket.take(1, 0.5) == 0.0
    assert [bucket.take(1, 1000.0) for _ in range(4)] == [0.0, 0.0, 0.0, 0.5], "no more than a burst is saved up"


def test_over_any_second_no_more_than_burst_and_rate_pass() -> None:
    clock = Clock()
    tenant = limits(clock)
    passed = 0
    for _ in range(1000):
        clock.now += 0.01
        try:
            tenant.admit_call("acme")
        except OverLimitError:
            continue
        passed += 1
    assert passed in {22, 23}  # 10 s at 2/s, and the burst of 3


def test_a_refusal_says_when_to_come_back_and_that_is_true() -> None:
    clock = Clock()
    tenant = limits(clock)
    for _ in range(3):
        tenant.admit_call("acme")
    with pytest.raises(OverLimitError, match=r"2 calls a second .*try again in 0\.5 s") as refused:
        tenant.admit_call("acme")
    assert refused.value.limit == "calls"
    clock.now += refused.value.retry_after_s
    tenant.admit_call("acme")


def test_tenants_do_not_share_buckets() -> None:
    tenant = limits(Clock())
    for name in ("acme", "other"):
        for _ in range(3):
            tenant.admit_call(name)


def test_bytes_are_counted_apart_from_calls() -> None:
    clock = Clock()
    tenant = limits(clock)
    tenant.admit_bytes("acme", 600)
    tenant.admit_call("acme")
    with pytest.raises(OverLimitError) as refused:
        tenant.admit_bytes("acme", 100)
    assert refused.value.limit == "bytes"
    assert refused.value.retry_after_s == pytest.approx(10.0)


def test_memory_does_not_grow_with_the_number_of_tenants() -> None:
    tenant = limits(Clock())
    for number in range(TENANTS + 50):
        tenant.admit_call(f"tenant-{number}")
    assert len(tenant._tenants) == TENANTS


def test_upload_memory_is_given_back() -> None:
    memory = UploadMemory(100)
    memory.hold(60)
    with pytest.raises(OverLimitError) as refused:
        memory.hold(41)
    assert refused.value.limit == "memory"
    memory.hold(40)
    memory.release(60)
    memory.hold(60)
    assert memory.held == 100
