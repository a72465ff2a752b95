"""One object of the log: rows to bytes, bytes to rows, and rows into an object that has some already. Pure."""

import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from multimood.errors import MultimoodError
from multimood.experience.record import merge
from multimood.experience.schema import FEEDBACK_SCHEMA, SCHEMA, Row

MEDIA_TYPE: Final = "application/vnd.apache.parquet"


class DamagedObjectError(MultimoodError):
    """An object of the log that cannot be read as what it should be."""

    code = "damaged_object"


@dataclass(frozen=True, slots=True)
class Table:
    """How one of the two tables is kept."""

    schema: Any
    key: str
    """The column whose equal values mean the same row."""
    order: str
    """The column by which an object's rows are ordered; nulls last."""
    merge: Callable[[Row, Row], Row]
    """Makes one row of an old and a new one with the same key."""


EXPERIENCE_TABLE: Final = Table(SCHEMA, "row_id", "reply_offset", merge)
FEEDBACK_TABLE: Final = Table(FEEDBACK_SCHEMA, "feedback_id", "feedback_offset", lambda old, _new: old)


def encode(rows: Sequence[Row], schema: Any) -> bytes:
    """Rows as a Parquet file (zstd); the same rows give the same bytes. Raises pyarrow.ArrowException."""
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(rows), schema=schema), out, compression="zstd")
    return out.getvalue()


def merged(data: bytes, rows: Sequence[Row], table: Table) -> bytes | None:
    """Put rows into an object that holds `data` (empty: there is none). None when nothing changes by that.

    Columns that this version does not know are kept. Raises DamagedObjectError when `data` is no such object.
    """
    schema, before = _load(data, table) if data else (table.schema, [])
    by_key: dict[str, Row] = {row[table.key]: row for row in before}
    for row in rows:
        old = by_key.get(row[table.key])
        by_key[row[table.key]] = row if old is None else table.merge(old, row)
    after = _ordered(by_key.values(), table)
    new = pa.Table.from_pylist(after, schema=schema)
    if data and new.equals(pa.Table.from_pylist(before, schema=schema)):
        return None
    return encode(after, schema)


def joined(objects: Sequence[bytes], table: Table) -> bytes:
    """One object of several: each key once, columns that this version does not know kept. Raises DamagedObjectError."""
    schema = table.schema
    by_key: dict[str, Row] = {}
    for data in objects:
        found, rows = _load(data, table)
        schema = pa.unify_schemas([schema, found])
        for row in rows:
            old = by_key.get(row[table.key])
            by_key[row[table.key]] = row if old is None else table.merge(old, row)
    return encode(_ordered(by_key.values(), table), schema)


def without_rows(data: bytes, columns: Sequence[str], drop: Callable[[Row], bool]) -> tuple[bytes, int]:
    """An object without the rows that `drop` names by these columns (null where it lacks one), and how many those are.

    Everything else stays as it is: schema, order, columns that this version does not know. Raises DamagedObjectError.
    """
    try:
        found = pq.read_table(io.BytesIO(data))
    except (pa.ArrowException, OSError) as error:
        raise DamagedObjectError(f"{len(data)} bytes are no table of the log: {type(error).__name__}") from None
    names = [name for name in columns if name in found.column_names]
    kept = [not drop(dict.fromkeys(columns) | row) for row in found.select(names).to_pylist()]
    gone = len(kept) - sum(kept)
    if not gone:
        return data, 0
    out = io.BytesIO()
    pq.write_table(found.filter(pa.array(kept, pa.bool_())), out, compression="zstd")
    return out.getvalue(), gone


def contains(whole: Iterable[Row], part: Iterable[Row], table: Table) -> set[str]:
    """The keys of those rows of `part` that would change nothing if they were put into `whole`."""
    wanted = {row[table.key]: row for row in part}
    return {
        row[table.key]
        for row in whole
        if row[table.key] in wanted and _known(table.merge(row, wanted[row[table.key]])) == _known(row)
    }


def _known(row: Row) -> Row:
    """A column that a file lacks is as one that is null."""
    return {name: value for name, value in row.items() if value is not None}


def _ordered(rows: Iterable[Row], table: Table) -> list[Row]:
    return sorted(rows, key=lambda row: (row[table.order] is None, row[table.order] or 0, row[table.key]))


def _load(data: bytes, table: Table) -> tuple[Any, list[Row]]:
    try:
        found = pq.read_table(io.BytesIO(data))
        schema = pa.unify_schemas([table.schema, found.schema.remove_metadata()])
    except (pa.ArrowException, OSError) as error:  # damage inside the file comes as an OSError
        raise DamagedObjectError(f"{len(data)} bytes are no table of the log: {type(error).__name__}") from None
    if table.key not in found.column_names:
        raise DamagedObjectError(f"a table of the log lacks its column {table.key}")
    return schema, pa.Table.from_pylist(found.to_pylist(), schema=schema).to_pylist()


def read_rows(data: bytes) -> list[Row]:
    """All rows of an object. Raises DamagedObjectError."""
    return [row for batch in batches(data) for row in batch]


def batches(data: bytes, columns: Sequence[str] | None = None) -> Iterator[Sequence[Row]]:
    """Read a Parquet file a few hundred rows at a time; `columns` it lacks are left out.

    Raises DamagedObjectError when it is none.
    """
    try:
        file = pq.ParquetFile(io.BytesIO(data))
        chosen = None if columns is None else [name for name in columns if name in file.schema_arrow.names]
        for batch in file.iter_batches(batch_size=256, columns=chosen):
            yield batch.to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise DamagedObjectError(f"{len(data)} bytes are no Parquet file: {type(error).__name__}") from None


_KINDS: Final[Sequence[tuple[str, Callable[[Any], bool]]]] = (
    ("number", pa.types.is_integer),
    ("number", pa.types.is_floating),
    ("text", pa.types.is_string),
    ("text", pa.types.is_large_string),
    ("list", pa.types.is_list),
    ("list", pa.types.is_large_list),
    ("time", pa.types.is_timestamp),
)
"""Types that read alike: other tools write a table in their own."""


def check_kinds(data: bytes) -> None:
    """Raise DamagedObjectError when a column of the rows is of a type that no reader of rows expects."""
    for name, given in types_of(data).items():
        wanted = SCHEMA.field(name).type if name in SCHEMA.names else given
        if not pa.types.is_null(given) and _kind(given) != _kind(wanted):
            raise DamagedObjectError(f"its column {name} is {given}, and should be {wanted}")


def _kind(of: Any) -> str:
    plain = of.value_type if pa.types.is_dictionary(of) else of
    return next((kind for kind, fits in _KINDS if fits(plain)), str(getattr(plain, "id", plain)))


def types_of(data: bytes) -> dict[str, Any]:
    """The columns of a Parquet file and their types, without reading its rows. Raises DamagedObjectError."""
    try:
        return {field.name: field.type for field in pq.read_schema(io.BytesIO(data))}
    except (pa.ArrowException, OSError) as error:
        raise DamagedObjectError(f"{len(data)} bytes are no Parquet file: {type(error).__name__}") from None
