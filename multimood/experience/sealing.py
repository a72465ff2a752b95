"""What was said, sealed with the person's key: on the way into the log, and out of it.

A sealed column holds the JSON of its content columns, deflated and sealed (`multimood.privacy.seal`) about
`<row id>/<column>`. There is one for each part of a row that has content, so that parts are merged as ever.
"""

import asyncio
import json
import logging
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Literal

from multimood.errors import MultimoodError
from multimood.experience.schema import SEALED, Row
from multimood.privacy.keyring import Keyring
from multimood.privacy.keys import DataKey, ErasedError
from multimood.privacy.pseudonyms import Subject
from multimood.privacy.sealing import UnopenedError, key_id_of, seal, unseal

logger = logging.getLogger(__name__)

Status = Literal["clear", "opened", "sealed", "erased", "damaged"]
"""What became of a row's content: it was never sealed; it was opened; there is no master key to open it with; the
person was erased; it does not open."""
STATUS: Final = "content_status"
FIRST_PAUSE_S: Final = 0.05
LONGEST_PAUSE_S: Final = 5.0
_LARGEST: Final = 16 << 20
"""Bytes of one row's content. No honest row comes near it."""


def sealed_row(row: Row, key: DataKey) -> Row:
    """The row with its content in the sealed columns, and null where it was."""
    changed = dict(row)
    for column, contents in SEALED.items():
        content = {name: row[name] for name in contents if row[name] is not None}
        if content:
            data = zlib.compress(json.dumps(content, ensure_ascii=False).encode())
            changed |= {column: seal(key, data, f"{row['row_id']}/{column}"), **dict.fromkeys(contents)}
    return changed


def opened_row(row: Row, keys: Mapping[bytes, DataKey]) -> Row:
    """The row with its content where it was, opened with `keys`, by their ids. Raises UnopenedError."""
    changed = dict(row)
    for column in SEALED:
        if (sealed := row[column]) is not None:
            data = unseal(keys[key_id_of(sealed)], sealed, f"{row['row_id']}/{column}")
            inflate = zlib.decompressobj()
            changed |= json.loads(inflate.decompress(data, _LARGEST))
    return changed


def unsealed(rows: Iterable[Row], opens: "RowOpener") -> Iterator[Row]:
    """Copies of rows for readers without a key: opened as far as can be, and nothing in the sealed columns."""
    return (opens(row) | dict.fromkeys(SEALED) for row in rows)


class RowSeals:
    """Seals rows before they are written. While the key store is away they wait, as they do for the log's own store."""

    def __init__(self, keyring: Keyring, *, longest_pause_s: float = LONGEST_PAUSE_S) -> None:
        self._keyring = keyring
        self._longest_pause_s = longest_pause_s

    async def sealed(self, row: Row, subject: Subject, said_at_us: int) -> Row:
        """The row as it is to be written. Raises ErasedError when the person was erased after they said it."""
        pause = FIRST_PAUSE_S
        while True:
            try:
                key = await self._keyring.key_for(subject, said_at_us)
            except ErasedError:
                raise
            except MultimoodError as error:
                reason = str(getattr(error, "reason", error.code))
                logger.warning("a row waits for its key", extra={"reason": reason, "cause": str(error)})
                await asyncio.sleep(pause)
                pause = min(2 * pause, self._longest_pause_s)
            else:
                return sealed_row(row, key)


class RowOpener:
    """Opens rows for a reader; to be used outside of event loops. Counts what became of them.

    Raises UnavailableError when the key store does not answer: a log read with holes for that would deceive.
    """

    def __init__(self, keyring: Keyring | None, runner: asyncio.Runner) -> None:
        self._keyring = keyring
        self._runner = runner
        self.counts: Counter[Status] = Counter()

    def __call__(self, row: Row) -> Row:
        """The row with what was said where it can be read, null where not, and `content_status`."""
        opened, status = self._opened(row)
        self.counts[status] += 1
        return opened | {STATUS: status}

    def _opened(self, row: Row) -> tuple[Row, Status]:
        sealed = [row[column] for column in SEALED if row.get(column) is not None]
        if not sealed:
            return row, "clear"
        if self._keyring is None or row["subject"] is None:
            return row, "sealed"
        subject = Subject(row["tenant"], row["subject"])
        try:
            keys = {key_id_of(one): self._runner.run(self._keyring.find(subject, key_id_of(one))) for one in sealed}
            return opened_row(row, keys), "opened"
        except ErasedError:
            return row, "erased"
        except (UnopenedError, zlib.error, ValueError):
            return row, "damaged"
