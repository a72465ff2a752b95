"""Scores that a language model gave, kept by the hash of what it was asked. No word of it is kept."""

import hashlib
import json
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from multimood.errors import ConfigurationError

MOST: Final = 100_000
"""At about 200 bytes each."""
_BUSY_S: Final = 1.0
_TABLE: Final = "CREATE TABLE IF NOT EXISTS scores (number INTEGER PRIMARY KEY, asked BLOB UNIQUE, given TEXT)"


def digest(request: Mapping[str, Any]) -> bytes:
    """SHA-256 (32 bytes) of a request: the model, the rendered prompt, the schema and whatever else is asked."""
    return hashlib.sha256(
        json.dumps(request, sort_keys=True, ensure_ascii=False).encode("utf-8", "surrogatepass")
    ).digest()


class KeptScores:
    """Scores in an SQLite file, or in memory; the oldest go when there are more than `most`.

    Several processes may share a file. A file that fails later costs the kept scores, nothing else.
    """

    def __init__(self, path: Path | None = None, most: int = MOST) -> None:
        """Raise ConfigurationError when the file cannot be opened, or is none of these."""
        self._most = most
        try:
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
            self._file = sqlite3.connect(path or ":memory:", timeout=_BUSY_S, isolation_level=None)
            self._file.execute("PRAGMA journal_mode=WAL")
            self._file.execute(_TABLE)
        except (OSError, sqlite3.Error) as error:
            raise ConfigurationError(
                f"the judge's scores cannot be kept in {path} ({type(error).__name__}): name a file that can be written"
            ) from error

    def get(self, asked: bytes) -> dict[str, float] | None:
        """What was answered to the request with this digest."""
        try:
            row = self._file.execute("SELECT given FROM scores WHERE asked = ?", (asked,)).fetchone()
            return None if row is None else {str(name): float(score) for name, score in json.loads(row[0]).items()}
        except (sqlite3.Error, ValueError, AttributeError, TypeError):
            return None

    def keep(self, asked: bytes, given: Mapping[str, float]) -> None:
        """Keep an answer; of two to one request the first stays."""
        try:
            done = self._file.execute(
                "INSERT OR IGNORE INTO scores (asked, given) VALUES (?, ?)", (asked, json.dumps(dict(given)))
            )
            if done.lastrowid:
                self._file.execute("DELETE FROM scores WHERE number <= ?", (done.lastrowid - self._most,))
        except sqlite3.Error:
            return

    def close(self) -> None:
        """Close the file."""
        self._file.close()
