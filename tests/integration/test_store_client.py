"""The store client against a real S3 server: what is put comes back, what may not be read is not, faults are typed."""

import asyncio
import hashlib
import secrets
import socket
import time
from collections.abc import AsyncIterator, Iterator

import pytest
from pydantic import SecretStr

from multimood.contracts.v1 import events_pb2 as pb
from multimood.local.store import ObjectStore
from multimood.media.errors import MediaError, MediaFault
from multimood.settings import StoreSettings
from multimood.store import MissingObjectError, RefusedReferenceError, Store, StoreUnavailableError

pytestmark = pytest.mark.integration


def settings_of(server: ObjectStore, **changes: object) -> StoreSettings:
    fields: dict[str, object] = {
        "endpoint": server.endpoint, "secure": False, "access_key": server.credentials.access_key,
        "secret_key": SecretStr(server.credentials.secret_key),
        "media_bucket": "media", "experience_bucket": "experience",
    }  # fmt: skip
    return StoreSettings(**{**fields, **changes})


@pytest.fixture
async def client(store: ObjectStore) -> AsyncIterator[Store]:
    client = Store(settings_of(store))
    yield client
    await client.close()


async def put(client: Store, data: bytes, tenant: str = "acme") -> pb.MediaRef:
    key = f"{tenant}/{secrets.token_hex(8)}/audio"
    return await client.put("media", key, data, "audio/wav")


@pytest.mark.parametrize("size", [1, 100_000, (5 << 20) + 1, 20 << 20])
async def test_what_is_put_comes_back(client: Store, size: int) -> None:
    data = secrets.token_bytes(size)
    ref = await put(client, data)
    assert (ref.bucket, ref.size_bytes, ref.sha256, ref.media_type) == (
        "media", size, hashlib.sha256(data).digest(), "audio/wav",
    )  # fmt: skip
    assert await client.get(ref, tenant="acme", limit=size) == data
    assert await client.peek(ref, tenant="acme", limit=size) == data[:4096]


async def test_nothing_larger_than_the_limit_is_read_whatever_the_reference_says(client: Store) -> None:
    ref = await put(client, bytes(1_000_000))
    with pytest.raises(MediaError) as refused:
        await client.get(ref, tenant="acme", limit=999_999)
    assert refused.value.reason == MediaFault.TOO_LARGE
    ref.size_bytes = 10
    with pytest.raises(MediaError) as refused:
        await client.get(ref, tenant="acme", limit=999_999)
    assert refused.value.reason == MediaFault.TOO_LARGE


async def test_an_object_that_was_exchanged_is_not_taken_for_the_original(client: Store) -> None:
    ref = await put(client, b"original")
    await client.put("media", ref.key, b"exchange", "audio/wav")
    with pytest.raises(MissingObjectError) as missing:
        await client.get(ref, tenant="acme", limit=100)
    assert missing.value.reason == "hash_differs"
    await client.put("media", ref.key, b"longer than the original", "audio/wav")
    with pytest.raises(MissingObjectError) as missing:
        await client.peek(ref, tenant="acme", limit=100)
    assert missing.value.reason == "size_differs"


async def test_another_tenants_object_is_not_read(client: Store) -> None:
    ref = await put(client, b"private", tenant="other")
    with pytest.raises(RefusedReferenceError):
        await client.get(ref, tenant="acme", limit=100)
    assert await client.get(ref, tenant="other", limit=100) == b"private"


async def test_buckets_must_be_allowed(client: Store) -> None:
    ref = await client.put("experience", "acme/rows", b"rows", "application/octet-stream")
    with pytest.raises(RefusedReferenceError):
        await client.get(ref, tenant="acme", limit=100)
    assert await client.get(ref, tenant="acme", limit=100, allowed_buckets=("experience",)) == b"rows"


async def test_absence_is_told_from_unavailability(client: Store) -> None:
    ref = await put(client, b"here")
    await client.delete(ref.bucket, ref.key)
    await client.delete(ref.bucket, ref.key)
    with pytest.raises(MissingObjectError) as missing:
        await client.get(ref, tenant="acme", limit=100)
    assert missing.value.reason == "no_such_object"
    assert not missing.value.retryable
    assert ref.key not in str(missing.value)


async def test_listing_is_ordered_and_bounded(client: Store) -> None:
    folder = f"acme/{secrets.token_hex(4)}"
    for number in range(5):
        await client.put("media", f"{folder}/{number}", bytes(number + 1), "application/octet-stream")
    found = await client.list("media", f"{folder}/")
    assert [(item.key, item.size_bytes) for item in found] == [(f"{folder}/{n}", n + 1) for n in range(5)]
    assert len(await client.list("media", f"{folder}/", most=2)) == 2
    assert await client.list("media", "acme/nothing-here/") == []


async def test_an_object_is_read_within_a_limit(client: Store) -> None:
    data = secrets.token_bytes(3_000_000)
    await client.put("experience", "acme/rows.bin", data, "application/vnd.apache.parquet")
    assert await client.read("experience", "acme/rows.bin", limit=4_000_000) == data
    with pytest.raises(MediaError):
        await client.read("experience", "acme/rows.bin", limit=2_000_000)


async def test_many_at_once_share_a_bounded_number_of_threads(store: ObjectStore) -> None:
    client = Store(settings_of(store), threads=3)
    refs = await asyncio.gather(*(put(client, bytes([n]) * 1000) for n in range(60)))
    found = await asyncio.gather(*(client.get(ref, tenant="acme", limit=1000) for ref in refs))
    assert found == [bytes([n]) * 1000 for n in range(60)]
    assert len(client._threads._threads) <= 3
    await client.close()


async def test_readiness(store: ObjectStore, client: Store) -> None:
    assert await client.ready()
    for changes in (
        {"secret_key": SecretStr("wrong")},
        {"media_bucket": "no-such-bucket"},
        {"endpoint": "127.0.0.1:1"},
    ):
        broken = Store(settings_of(store, **changes))
        assert not await broken.ready(), changes
        await broken.close()


async def test_wrong_credentials_are_named(store: ObjectStore) -> None:
    client = Store(settings_of(store, secret_key=SecretStr("wrong")))
    with pytest.raises(StoreUnavailableError, match="MULTIMOOD_S3_SECRET_KEY") as denied:
        await put(client, b"x")
    assert denied.value.reason == "denied"
    assert "wrong" not in str(denied.value)
    await client.close()


@pytest.fixture
def black_hole() -> Iterator[str]:
    """A port that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


async def test_a_store_that_never_answers_costs_the_deadline_and_no_more(store: ObjectStore, black_hole: str) -> None:
    client = Store(settings_of(store, endpoint=black_hole), deadline_s=0.5, read_s=1)
    started = time.monotonic()
    with pytest.raises(StoreUnavailableError) as unavailable:
        await put(client, b"x")
    assert unavailable.value.reason == "deadline"
    assert unavailable.value.retryable
    assert time.monotonic() - started < 1.5
    await client.close()


async def test_a_store_that_is_down_says_so_at_once(store: ObjectStore) -> None:
    client = Store(settings_of(store, endpoint="127.0.0.1:1"))
    started = time.monotonic()
    with pytest.raises(StoreUnavailableError) as unavailable:
        await put(client, b"x")
    assert unavailable.value.reason == "no_answer"
    assert time.monotonic() - started < 1
    await client.close()
