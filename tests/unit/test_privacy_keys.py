"""Persons' keys: one for everybody who asks, gone when destroyed, safe from other masters and places."""

import asyncio
import json

import pytest
from reward_events import PSEUDONYMS, MemoryStore, context

from multimood.errors import ConfigurationError, UnavailableError
from multimood.privacy import ErasedError, Keyring, MasterKeys, Subject, UnopenedError, key_id_of, seal, unseal
from multimood.privacy.keyring import CACHE_S, destroy, has_key
from multimood.privacy.keys import DataKey, Entry
from multimood.settings import PrivacySettings

pytestmark = pytest.mark.unit

MASTER = MasterKeys("a master key for tests")
ONE, OTHER = Subject("acme", "0a" * 16), Subject("acme", "0b" * 16)
T0 = 1_000_000


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def keyring(store: MemoryStore, clock: Clock | None = None, master: MasterKeys = MASTER) -> Keyring:
    return Keyring(store, "keys", master, clock=clock or Clock())


def test_what_is_sealed_opens_with_its_key_in_its_place_only() -> None:
    key = DataKey.random()
    sealed = seal(key, b"words", "row/1")
    assert unseal(key, sealed, "row/1") == b"words"
    assert key_id_of(sealed) == key.id
    assert b"words" not in sealed
    assert seal(key, b"words", "row/1") != sealed, "equal words must not look equal"
    damaged = [
        (key, sealed, "row/2"),
        (DataKey(key.id, DataKey.random().secret), sealed, "row/1"),
        (DataKey.random(), sealed, "row/1"),
        (key, sealed[:-1] + bytes([sealed[-1] ^ 1]), "row/1"),
        (key, sealed[:20], "row/1"),
        (key, b"", "row/1"),
    ]
    for with_key, data, about in damaged:
        with pytest.raises(UnopenedError):
            unseal(with_key, data, about)


def test_secrets_are_in_no_text() -> None:
    key = DataKey.random()
    wrapped = MASTER.wrapped(Entry(key), "acme/x")
    assert key.secret.hex() not in repr(key)
    assert repr(key.secret) not in repr(key)
    assert key.secret not in wrapped
    assert "a master key" not in repr(PrivacySettings(master_key="a master key for tests"))


async def test_two_who_need_a_key_at_once_get_the_same() -> None:
    store = MemoryStore(slow=3)
    found = await asyncio.gather(*(keyring(store).key_for(ONE, T0) for _ in range(6)))
    assert len({key.id for key in found}) == 1
    assert (await keyring(store).key_for(OTHER, T0)).id != found[0].id
    assert sorted(store.objects) == [ONE.name, OTHER.name]


async def test_a_destroyed_key_is_gone_for_what_was_said_before_and_new_for_what_comes_after() -> None:
    store = MemoryStore()
    before = await keyring(store).key_for(ONE, T0)
    assert await has_key(store, "keys", ONE)
    assert await destroy(store, "keys", ONE, T0 + 10)
    assert not await has_key(store, "keys", ONE)
    assert not await destroy(store, "keys", ONE, T0 + 5), "said again it changes nothing"
    assert "wrapped" not in json.loads(store.objects[ONE.name])
    keys = keyring(store)
    with pytest.raises(ErasedError):
        await keys.find(ONE, before.id)
    for said_at in (T0, T0 + 10):
        with pytest.raises(ErasedError):
            await keys.key_for(ONE, said_at)
    after = await keys.key_for(ONE, T0 + 11)
    assert after.id != before.id
    with pytest.raises(ErasedError):
        await keys.key_for(ONE, T0)
    with pytest.raises(ErasedError):
        await keyring(store).find(ONE, before.id)


async def test_one_who_never_had_a_key_can_be_erased() -> None:
    store = MemoryStore()
    assert not await destroy(store, "keys", ONE, T0)
    with pytest.raises(ErasedError):
        await keyring(store).key_for(ONE, T0)


async def test_an_erasure_takes_hold_within_the_cache_s_time() -> None:
    store, clock = MemoryStore(), Clock()
    keys = keyring(store, clock)
    old = await keys.key_for(ONE, T0)
    await destroy(store, "keys", ONE, T0 + 10)
    clock.now = CACHE_S - 0.1
    assert (await keys.key_for(ONE, T0)).id == old.id
    clock.now = CACHE_S
    with pytest.raises(ErasedError):
        await keys.key_for(ONE, T0)


async def test_reading_is_one_call_per_person_and_time() -> None:
    store, clock = MemoryStore(), Clock()
    await keyring(store).key_for(ONE, T0)
    keys = keyring(store, clock)
    key = await keys.key_for(ONE, T0)
    store.down = True
    assert (await keys.find(ONE, key.id)).id == key.id
    with pytest.raises(UnavailableError):
        await keys.key_for(OTHER, T0)


async def test_a_key_that_is_newer_than_the_cache_is_found() -> None:
    store = MemoryStore()
    reader = keyring(store)
    with pytest.raises(ErasedError):
        await reader.find(ONE, bytes(8))
    made = await keyring(store).key_for(ONE, T0)
    assert (await reader.find(ONE, made.id)).secret == made.secret


async def test_another_master_key_is_told_and_destroys_all_the_same() -> None:
    store = MemoryStore()
    await keyring(store).key_for(ONE, T0)
    strangers = keyring(store, master=MasterKeys("quite another secret"))
    with pytest.raises(ConfigurationError, match="MULTIMOOD_MASTER_KEYS_FORMER"):
        await strangers.key_for(ONE, T0)
    assert await destroy(store, "keys", ONE, T0)


async def test_keys_are_rewrapped_by_a_new_master_key() -> None:
    store = MemoryStore()
    key = await keyring(store).key_for(ONE, T0)
    both = MasterKeys("the new master key", "a master key for tests")
    assert (await keyring(store, master=both).key_for(ONE, T0)).secret == key.secret
    assert await keyring(store, master=both).rewrap(ONE.name)
    assert not await keyring(store, master=both).rewrap(ONE.name)
    alone = keyring(store, master=MasterKeys("the new master key"))
    assert (await alone.key_for(ONE, T0)).secret == key.secret
    with pytest.raises(ConfigurationError):
        await keyring(store).key_for(ONE, T0)


async def test_a_key_that_others_change_meanwhile_is_rewrapped_as_they_left_it() -> None:
    store, both = MemoryStore(slow=3), MasterKeys("the new master key", "a master key for tests")
    await keyring(store).key_for(ONE, T0)
    erasing = asyncio.create_task(destroy(store, "keys", ONE, T0 + 5))
    await asyncio.sleep(0)
    await keyring(store, master=both).rewrap(ONE.name)  # it has read the key that is no more when it writes
    assert await erasing
    with pytest.raises(ErasedError):
        await keyring(store, master=both).key_for(ONE, T0)


@pytest.mark.parametrize("change", [b"", b"{}", b"[]", b'{"erased_at_us": "x"}'])
async def test_a_damaged_entry_is_told(change: bytes) -> None:
    store = MemoryStore(objects={ONE.name: change})
    with pytest.raises(ConfigurationError, match="restore"):
        await keyring(store).key_for(ONE, T0)


async def test_a_key_that_was_put_in_another_s_place_does_not_open_there() -> None:
    store = MemoryStore()
    await keyring(store).key_for(ONE, T0)
    store.objects[OTHER.name] = store.objects[ONE.name]
    with pytest.raises(ConfigurationError, match="changed"):
        await keyring(store).key_for(OTHER, T0)


def test_a_person_is_named_by_the_platform_or_by_the_conversation() -> None:
    said = context()
    assert PSEUDONYMS.subject(said).pseudonym == PSEUDONYMS.conversation("acme", "c1")
    said.subject = "jane.doe"
    person = PSEUDONYMS.subject(said)
    assert person == PSEUDONYMS.person("acme", "jane.doe")
    assert "jane" not in person.name
    assert PSEUDONYMS.person("other", "jane.doe").pseudonym != person.pseudonym
    said.subject = "c1"
    assert PSEUDONYMS.subject(said).pseudonym != PSEUDONYMS.conversation("acme", "c1"), "a person is no conversation"


@pytest.mark.parametrize("wrong", ["short", "x" * 15])
def test_a_short_master_key_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="openssl rand"):
        PrivacySettings(master_key=wrong)
