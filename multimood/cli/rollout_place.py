"""Where `multimood rl` puts a policy into service: model repository, Triton, audit."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from multimood.cli.logplace import store_of
from multimood.errors import UnavailableError
from multimood.local.endpoints import Endpoints
from multimood.models import recorded
from multimood.perception.strategy import MODEL, SHIPPED
from multimood.rollout.audit import Audit, BucketShelf, FolderShelf
from multimood.rollout.errors import PromotionRefusedError
from multimood.rollout.settings import RolloutSettings
from multimood.rollout.standing import NONE, Version
from multimood.settings import StoreSettings

if TYPE_CHECKING:
    from multimood.rollout.bring import Place

GRAPH: Final = "triton_models/policy/1/model.onnx"


@dataclass(frozen=True, slots=True)
class Where:
    """What options and environment say of the places; empty: the local system's."""

    data: Path
    repository: str
    triton: str
    audit: str

    @classmethod
    def of(cls, data: Path, repository: str, triton: str, audit: str) -> "Where":
        """An option counts more than the environment."""
        own = RolloutSettings()
        return cls(data, repository or own.repository, triton or own.triton, audit or own.audit)


def shipped_of(model: str) -> Version:
    """The champion while nothing was promoted: the version that is shipped, of a model that is."""
    if model != MODEL["mesc"]:
        return NONE
    return Version(SHIPPED, bytes.fromhex(recorded(model).files[GRAPH]))


@contextlib.asynccontextmanager
async def placed(where: Where, model: str) -> "AsyncIterator[Place]":
    """A policy model's repository and servers. Raises UnavailableError, ConfigurationError."""
    from multimood.rollout.bring import Place  # noqa: PLC0415 - numpy
    from multimood.rollout.repository import repository_at  # noqa: PLC0415
    from multimood.rollout.serving import Servers  # noqa: PLC0415

    folder, address = where.repository, where.triton
    if not (folder and address):
        try:
            local = Endpoints.of(where.data)
        except UnavailableError as error:
            raise UnavailableError(f"{error}; or say --repository and --triton") from None
        folder = folder or str(local.data.models)
        address = address or f"127.0.0.1:{local.ports['triton.http']}"
    servers = await asyncio.to_thread(Servers.at, address)
    s3 = store_of(where.data) if folder.startswith("s3://") else None
    async with repository_at(folder, s3 or StoreSettings()) as repository:
        yield Place(model, repository, servers)


@contextlib.asynccontextmanager
async def audited(where: Where) -> AsyncIterator[Audit]:
    """The audit. Raises UnavailableError when no store is known."""
    from multimood.store import Store  # noqa: PLC0415

    if where.audit:
        yield Audit(FolderShelf(Path(where.audit)))
        return
    s3 = store_of(where.data)
    store = Store(s3)
    try:
        yield Audit(BucketShelf(store, s3.experience_bucket))
    finally:
        await store.close()


async def named(place: "Place", name: str) -> Version:
    """A version in the repository. Raises PromotionRefusedError for one that is not there."""
    there = await place.repository.versions(place.model)
    if not (name.isascii() and name.isdecimal() and int(name) in there):
        known = ", ".join(map(str, sorted(there))) or "none"
        raise PromotionRefusedError(f"{place.model} has no version {name!r}; there are {known}")
    return Version(str(int(name)), there[int(name)])
