"""The S3 store: media by reference, and the experience log. Every service uses this one client."""

from multimood.store.client import ObjectInfo, Store
from multimood.store.errors import (
    ChangedObjectError,
    MissingObjectError,
    RefusedReferenceError,
    StoreUnavailableError,
)

__all__ = [
    "ChangedObjectError",
    "MissingObjectError",
    "ObjectInfo",
    "RefusedReferenceError",
    "Store",
    "StoreUnavailableError",
]
