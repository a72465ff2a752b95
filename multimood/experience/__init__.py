"""The experience log: what was perceived, decided, said and thought of it, one row per utterance, as Parquet on S3.

`docs/experience.md` is its public contract. Whoever only reads needs `rows` and a `Folder` or a `Bucket`.
"""

from multimood.experience.later import Waiting
from multimood.experience.reader import rows
from multimood.experience.record import Origin, feedback_row, merge, row_of, unfit_reason
from multimood.experience.schema import FEEDBACK_SCHEMA, SCHEMA, VERSION, Row
from multimood.experience.sources import Bucket, Folder, Source, opened
from multimood.privacy.pseudonyms import Pseudonyms

__all__ = [
    "FEEDBACK_SCHEMA",
    "SCHEMA",
    "VERSION",
    "Bucket",
    "Folder",
    "Origin",
    "Pseudonyms",
    "Row",
    "Source",
    "Waiting",
    "feedback_row",
    "merge",
    "opened",
    "row_of",
    "rows",
    "unfit_reason",
]
