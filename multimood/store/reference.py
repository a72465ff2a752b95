"""Which references may be followed. Pure."""

import re
from collections.abc import Collection
from typing import Final

from multimood.contracts.v1 import events_pb2 as pb
from multimood.media.errors import MediaError, MediaFault
from multimood.store.errors import RefusedReferenceError

SHA256_BYTES: Final = 32
KEY_LENGTH: Final = 512
_SEGMENT: Final = re.compile(r"[A-Za-z0-9._:=-]+")


def check_reference(ref: pb.MediaRef, *, tenant: str, limit: int, buckets: Collection[str]) -> None:
    """Check everything about a reference that can be known without asking the store.

    Raises RefusedReferenceError when it leaves the tenant's folder of an allowed bucket or has no hash, MediaError
    (`too_large`, `empty`) when the object is announced with a size that will not be read.
    """
    if ref.bucket not in buckets:
        raise RefusedReferenceError("bucket_not_allowed", f"expected one of: {', '.join(sorted(buckets))}")
    folder, *rest = ref.key.split("/")
    if not tenant or folder != tenant:
        raise RefusedReferenceError(
            "foreign_tenant", "the key must begin with '<tenant>/' of the utterance's own tenant"
        )
    if len(ref.key) > KEY_LENGTH or not rest or not all(_is_plain(segment) for segment in rest):
        raise RefusedReferenceError(
            "malformed_key",
            f"expected '<tenant>/<name>[/<name>...]', names of [A-Za-z0-9._:=-], at most {KEY_LENGTH} characters",
        )
    if len(ref.sha256) != SHA256_BYTES:
        raise RefusedReferenceError("no_hash", f"sha256 has {len(ref.sha256)} bytes; expected {SHA256_BYTES}")
    if ref.size_bytes > limit:
        raise MediaError(MediaFault.TOO_LARGE, f"{ref.size_bytes} bytes, allowed are {limit}")
    if ref.size_bytes <= 0:
        raise MediaError(MediaFault.EMPTY, "the reference announces no bytes")


def _is_plain(segment: str) -> bool:
    return _SEGMENT.fullmatch(segment) is not None and segment.strip(".") != ""
