"""Media in the store: sealed, named by pseudonyms, taken away when they may not be kept."""

import asyncio
import hashlib
from datetime import UTC, datetime, timedelta

import pytest
from reward_events import PSEUDONYMS, MemoryStore, context

from multimood.contracts.v1 import events_pb2 as pb
from multimood.encoding import MissingMediaError
from multimood.erasure.media import Swept, expired, media_of, sweep
from multimood.errors import ConfigurationError, UnavailableError
from multimood.media.apart import Decoders
from multimood.media.errors import MediaError
from multimood.media.limits import MediaLimits
from multimood.privacy import OVERHEAD, ErasedError, Keyring, MasterKeys, Subject
from multimood.privacy.disposal import Disposal
from multimood.privacy.keyring import destroy
from multimood.privacy.media import MediaSeals
from multimood.retention import Retention
from multimood.sent_media import SentMedia
from multimood.settings import PrivacySettings
from multimood.store import ObjectInfo

pytestmark = pytest.mark.unit

MASTER = MasterKeys("a master key for tests")
DIGEST = hashlib.sha256(b"sound").digest()
STANDARD = Retention.parse("standard=30,short=0")


class Shelf:
    """A store with objects, which may be away."""

    media_bucket = "media"

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.down = False
        self.deletes = 1_000
        """So many go well before it is away."""

    async def delete(self, bucket: str, key: str) -> None:
        self.deletes -= 1
        if self.down or self.deletes < 0:
            raise UnavailableError("down")
        self.objects.pop(key, None)

    async def get(self, ref: pb.MediaRef, *, tenant: str, limit: int) -> bytes:
        data = self.objects[ref.key]
        if len(data) > limit:
            raise AssertionError("the limit is that of the content")
        return data

    async def list(self, bucket: str, prefix: str = "", *, most: int = 1000) -> list[ObjectInfo]:
        at = datetime(2026, 9, 1, tzinfo=UTC)
        return [ObjectInfo(key, 1, at) for key in sorted(self.objects) if key.startswith(prefix)]


def ref(key: str, **more: object) -> pb.MediaRef:
    return pb.MediaRef(bucket="media", key=key, sha256=DIGEST, size_bytes=5, **more)  # type: ignore[arg-type]


def test_names_say_nothing_of_the_ids_and_differ_with_each_part() -> None:
    seals = MediaSeals(PSEUDONYMS, None)

    def name(**changes: str) -> str:
        said = context("monday", conversation="jane.doe")
        said.subject = "jane"
        for field, value in changes.items():
            setattr(said, field, value)
        return seals.name(said, "audio", DIGEST)

    first = name()
    assert first.split("/")[0] == "acme"
    assert first.split("/")[2] == "class=short"
    assert not any(word in first for word in ("jane", "monday", DIGEST.hex()[:16]))
    said = context("monday", conversation="jane.doe")
    others = [
        name(tenant="acme2"), name(subject="john"), name(conversation_id="john.doe"), name(utterance_id="sunday"),
        seals.name(said, "audio", DIGEST), seals.name(said, "video", DIGEST), seals.name(said, "audio", bytes(32)),
    ]  # fmt: skip
    assert len({first, *others}) == 8
    assert first == name()
    assert first.split("/")[1] != others[0].split("/")[1], "a person at two tenants must not be recognisable"
    assert seals.name(context(consent=False), "audio", DIGEST).split("/")[2] == "passing"


@pytest.mark.parametrize("size", [0, 5, 2 << 20])
async def test_media_are_sealed_and_opened_with_the_person_s_key(size: int) -> None:
    store, said, data = MemoryStore(), context(), bytes(size)
    gateway, encoder = (MediaSeals(PSEUDONYMS, Keyring(store, "keys", MASTER)) for _ in range(2))
    sealed, key_id = await gateway.seal(said, "acme/x/audio", data, 1)
    assert key_id
    assert len(sealed) == size + OVERHEAD
    assert await encoder.open(ref("acme/x/audio", key_id=key_id), said, sealed) == data
    with pytest.raises(MediaError):
        await encoder.open(ref("acme/x/video", key_id=key_id), said, sealed)
    with pytest.raises(ErasedError):
        await encoder.open(ref("acme/x/audio", key_id=key_id), context(conversation="of another"), sealed)


async def test_without_a_master_key_media_are_stored_as_they_are() -> None:
    seals = MediaSeals(PSEUDONYMS, None)
    assert await seals.seal(context(), "n", b"sound", 1) == (b"sound", b"")
    assert await seals.open(ref("n"), context(), b"sound") == b"sound"
    with pytest.raises(ConfigurationError, match="MULTIMOOD_MASTER_KEY"):
        await seals.open(ref("n", key_id=b"12345678"), context(), b"sound")


async def test_an_encoder_gets_what_the_gateway_sealed_and_a_reason_once_it_is_erased() -> None:
    store, shelf, said = MemoryStore(), Shelf(), context()
    seals = MediaSeals(PSEUDONYMS, Keyring(store, "keys", MASTER, cache_s=0))
    sealed, key_id = await seals.seal(said, "acme/x/audio", b"sound", 1)
    shelf.objects["acme/x/audio"] = sealed
    named = ref("acme/x/audio", key_id=key_id)
    media = SentMedia(shelf, Decoders(MediaLimits(size_bytes=5), 1), seals=seals)  # type: ignore[arg-type]
    assert await media.fetch(said, named) == b"sound"
    store.down = True
    with pytest.raises(UnavailableError):
        await media.fetch(said, named)
    store.down = False
    await destroy(store, "keys", PSEUDONYMS.subject(said), 2)
    with pytest.raises(MissingMediaError) as missing:
        await media.fetch(said, named)
    assert missing.value.reason == pb.MISSING_REASON_MEDIA_NOT_FOUND


# --- taking away -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("consent", "retention_class", "is_kept"),
    [(False, "", False), (True, "", True), (True, "short", False), (True, "unheard-of", True), (False, "long", False)],
)
async def test_what_may_not_be_kept_goes_once_it_is_encoded(consent: bool, retention_class: str, is_kept: bool) -> None:
    shelf = Shelf()
    shelf.objects["acme/x"] = b"sound"
    said = context(consent=consent)
    said.privacy.retention_class = retention_class
    disposal = Disposal(shelf, STANDARD)
    await disposal.of(said, ref("acme/x"))
    assert ("acme/x" in shelf.objects) is is_kept
    await disposal.close()


async def test_what_another_encoder_still_needs_and_what_is_another_s_stays() -> None:
    shelf = Shelf()
    shelf.objects = {"acme/x": b"", "other/x": b""}
    disposal, said = Disposal(shelf, STANDARD), context(consent=False)
    await disposal.of(said, ref("acme/x"), (ref("acme/x"),))
    await disposal.of(said, ref("other/x"))
    await disposal.of(said, pb.MediaRef(bucket="elsewhere", key="acme/x", sha256=DIGEST, size_bytes=5))
    await disposal.of(said, pb.MediaRef())
    assert sorted(shelf.objects) == ["acme/x", "other/x"]
    assert disposal.owed == 0


async def test_a_store_that_is_away_is_asked_again_until_it_has_done_it() -> None:
    shelf = Shelf()
    shelf.objects["acme/x"], shelf.down = b"sound", True
    disposal = Disposal(shelf, STANDARD, pause_s=0.01)
    await disposal.of(context(consent=False), ref("acme/x"))
    assert disposal.owed == 1
    await asyncio.sleep(0.05)
    assert disposal.owed == 1
    shelf.down = False
    async with asyncio.timeout(5):
        while disposal.owed:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert shelf.objects == {}
    await disposal.close()


async def test_the_sweep_takes_what_is_over_by_its_class() -> None:
    shelf, retention = Shelf(), Retention.parse("standard=30,long=400")
    shelf.objects = dict.fromkeys(
        (
            "acme/p/class=standard/u/a",
            "acme/p/class=long/u/a",
            "acme/p/passing/u/a",
            "acme/upload.wav",
            "b/p/passing/u/a",
        )
    )  # type: ignore[assignment]
    made = datetime(2026, 9, 1, tzinfo=UTC)

    async def over(days: float, **only: str) -> list[str]:
        return await expired(shelf, retention, now=made + timedelta(days=days), **only)  # type: ignore[arg-type]

    assert await over(0.5) == []
    assert await over(2) == ["acme/p/passing/u/a", "b/p/passing/u/a"]
    assert await over(2, tenant="b") == ["b/p/passing/u/a"]
    assert "acme/p/class=long/u/a" not in await over(31)
    assert len(await over(31)) == 4
    assert len(await over(401)) == 5


async def test_a_sweep_that_was_broken_off_is_finished_by_the_next() -> None:
    shelf, now = Shelf(), datetime(2026, 9, 3, tzinfo=UTC)
    shelf.objects = {f"acme/p/passing/u{number}/a": b"" for number in range(5)} | {"acme/p/class=standard/u/a": b""}

    async def swept(**how: bool) -> Swept:
        return await sweep(shelf, STANDARD, now=now, **how)  # type: ignore[arg-type]

    assert await swept(dry_run=True) == Swept("", dry_run=True, over=5)
    shelf.deletes = 2
    assert await swept() == Swept("", dry_run=False, over=5, removed=2, fault="down")
    shelf.deletes = 1_000
    assert await swept() == Swept("", dry_run=False, over=3, removed=3)
    assert await swept() == Swept("", dry_run=False)
    assert list(shelf.objects) == ["acme/p/class=standard/u/a"]


async def test_a_person_s_media_are_those_in_their_folder_and_those_referred_to_of_their_tenant() -> None:
    shelf = Shelf()
    shelf.objects = dict.fromkeys(("acme/p/passing/u/a", "acme/q/passing/u/a", "acme/p2/class=x/u/a"), b"")
    referred = [("media", "acme/upload.wav"), ("media", "other/upload.wav"), ("secret", "acme/upload.wav")]
    found = await media_of(shelf, Subject("acme", "p"), referred)  # type: ignore[arg-type]
    assert found == ["acme/p/passing/u/a", "acme/upload.wav"]


@pytest.mark.parametrize("wrong", ["", "short=1", "standard", "standard=-1", "standard=x", "standard=1;short=2"])
def test_a_retention_that_says_too_little_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="standard"):
        PrivacySettings(media_days=wrong)
