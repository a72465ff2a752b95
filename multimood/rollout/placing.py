"""A reply model into a repository by hand, for responders that follow no rollout: Triton serves the highest version.

Replies then say `2@<hash of the weights>` for their model's version. Taken out again, the version before it serves.
"""

from pathlib import Path

from multimood.rollout.candidate import ReplyCandidate, candidate_of
from multimood.rollout.errors import PromotionRefusedError
from multimood.rollout.replies import files_of
from multimood.rollout.repository import FolderRepository
from multimood.rollout.shipped import REPLIES


async def place(run: Path, root: Path) -> int:
    """Put a run's weights into the repository as the next version, whole or not at all; gives its number.

    Raises:
        PromotionRefusedError: the run is none of a reply model, the gate has not let these weights pass, or the
            repository has no responder.
    """
    candidate, repository = candidate_of(run), FolderRepository(root)
    if not isinstance(candidate, ReplyCandidate):
        raise PromotionRefusedError(f"{run} is a policy: it goes into service by `multimood rl promote` alone")
    config, there = await repository.config(REPLIES), await repository.versions(REPLIES)
    if not there:
        raise PromotionRefusedError(f"{root / REPLIES} holds no version of the responder: name another --out")
    number = max(there) + 1
    files = await files_of(candidate, REPLIES, min(there), repository)
    await repository.write(REPLIES, number, files, config)
    return number
