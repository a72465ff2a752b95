"""Which references to media may be followed."""

import hashlib

import pytest

from multimood.contracts.v1 import events_pb2 as pb
from multimood.errors import InvalidMediaError
from multimood.media.errors import MediaError, MediaFault
from multimood.store import RefusedReferenceError
from multimood.store.reference import check_reference

pytestmark = pytest.mark.unit

DIGEST = hashlib.sha256(b"sound").digest()


def reference(**changes: object) -> pb.MediaRef:
    fields = {"bucket": "media", "key": "acme/c/u/audio", "sha256": DIGEST, "size_bytes": 5, **changes}
    return pb.MediaRef(**fields)


def check(ref: pb.MediaRef, tenant: str = "acme") -> None:
    check_reference(ref, tenant=tenant, limit=100, buckets=("media",))


def test_a_reference_into_the_tenants_folder_is_followed() -> None:
    check(reference())
    check(reference(key="acme/0a/class=standard/1b/audio-2c"))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"bucket": "experience"}, "bucket_not_allowed"),
        ({"bucket": ""}, "bucket_not_allowed"),
        ({"key": "other/c/u/audio"}, "foreign_tenant"),
        ({"key": "acmeplus/audio"}, "foreign_tenant"),
        ({"key": "/acme/audio"}, "foreign_tenant"),
        ({"key": ""}, "foreign_tenant"),
        ({"key": "acme"}, "malformed_key"),
        ({"key": "acme/"}, "malformed_key"),
        ({"key": "acme//audio"}, "malformed_key"),
        ({"key": "acme/../other/audio"}, "malformed_key"),
        ({"key": "acme/./audio"}, "malformed_key"),
        ({"key": "acme/.../audio"}, "malformed_key"),
        ({"key": "acme/%2e%2e/audio"}, "malformed_key"),
        ({"key": "acme/a\n"}, "malformed_key"),
        ({"key": "acme/" + "x" * 600}, "malformed_key"),
        ({"sha256": b""}, "no_hash"),
        ({"sha256": DIGEST[:-1]}, "no_hash"),
    ],
)
def test_everything_else_is_refused_with_a_reason(changes: dict[str, object], reason: str) -> None:
    with pytest.raises(RefusedReferenceError) as refused:
        check(reference(**changes))
    assert refused.value.reason == reason
    assert isinstance(refused.value, InvalidMediaError)
    assert not refused.value.retryable


def test_a_reference_of_another_tenant_is_refused_even_to_an_empty_tenant() -> None:
    with pytest.raises(RefusedReferenceError):
        check(reference(key="/audio"), tenant="")


@pytest.mark.parametrize(
    ("size", "fault"), [(101, MediaFault.TOO_LARGE), (0, MediaFault.EMPTY), (-1, MediaFault.EMPTY)]
)
def test_sizes_are_judged_before_anything_is_read(size: int, fault: MediaFault) -> None:
    with pytest.raises(MediaError) as refused:
        check(reference(size_bytes=size))
    assert refused.value.reason == fault
