"""Triton's model repository, in a folder or on S3: the versions of a policy model, and another one.

A version is never changed, and it is there whole or not at all: Triton may be told to load at any moment, by anybody.
"""

import contextlib
import hashlib
import os
import re
import shutil
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol
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
MEDIA_TYPE: Final = "application/octet-stream"
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
        """The SHA-256 of the graph of each version that is there."""

    async def read(self, model: str, version: int) -> bytes:
        """The graph of a version. Raises PromotionRefusedError when it is not there."""

    async def write(self, model: str, version: int, graph: bytes, config: str) -> None:
        """Add a version, and the model's configuration where there is none.

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
        graphs = (self.root / model).glob(f"*/{GRAPH}")
        found = {graph.parent.name: graph for graph in graphs if _NUMBER.fullmatch(graph.parent.name)}
        return {int(name): hashlib.sha256(graph.read_bytes()).digest() for name, graph in found.items()}

    async def read(self, model: str, version: int) -> bytes:
        """See Repository."""
        try:
            return (self.root / model / str(version) / GRAPH).read_bytes()
        except FileNotFoundError:
            raise _absent(model, version) from None

    async def write(self, model: str, version: int, graph: bytes, config: str) -> None:
        """See Repository. Triton takes no folder for a version whose name is no number."""
        if not self.root.is_dir():
            raise ConfigurationError(f"{self.root} is no folder: name Triton's model repository with --repository")
        folder = self.root / model
        folder.mkdir(exist_ok=True)
        part = folder / f".{os.getpid()}-{version}"
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        try:
            _write(part / GRAPH, graph)
            if not (folder / CONFIG).exists():
                _write(part / CONFIG, config.encode())
                (part / CONFIG).rename(folder / CONFIG)
            part.rename(folder / str(version))
        except FileExistsError:
            raise _taken(model, version) from None
        except OSError as error:
            if (folder / str(version)).exists():
                raise _taken(model, version) from None
            raise ConfigurationError(f"{folder} cannot be written ({error.strerror})") from None
        finally:
            shutil.rmtree(part, ignore_errors=True)

    async def remove(self, model: str, version: int) -> None:
        """See Repository."""
        folder = self.root / model
        gone = folder / f".{os.getpid()}-gone-{version}"
        with contextlib.suppress(FileNotFoundError):
            (folder / str(version)).rename(gone)  # at once for Triton
        shutil.rmtree(gone, ignore_errors=True)
        if not await self.versions(model):
            shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class BucketRepository:
    """On S3, under a prefix of a bucket."""

    store: Store
    bucket: str
    prefix: str

    async def versions(self, model: str) -> Mapping[int, bytes]:
        """See Repository."""
        base, found = self._key(model), {}
        for item in await self.store.list(self.bucket, f"{base}/"):
            name, _, file = item.key.removeprefix(f"{base}/").partition("/")
            if file == GRAPH and _NUMBER.fullmatch(name):
                graph = await self.store.read(self.bucket, item.key, limit=LARGEST)
                found[int(name)] = hashlib.sha256(graph).digest()
        return found

    async def read(self, model: str, version: int) -> bytes:
        """See Repository."""
        try:
            return await self.store.read(self.bucket, f"{self._key(model)}/{version}/{GRAPH}", limit=LARGEST)
        except MissingObjectError:
            raise _absent(model, version) from None

    async def write(self, model: str, version: int, graph: bytes, config: str) -> None:
        """See Repository."""
        base = self._key(model)
        with contextlib.suppress(ChangedObjectError):  # it is there
            await self.store.put_version(self.bucket, f"{base}/{CONFIG}", config.encode(), MEDIA_TYPE, replaces="")
        try:
            await self.store.put_version(self.bucket, f"{base}/{version}/{GRAPH}", graph, MEDIA_TYPE, replaces="")
        except ChangedObjectError:
            raise _taken(model, version) from None

    async def remove(self, model: str, version: int) -> None:
        """See Repository."""
        base = self._key(model)
        for item in await self.store.list(self.bucket, f"{base}/{version}/"):
            await self.store.delete(self.bucket, item.key)
        if not await self.versions(model):
            await self.store.delete(self.bucket, f"{base}/{CONFIG}")

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


def _write(file: Path, content: bytes) -> None:
    with file.open("wb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())


def _absent(model: str, version: int) -> PromotionRefusedError:
    return PromotionRefusedError(f"{model} version {version} is not in the repository any more")


def _taken(model: str, version: int) -> PromotionRefusedError:
    return PromotionRefusedError(f"{model} has got a version {version} meanwhile: somebody else promotes; try again")
