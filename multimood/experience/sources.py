"""Where the log lies: a folder, a file, or a bucket of an S3 store."""

import asyncio
import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, Self
from urllib.parse import urlsplit

from multimood.errors import ConfigurationError, NotFoundError
from multimood.experience.naming import PREFIXES
from multimood.experience.sealing import RowOpener
from multimood.experience.table import MEDIA_TYPE
from multimood.privacy.keyring import Keyring
from multimood.privacy.keys import MasterKeys
from multimood.settings import PrivacySettings, StoreSettings
from multimood.store import Store

LARGEST_OBJECT: Final = 1 << 30
MOST_OBJECTS: Final = 10_000_000
LISTING_S: Final = 300.0
SUFFIX: Final = ".parquet"
S3: Final = "s3://"


@dataclass(frozen=True, slots=True)
class Found:
    """An object of the log."""

    name: str
    size_bytes: int


class Source(Protocol):
    """Where the log lies, for reading."""

    def objects(self) -> Sequence[Found]:
        """All objects whose names end in `.parquet`, in order of names."""

    def read(self, name: str) -> bytes:
        """The content of one. Raises NotFoundError when it is not there any more."""


class Place(Source, Protocol):
    """The same, for compaction."""

    def write(self, name: str, data: bytes) -> None:
        """Put an object there, whole or not at all."""

    def remove(self, name: str) -> None:
        """Take it away; one that is not there is away already."""


@dataclass(frozen=True, slots=True)
class Folder:
    """The log in a folder: a copy of the bucket, or Parquet files that somebody made of it. One file works too."""

    path: Path

    def objects(self) -> Sequence[Found]:
        """List the files. Raises NotFoundError when there is no such folder."""
        if not self.path.exists():
            raise NotFoundError(f"{self.path} does not exist: give a folder with Parquet files, or one file")
        files = [self.path] if self.path.is_file() else self.path.rglob(f"*{SUFFIX}")
        return sorted((Found(str(file), file.stat().st_size) for file in files), key=lambda found: found.name)

    def read(self, name: str) -> bytes:
        """Read a file. Raises NotFoundError."""
        try:
            return Path(name).read_bytes()
        except FileNotFoundError:
            raise NotFoundError(f"{name} is gone since it was listed") from None

    def read_version(self, name: str) -> tuple[bytes, str]:
        """Read a file; nobody else writes into a folder, so there is nothing to tell its versions by."""
        return self.read(name), ""

    def replace(self, name: str, data: bytes, tag: str) -> None:  # noqa: ARG002 - see read_version
        """Write a file in the place of the one that was read."""
        self.write(name, data)

    def write(self, name: str, data: bytes) -> None:
        """Write a file beside its place, make it durable, then name it."""
        part = Path(f"{name}.part")
        part.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        part.replace(name)

    def remove(self, name: str) -> None:
        """Delete a file."""
        Path(name).unlink(missing_ok=True)


class Bucket(AbstractContextManager["Bucket"]):
    """The log in the experience bucket of an S3 store. Not to be used inside a running event loop.

    `below`: objects are looked for under this prefix only, instead of where the reward service writes them.
    """

    def __init__(self, settings: StoreSettings, below: str = "") -> None:
        self._bucket = settings.experience_bucket
        self._keys_bucket = settings.keys_bucket
        self._below = below
        self._runner = asyncio.Runner()
        self._store = Store(settings, deadline_s=LISTING_S)

    def opener(self, privacy: PrivacySettings) -> RowOpener:
        """Opens what is sealed, with the keys of the same store; without a master key it only counts."""
        master = MasterKeys.of(privacy)
        keyring = Keyring(self._store, self._keys_bucket, master) if master is not None else None
        return RowOpener(keyring, self._runner)

    def objects(self) -> Sequence[Found]:
        """List the objects. Raises MissingObjectError (no such bucket), StoreUnavailableError."""
        prefixes = (self._below,) if self._below else PREFIXES
        listed = [self._runner.run(self._store.list(self._bucket, prefix, most=MOST_OBJECTS)) for prefix in prefixes]
        return [Found(i.key, i.size_bytes) for items in listed for i in items if i.key.endswith(SUFFIX)]

    def read(self, name: str) -> bytes:
        """Read an object. Raises MissingObjectError, StoreUnavailableError."""
        return self._runner.run(self._store.read(self._bucket, name, limit=LARGEST_OBJECT))

    def read_version(self, name: str) -> tuple[bytes, str]:
        """Read an object and its tag. Raises MissingObjectError, StoreUnavailableError."""
        return self._runner.run(self._store.read_version(self._bucket, name, limit=LARGEST_OBJECT))

    def replace(self, name: str, data: bytes, tag: str) -> None:
        """Write an object if it is still the one that was read. Raises ChangedObjectError, StoreUnavailableError."""
        self._runner.run(self._store.put_version(self._bucket, name, data, MEDIA_TYPE, replaces=tag))

    def write(self, name: str, data: bytes) -> None:
        """Write an object. Raises StoreUnavailableError."""
        self._runner.run(self._store.put(self._bucket, name, data, MEDIA_TYPE))

    def remove(self, name: str) -> None:
        """Delete an object. Raises StoreUnavailableError."""
        self._runner.run(self._store.delete(self._bucket, name))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.run(self._store.close())
        self._runner.close()


@contextmanager
def keys_of(settings: StoreSettings | None, privacy: PrivacySettings) -> Iterator[RowOpener]:
    """Opens what is sealed in a log that lies elsewhere, with the keys of the store of `settings` if there is one."""
    if settings is None:
        with asyncio.Runner() as runner:
            yield RowOpener(None, runner)
        return
    with Bucket(settings) as bucket:
        yield bucket.opener(privacy)


@contextmanager
def opened(place: str, settings: StoreSettings | None) -> Iterator[Folder | Bucket]:
    """Open a folder, a file, or `s3://bucket/prefix` on the store of `settings`.

    Raises:
        ConfigurationError: no bucket is named, or there is no store to look for it.
    """
    if not place.startswith(S3):
        yield Folder(Path(place))
        return
    url = urlsplit(place)
    if not url.netloc:
        raise ConfigurationError(f"{place!r} names no bucket: write s3://bucket or s3://bucket/prefix")
    if settings is None:
        raise ConfigurationError(f"{place} is on which store? Set MULTIMOOD_S3_ENDPOINT and its keys")
    named = settings.model_copy(update={"experience_bucket": url.netloc})
    with Bucket(named, url.path.lstrip("/")) as bucket:
        yield bucket
