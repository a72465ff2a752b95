"""Triton's model repository, in a folder or on S3: the versions of a model, and another one.

A version is never changed, and it is there whole or not at all: Triton may be told to load at any moment, by anybody.
"""

import asyncio
import contextlib
import hashlib
import os
import re
import shutil
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, TypeAlias
from urllib.parse import urlsplit

from pydantic import SecretStr

from multimood.errors import ConfigurationError
from multimood.rollout.candidate import LARGEST
from multimood.rollout.errors import PromotionRefusedError
from multimood.settings import StoreSettings
from multimood.store import Store
from multimood.store.errors import ChangedObjectError, MissingObjectError

CONFIG: Final = "config.pbtxt"
GRAPH: Final = "model.onnx"
WEIGHTS: Final = "model.gguf"
PROGRAM: Final = ("chat.py", "engine.py", "model.py")
"""Of the responder: the same in each of its versions, whose weights lie beside it, but for those that are shipped."""
Content: TypeAlias = bytes | Path
"""Of a file: what is in it, or the file that it is copied from."""
MEDIA_TYPE: Final = "application/octet-stream"
_MADE_OF: Final = (GRAPH, WEIGHTS)
_MAKES_ONE: Final = (*_MADE_OF, "model.py")
_NUMBER: Final = re.compile(r"[1-9]\d{0,17}")
_KEYS: Final = {
    "AWS_ACCESS_KEY_ID": "access_key",
    "AWS_SECRET_ACCESS_KEY": "secret_key",
    "AWS_DEFAULT_REGION": "region",
}
"""Triton's own variables: the models' keys need not be those of the media."""


class Repository(Protocol):
    """A model repository. All raise UnavailableError when the place does not answer."""

    async def versions(self, model: str) -> Mapping[int, bytes]:
        """The SHA-256 of what makes each version: graph or weights; empty of one that has its program alone."""

    async def read(self, model: str, version: int, name: str = GRAPH) -> bytes:
        """A small file of a version. Raises PromotionRefusedError when it is not there."""

    async def config(self, model: str) -> str:
        """The model's configuration. Raises PromotionRefusedError when there is none."""

    async def write(self, model: str, version: int, files: Mapping[str, Content], config: str) -> None:
        """Add a version, and the model's configuration where there is none. The last of the files makes it one.

        Raises PromotionRefusedError when somebody has just added the same one.
        """

    async def remove(self, model: str, version: int) -> None:
        """Take a version away; of a model without versions nothing stays."""


@dataclass(frozen=True, slots=True)
class FolderRepository:
    """In a folder that Triton reads."""

    root: Path

    async def versions(self, model: str) -> Mapping[int, bytes]:
        """See Repository."""
        return await asyncio.to_thread(lambda: {number: _digest(folder) for number, folder in self._folders(model)})

    async def read(self, model: str, version: int, name: str = GRAPH) -> bytes:
        """See Repository."""
        try:
            return (self.root / model / str(version) / name).read_bytes()
        except FileNotFoundError:
            raise _absent(model, version) from None

    async def config(self, model: str) -> str:
        """See Repository."""
        try:
            return (self.root / model / CONFIG).read_text(encoding="utf-8")
        except FileNotFoundError:
            raise _unconfigured(model) from None

    async def write(self, model: str, version: int, files: Mapping[str, Content], config: str) -> None:
        """See Repository. Triton takes no folder for a version whose name is no number."""
        if not self.root.is_dir():
            raise ConfigurationError(f"{self.root} is no folder: name Triton's model repository with --repository")
        await asyncio.to_thread(self._write, self.root / model, version, files, config)

    async def remove(self, model: str, version: int) -> None:
        """See Repository."""
        folder = self.root / model
        gone = folder / f".{os.getpid()}-gone-{version}"
        with contextlib.suppress(FileNotFoundError):
            (folder / str(version)).rename(gone)  # at once for Triton
        shutil.rmtree(gone, ignore_errors=True)
        if not self._folders(model):
            shutil.rmtree(folder, ignore_errors=True)

    def _folders(self, model: str) -> list[tuple[int, Path]]:
        folders = (folder for folder in (self.root / model).glob("*") if _NUMBER.fullmatch(folder.name))
        return [
            (int(folder.name), folder) for folder in folders if any((folder / name).exists() for name in _MAKES_ONE)
        ]

    def _write(self, folder: Path, version: int, files: Mapping[str, Content], config: str) -> None:
        part = folder / f".{os.getpid()}-{version}"
        try:
            folder.mkdir(exist_ok=True)
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir()
            for name, content in files.items():
                _write(part / name, content)
            if not (folder / CONFIG).exists():
                _write(part / CONFIG, config.encode())
                (part / CONFIG).rename(folder / CONFIG)
            part.rename(folder / str(version))
        except FileExistsError:
            raise _taken(folder.name, version) from None
        except OSError as error:
            if (folder / str(version)).exists():
                raise _taken(folder.name, version) from None
            raise ConfigurationError(f"{folder} cannot be written ({error.strerror})") from None
        finally:
            shutil.rmtree(part, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class BucketRepository:
    """On S3, under a prefix of a bucket."""

    store: Store
    bucket: str
    prefix: str

    async def versions(self, model: str) -> Mapping[int, bytes]:
        """See Repository. What is there is read to know it: of weights that takes its time."""
        base, found = self._key(model), dict[int, bytes]()
        for item in await self.store.list(self.bucket, f"{base}/"):
            name, _, file = item.key.removeprefix(f"{base}/").partition("/")
            if not _NUMBER.fullmatch(name):
                continue
            if file in _MADE_OF:
                found[int(name)] = await self.store.digest(self.bucket, item.key)
            elif file in _MAKES_ONE:
                found.setdefault(int(name), b"")
        return found

    async def read(self, model: str, version: int, name: str = GRAPH) -> bytes:
        """See Repository."""
        try:
            return await self.store.read(self.bucket, f"{self._key(model)}/{version}/{name}", limit=LARGEST)
        except MissingObjectError:
            raise _absent(model, version) from None

    async def config(self, model: str) -> str:
        """See Repository."""
        try:
            return (await self.store.read(self.bucket, f"{self._key(model)}/{CONFIG}", limit=LARGEST)).decode()
        except MissingObjectError:
            raise _unconfigured(model) from None

    async def write(self, model: str, version: int, files: Mapping[str, Content], config: str) -> None:
        """See Repository."""
        base = self._key(model)
        if await self.store.list(self.bucket, f"{base}/{version}/", most=1):
            raise _taken(model, version)
        try:
            with contextlib.suppress(ChangedObjectError):  # it is there
                await self._put(f"{base}/{CONFIG}", config.encode())
            for name, content in files.items():
                await self._put(f"{base}/{version}/{name}", content)
        except ChangedObjectError:
            raise _taken(model, version) from None

    async def remove(self, model: str, version: int) -> None:
        """See Repository."""
        base = self._key(model)
        # Without the last of its files it is no version any more.
        for item in reversed(await self.store.list(self.bucket, f"{base}/{version}/")):
            await self.store.delete(self.bucket, item.key)
        if all(item.key == f"{base}/{CONFIG}" for item in await self.store.list(self.bucket, f"{base}/")):
            await self.store.delete(self.bucket, f"{base}/{CONFIG}")

    async def _put(self, key: str, content: Content) -> None:
        if isinstance(content, Path):
            await self.store.put_file(self.bucket, key, content, MEDIA_TYPE)
        else:
            await self.store.put_version(self.bucket, key, content, MEDIA_TYPE, replaces="")

    def _key(self, model: str) -> str:
        return f"{self.prefix}/{model}" if self.prefix else model


@contextlib.asynccontextmanager
async def repository_at(place: str, s3: StoreSettings) -> AsyncIterator[Repository]:
    """The repository at a place as Triton names it: a folder, s3://bucket/path, or s3://https://host:port/bucket/path.

    Raises:
        ConfigurationError: it cannot be read as one.
    """
    if not place.startswith("s3://"):
        yield FolderRepository(Path(place))
        return
    settings, bucket, prefix = _parsed(place, s3)
    store = Store(settings)
    try:
        await store.list(bucket, prefix, most=1)
        yield BucketRepository(store, bucket, prefix)
    except MissingObjectError:
        raise ConfigurationError(f"{place}: there is no bucket {bucket} on {settings.endpoint}") from None
    finally:
        await store.close()


def _parsed(place: str, s3: StoreSettings) -> tuple[StoreSettings, str, str]:
    rest = place.removeprefix("s3://")
    found = {field: os.environ[name] for name, field in _KEYS.items() if name in os.environ}
    change: dict[str, object] = {**found}
    if "secret_key" in found:
        change["secret_key"] = SecretStr(found["secret_key"])
    scheme, host, path = "", "", rest
    if rest.startswith(("http://", "https://")):
        parts = urlsplit(rest)
        scheme, host, path = parts.scheme, parts.netloc, parts.path.lstrip("/")
    elif ":" in rest.partition("/")[0]:
        host, _, path = rest.partition("/")
        scheme = "http"
    if host:
        change |= {"endpoint": host, "secure": scheme == "https"}
    bucket, _, prefix = path.partition("/")
    if not bucket:
        raise ConfigurationError(
            f"{place} names no bucket: write s3://bucket/path or s3://https://host:port/bucket/path"
        )
    return s3.model_copy(update=change), bucket, prefix.strip("/")


def _write(file: Path, content: Content) -> None:
    with file.open("wb") as out:
        if isinstance(content, Path):
            with content.open("rb") as source:
                shutil.copyfileobj(source, out, 1 << 20)
        else:
            out.write(content)
        out.flush()
        os.fsync(out.fileno())


def _digest(folder: Path) -> bytes:
    made_of = next((folder / name for name in _MADE_OF if (folder / name).exists()), None)
    if made_of is None:
        return b""
    with made_of.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _absent(model: str, version: int) -> PromotionRefusedError:
    return PromotionRefusedError(f"{model} version {version} is not in the repository any more")


def _unconfigured(model: str) -> PromotionRefusedError:
    return PromotionRefusedError(f"{model} is not in the repository, or has no {CONFIG}: name another --repository")


def _taken(model: str, version: int) -> PromotionRefusedError:
    return PromotionRefusedError(f"{model} has got a version {version} meanwhile: somebody else promotes; try again")
