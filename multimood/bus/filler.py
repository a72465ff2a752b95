"""A record that says nothing: written so that the broker begins another file, and may delete the one before.

A file that is being written to is never deleted, whatever was purged from it. Every reader passes fillers by.
"""

from typing import Any, Final

HEADER: Final = "mm_filler"
HEADERS: Final = [(HEADER, b"1")]
KEY: Final = b"filler"
"""Compacted topics take no record without a key."""


def is_filler(record: Any) -> bool:
    """Tell whether a record of any topic is one."""
    return not record.value and any(name == HEADER for name, _ in record.headers or ())
