"""Every person's data key: objects of the key store, read through a short cache. Key material stays in this process.

Two services that need a key at once get the same: it is made by a conditional write. Who reads a key keeps it for
`cache_s` at most, so that long after an erasure nothing is sealed or opened with the old one anywhere.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from multimood.errors import UnavailableError
from multimood.privacy.keys import DataKey, Entry, ErasedError, MasterKeys, marker, marker_of
from multimood.privacy.pseudonyms import Subject
from multimood.store.errors import ChangedObjectError, MissingObjectError

CACHE_S: Final = 30.0
CACHED: Final = 20_000
"""Persons whose keys are held at once, some 400 bytes each."""
LARGEST: Final = 4096
ATTEMPTS: Final = 8
"""Others who write the same key at the same moment."""
MEDIA_TYPE: Final = "application/json"


class KeyStore(Protocol):
    """What is needed of `multimood.store.Store`."""

    async def read_version(self, bucket: str, key: str, *, limit: int) -> tuple[bytes, str]:
        """Read an object and its tag. Raises MissingObjectError, UnavailableError."""

    async def put_version(self, bucket: str, key: str, data: bytes, media_type: str, *, replaces: str) -> None:
        """Write it if its tag is still `replaces`. Raises ChangedObjectError, UnavailableError."""


async def has_key(store: KeyStore, bucket: str, subject: Subject) -> bool:
    """Tell whether a person has a key. Raises UnavailableError."""
    try:
        data, _ = await store.read_version(bucket, subject.name, limit=LARGEST)
    except MissingObjectError:
        return False
    return marker_of(data)[0]


async def destroy(store: KeyStore, bucket: str, subject: Subject, at_us: int) -> bool:
    """Destroy a person's key and leave the time; tells whether there was one. Needs no master key.

    What was said until then (microseconds since the epoch) is never written again by whoever reads it again; what is
    said later gets a new key. Services that have read the old key forget it within `CACHE_S`. Raises UnavailableError.
    """
    for _ in range(ATTEMPTS):
        try:
            data, tag = await store.read_version(bucket, subject.name, limit=LARGEST)
        except MissingObjectError:
            data, tag = b"", ""
        there, before = marker_of(data)
        try:
            await store.put_version(bucket, subject.name, marker(max(at_us, before)), MEDIA_TYPE, replaces=tag)
        except ChangedObjectError:
            continue
        return there
    raise UnavailableError(f"the key of {subject.pseudonym} is being changed by others all the time")


class Keyring:
    """The keys of all persons. Calls raise UnavailableError (store away), ConfigurationError (another master key)."""

    def __init__(
        self,
        store: KeyStore,
        bucket: str,
        master: MasterKeys,
        *,
        cache_s: float = CACHE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._bucket = bucket
        self._master = master
        self._cache_s = cache_s
        self._clock = clock
        self._cache: OrderedDict[str, tuple[float, Entry]] = OrderedDict()

    async def key_for(self, subject: Subject, said_at_us: int) -> DataKey:
        """The person's present key, made when there is none.

        Raises ErasedError when what was said at that time (microseconds since the epoch) was erased since.
        """
        entry = await self._entry(subject)
        if entry.key is None and said_at_us > entry.erased_at_us:
            entry = await self._change(subject, lambda found: found if found.key is not None else found.renewed())
        if entry.key is None or said_at_us <= entry.erased_at_us:
            raise ErasedError(f"what {subject.pseudonym} said before {entry.erased_at_us} was erased")
        return entry.key

    async def find(self, subject: Subject, key_id: bytes) -> DataKey:
        """The key with this id. Raises ErasedError when it is there no more."""
        entry = await self._entry(subject)
        if entry.key is None or entry.key.id != key_id:
            entry = await self._read(subject)  # it may be newer than what we know
        if entry.key is None or entry.key.id != key_id:
            raise ErasedError(f"key {key_id.hex()} of {subject.pseudonym} was erased")
        return entry.key

    async def rewrap(self, name: str) -> bool:
        """Wrap the key of the object `name` by the present master key; False when it is already."""
        for _ in range(ATTEMPTS):
            data, tag = await self._store.read_version(self._bucket, name, limit=LARGEST)
            entry = self._master.unwrapped(data, name)
            if self._master.is_present(data):
                return False
            try:
                await self._put(name, entry, tag)
            except ChangedObjectError:
                await asyncio.sleep(0)  # a service renewed it, or it was erased: look at what they wrote
            else:
                return True
        raise UnavailableError(f"the key {name} is being changed by others all the time: run it again")

    # --- below -----------------------------------------------------------------------------------------------------

    async def _entry(self, subject: Subject) -> Entry:
        found = self._cache.get(subject.name)
        if found is not None and self._clock() - found[0] < self._cache_s:
            return found[1]
        return await self._read(subject)

    async def _read(self, subject: Subject) -> Entry:
        began = self._clock()
        entry, _ = await self._found(subject)
        return self._keep(subject, entry, began)

    async def _found(self, subject: Subject) -> tuple[Entry, str]:
        try:
            data, tag = await self._store.read_version(self._bucket, subject.name, limit=LARGEST)
        except MissingObjectError:
            return Entry(), ""
        return self._master.unwrapped(data, subject.name), tag

    async def _change(self, subject: Subject, change: Callable[[Entry], Entry]) -> Entry:
        for _ in range(ATTEMPTS):
            began = self._clock()
            entry, tag = await self._found(subject)
            changed = change(entry)
            if changed == entry and tag:
                return self._keep(subject, entry, began)
            try:
                await self._put(subject.name, changed, tag)
            except ChangedObjectError:
                await asyncio.sleep(0)  # somebody else was first: look at what they wrote
            else:
                return self._keep(subject, changed, began)
        raise UnavailableError(f"the key of {subject.pseudonym} is being changed by others all the time")

    def _put(self, name: str, entry: Entry, tag: str) -> Awaitable[None]:
        data = self._master.wrapped(entry, name)
        return self._store.put_version(self._bucket, name, data, MEDIA_TYPE, replaces=tag)

    def _keep(self, subject: Subject, entry: Entry, read_at: float) -> Entry:
        self._cache[subject.name] = read_at, entry
        self._cache.move_to_end(subject.name)
        if len(self._cache) > CACHED:
            self._cache.popitem(last=False)
        return entry
