"""The whole log as a Hugging Face dataset: Parquet files and a card."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from multimood.experience.exports.content import without_content
from multimood.experience.exports.parquet import write_card, write_shards
from multimood.experience.exports.wishes import CREATED, Exported, NothingToExportError, Rows, Wishes
from multimood.experience.schema import CONTENT, FEEDBACK_SCHEMA, SCHEMA, SEALED

LATER = (
    pa.field("feedback", pa.list_(pa.struct(list(FEEDBACK_SCHEMA)))),
    pa.field("feedback_status", pa.string()),
    pa.field("rating", pa.float64()),
    pa.field("intensity_after", pa.float64()),
    pa.field("next_intensity", pa.float64()),
    pa.field("next_emotion", pa.string()),
)
"""Of `multimood.experience.later`."""


def export_hf(rows: Rows, out: Path, wishes: Wishes) -> Exported:
    """Write every row, with what came later; what was said only when it is wished for."""
    done = Exported()
    hidden = tuple(SEALED) if wishes.content else (*CONTENT, *SEALED)
    schema = pa.schema([field for field in (*SCHEMA, *LATER) if field.name not in hidden], metadata=SCHEMA.metadata)

    def chosen() -> Iterator[dict[str, Any]]:
        for row in rows():
            done.rows += 1
            yield without_content(row, hidden)

    done.items = write_shards(chosen(), schema, out)
    if not done.items:
        raise NothingToExportError("the log is empty, or has no rows of these days")
    said = "It holds what was said." if wishes.content else "What was said is left out."
    write_card(out, "Experience log", f"{CREATED}. {said} Columns: docs/experience.md of MultiMood.")
    return done
