"""A person's media out of the store, and media whose time is over."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from multimood.errors import NotFoundError, UnavailableError
from multimood.privacy.pseudonyms import Subject
from multimood.retention import Retention
from multimood.store import ObjectInfo, Store

MOST: Final = 10_000_000
_SHELF: Final = 2
"""Which part of an object's name says how long it is kept: `<tenant>/<person>/<shelf>/...`."""

Advance = Callable[[int, int], None]


async def media_of(store: Store, subject: Subject, referred: Iterable[tuple[str, str]] = ()) -> list[str]:
    """Names of a person's media: those that we stored, and of the `referred` objects those of the tenant.

    Raises StoreUnavailableError.
    """
    try:
        stored = [one.key for one in await store.list(store.media_bucket, f"{subject.name}/", most=MOST)]
    except NotFoundError:
        stored = []
    uploaded = [
        key for bucket, key in referred if bucket == store.media_bucket and key.startswith(f"{subject.tenant}/")
    ]
    return list(dict.fromkeys([*stored, *(key for key in uploaded if not key.startswith(f"{subject.name}/"))]))


async def remove(store: Store, names: Iterable[str]) -> int:
    """Delete media; gives how many. Raises StoreUnavailableError."""
    count = 0
    for name in names:
        await store.delete(store.media_bucket, name)
        count += 1
    return count


async def expired(store: Store, retention: Retention, *, now: datetime | None = None, tenant: str = "") -> list[str]:
    """Names of the media whose time is over. Raises StoreUnavailableError."""
    at = now or datetime.now(UTC)
    found = await store.list(store.media_bucket, f"{tenant}/" if tenant else "", most=MOST)
    return [one.key for one in found if _is_over(one, retention, at)]


@dataclass(slots=True)
class Swept:
    """What a sweep found, and did."""

    tenant: str
    """Whose media; empty: of all tenants."""
    dry_run: bool
    over: int = 0
    """Media whose time is over."""
    removed: int = 0
    fault: str = ""
    """Why it ended before all of them were removed; empty: it did not. Doing it again does the rest."""


async def sweep(
    store: Store, retention: Retention, *, tenant: str = "", dry_run: bool = False, now: datetime | None = None
) -> Swept:
    """Remove the media whose time is over. The store being away ends it, and is told."""
    swept = Swept(tenant, dry_run)
    try:
        names = await expired(store, retention, now=now, tenant=tenant)
        swept.over = len(names)
        for name in names if not dry_run else ():
            swept.removed += await remove(store, [name])
    except UnavailableError as error:
        swept.fault = str(error)
    return swept


def _is_over(one: ObjectInfo, retention: Retention, now: datetime) -> bool:
    parts = one.key.split("/")
    shelf = parts[_SHELF] if len(parts) > _SHELF else ""
    return one.modified is not None and now - one.modified > timedelta(days=retention.days_of(shelf))
