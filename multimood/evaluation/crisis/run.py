"""`multimood eval crisis`: labelled users through the code that serves."""

import time
from typing import Any

from multimood.evaluation.crisis.figures import figures
from multimood.evaluation.crisis.judged import Judges, judged
from multimood.evaluation.crisis.users import read_users
from multimood.evaluation.result import Progress
from multimood.evaluation.source import Source


def evaluate(judges: Judges, source: Source, progress: Progress) -> dict[str, Any]:
    """All figures, with what they were measured on and by. Holds no word that was said.

    Raises:
        NotFoundError, ConfigurationError: see `read_users`.
    """
    begun = time.monotonic()
    users = read_users(source)
    found = judged(judges, users, progress.begin("users", len(users)))
    return {
        **figures(found),
        "split": source.split,
        "notes": dict(source.notes),
        "version": f"{judges.screener.version}+{judges.person.version}",
        "data_sha256": source.sha256,
        "seconds": time.monotonic() - begun,
    }
