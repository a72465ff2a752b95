"""Where `multimood rl` puts a policy or a reply model into service: model repository, Triton, audit."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from multimood.cli.brokers import kafka_of
from multimood.cli.logplace import store_of
from multimood.errors import UnavailableError
from multimood.local.endpoints import Endpoints
from multimood.perception.fusion import Taxonomy
from multimood.perception.strategy import MODEL
from multimood.rollout.audit import Audit, BucketShelf, FolderShelf
from multimood.rollout.candidate import Candidate, PolicyCandidate, ReplyCandidate
from multimood.rollout.errors import PromotionRefusedError
from multimood.rollout.settings import RolloutSettings
from multimood.rollout.shipped import REPLIES, shipped
from multimood.rollout.standing import NONE, Version
from multimood.settings import StoreSettings

if TYPE_CHECKING:
    from multimood.rollout.bring import Goods, Place
    from multimood.rollout.repository import Repository


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


def policy_model_of(taxonomy: Taxonomy) -> str:
    """The policy model's name by default."""
    return MODEL[taxonomy] or f"policy_{taxonomy}"


def model_of(candidate: Candidate, named: str = "") -> str:
    """The name that a candidate is served under on Triton: the one that is `named`, else the usual one.

    Raises:
        PromotionRefusedError: it is none for such a candidate.
    """
    if isinstance(candidate, ReplyCandidate):
        if named not in {"", REPLIES}:
            raise PromotionRefusedError(f"a reply model goes into service as {REPLIES}, not as {named}")
        return REPLIES
    assert isinstance(candidate, PolicyCandidate)
    if named == REPLIES:
        raise PromotionRefusedError(f"{REPLIES} is the reply model, and this is a policy")
    return named or policy_model_of(candidate.taxonomy)


def goods_of(candidate: Candidate) -> "Goods":
    """What is brought of it."""
    from multimood.rollout.policies import PolicyGoods  # noqa: PLC0415 - numpy
    from multimood.rollout.replies import ReplyGoods  # noqa: PLC0415

    if isinstance(candidate, ReplyCandidate):
        return ReplyGoods(candidate)
    assert isinstance(candidate, PolicyCandidate)
    return PolicyGoods(candidate)


@contextlib.asynccontextmanager
async def placed(where: Where, model: str) -> "AsyncIterator[Place]":
    """A model's repository and servers. Raises UnavailableError, ConfigurationError."""
    from multimood.rollout.bring import Place  # noqa: PLC0415 - numpy
    from multimood.rollout.serving import Servers  # noqa: PLC0415

    address = where.triton or f"127.0.0.1:{_local(where).ports['triton.http']}"
    servers = await asyncio.to_thread(Servers.at, address)
    async with _repository(where) as repository:
        yield Place(model, repository, servers, shipped(model))


async def served(where: Where, model: str) -> tuple[Version, bytes]:
    """The champion of now and its graph; no graph where it passes the fusion model's own distribution on.

    Raises:
        PromotionRefusedError: the graph is not in the repository, or is another. UnavailableError, ConfigurationError.
    """
    from multimood.rollout.steps import course_of, steps_of  # noqa: PLC0415 - the bus

    champion = course_of(await steps_of(kafka_of(where.data), model), shipped(model)).standing.champion
    if champion in {NONE, shipped(model)}:  # whoever promoted nothing needs no repository that can be read
        return champion, b""
    async with _repository(where) as repository:
        graph = await repository.read(model, int(champion.version))
    if hashlib.sha256(graph).digest() != champion.sha256:
        raise PromotionRefusedError(f"{model} version {champion.version} is another graph than the one that serves")
    return champion, graph


@contextlib.asynccontextmanager
async def _repository(where: Where) -> "AsyncIterator[Repository]":
    from multimood.rollout.repository import repository_at  # noqa: PLC0415 - slow to import

    folder = where.repository or str(_local(where).data.models)
    s3 = store_of(where.data) if folder.startswith("s3://") else StoreSettings()
    async with repository_at(folder, s3) as repository:
        yield repository


def _local(where: Where) -> Endpoints:
    try:
        return Endpoints.of(where.data)
    except UnavailableError as error:
        raise UnavailableError(f"{error}; or say --repository and --triton") from None


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
    there = await place.versions()
    if not (name.isascii() and name.isdecimal() and int(name) in there):
        known = ", ".join(map(str, sorted(there))) or "none"
        raise PromotionRefusedError(f"{place.model} has no version {name!r}; there are {known}")
    return Version(str(int(name)), there[int(name)])
