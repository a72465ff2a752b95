"""One evaluation: read, start what has to be asked, measure."""

import asyncio
import time
from collections.abc import Iterable, Sequence
from typing import Final

from multimood.errors import ConfigurationError
from multimood.evaluation.answers import truths
from multimood.evaluation.encode import keys_of
from multimood.evaluation.measuring import Measuring, heard
from multimood.evaluation.result import FULL, Progress, Result
from multimood.evaluation.rows import Corpus, Part
from multimood.evaluation.scoring import majority_only
from multimood.evaluation.served import Served, server
from multimood.evaluation.source import Source

ENCODERS: Final = {
    "text": "text_encoder", "audio": "audio_encoder", "video": "video_encoder", "picture": "video_encoder",
}  # fmt: skip


def evaluate(corpus: Corpus, source: Source, progress: Progress, *, url: str | None = None, replies: int = 0) -> Result:
    """Measure the served models on a corpus; to so many rows (`replies`) a reply is generated and scored, too.

    Raises:
        NotFoundError: file, split or media are not there.
        ConfigurationError: the file is none of this corpus, or there is nothing to score in it.
        UnavailableError: the server, or a model on it, cannot be reached.
    """
    begun = time.monotonic()
    parts = corpus.read(source)
    _check(corpus, source, parts, replies)
    result = Result(corpus.name, source.split, source.sha256, corpus.note)
    asked = [part for part in parts if part.judge != "none"]
    if asked:
        with server(url, needed(asked, replies)) as (address, is_ours):
            measuring = Measuring(Served(address, is_ours=is_ours), progress, result, replies)
            source.notes.update(asyncio.run(measuring.run(asked)))
    for part in parts:
        for task in part.tasks if part.judge == "none" else ():
            result.tasks[task.name] = {FULL: majority_only(task, *truths(part.dialogues, task))}
    result.notes = dict(sorted(source.notes.items()))
    result.seconds = round(time.monotonic() - begun, 1)
    return result


def needed(parts: Iterable[Part], replies: int) -> set[str]:
    """The models of this project's repository that will be asked."""
    kinds = {kind for seen in heard(parts) for kind, _ in keys_of(seen)}
    found = {ENCODERS[kind] for kind in kinds}
    if any(part.judge == "fusion" for part in parts):
        found.add("fusion")
    return found | ({"responder"} if replies else set())


def _check(corpus: Corpus, source: Source, parts: Sequence[Part], replies: int) -> None:
    names = {task.truth for part in parts for task in part.tasks}
    if not any(names & row.truth.keys() for part in parts for dialogue in part.dialogues for row in dialogue.rows):
        raise ConfigurationError(
            f"--data {source.path}: nothing in split {source.split!r} has a label of {corpus.name}; is it that corpus?"
        )
    if replies and all(part.replies == "none" for part in parts):
        raise ConfigurationError(f"--replies {replies}: {corpus.name} has no replies to compare with; leave it out")
