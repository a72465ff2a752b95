"""Rows to Parquet files, a few thousand at a time, and the card beside them that Hugging Face's datasets read."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

GROUP: Final = 1_000
SHARD: Final = 50_000


def write_shards(rows: Iterable[dict[str, Any]], schema: Any, folder: Path) -> int:
    """Write `data/train-00000.parquet` and so on; gives the number of rows."""
    (folder / "data").mkdir(parents=True, exist_ok=True)
    count, waiting, writer = 0, [], None
    try:
        for row in rows:
            waiting.append(row)
            if len(waiting) == GROUP:
                writer = _flush(waiting, schema, folder, count, writer)
                count, waiting = count + len(waiting), []
        if waiting or writer is None:
            writer = _flush(waiting, schema, folder, count, writer)
            count += len(waiting)
    finally:
        if writer is not None:
            writer.close()
    return count


def _flush(waiting: list[dict[str, Any]], schema: Any, folder: Path, count: int, writer: Any) -> Any:
    if writer is None or count % SHARD == 0:
        if writer is not None:
            writer.close()
        path = folder / "data" / f"train-{count // SHARD:05}.parquet"
        writer = pq.ParquetWriter(path, schema, compression="zstd")
    writer.write_table(pa.Table.from_pylist(waiting, schema=schema))
    return writer


def write_card(folder: Path, title: str, text: str, *, task: str = "reinforcement-learning") -> None:
    """Write README.md with the metadata by which `datasets.load_dataset(folder)` finds the files."""
    (folder / "README.md").write_text(
        f"---\nconfigs:\n- config_name: default\n  data_files: data/*.parquet\ntask_categories:\n- {task}\n---\n"
        f"# {title}\n\n{text.strip()}\n"
    )
