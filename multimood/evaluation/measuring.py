"""The parts of a corpus through the served models."""

from collections import Counter
from collections.abc import Iterable, Sequence

from multimood.contracts.v1 import events_pb2 as pb
from multimood.evaluation import empathy, quality
from multimood.evaluation.answers import Answers, Prediction, answers
from multimood.evaluation.encode import Encoded, Encoders, keys_of
from multimood.evaluation.faces import look
from multimood.evaluation.result import FOLD, FULL, NONE, Progress, Result, Score
from multimood.evaluation.rows import Part, Seen, Task
from multimood.evaluation.scoring import masks, over_folds, scored
from multimood.evaluation.served import Served
from multimood.evaluation.walk import Ask, Moment, walk_all
from multimood.evaluation.writing import Writer, answered, sampled, write_replies
from multimood.perception.conversation import history_of
from multimood.perception.fusion import Perception, Sight, Taxonomy, perceive, question
from multimood.perception.settings import PerceptionSettings

ByMask = dict[str, Answers]
Moments = dict[str, list[list[Moment]]]


def heard(parts: Iterable[Part]) -> list[Seen]:
    """What encoders are given: whatever is said, unless nothing that is served judges it."""
    return [seen for part in parts if part.judge != "none" for dialogue in part.dialogues for seen in dialogue.seen]


class Measuring:
    """One evaluation over one connection; scores go into the result."""

    def __init__(self, served: Served, progress: Progress, result: Result, replies: int) -> None:
        self._served = served
        self._progress = progress
        self._result = result
        self._replies = replies
        self._kept = PerceptionSettings()

    async def run(self, parts: Sequence[Part]) -> Counter[str]:
        """Measure all parts; gives what could not be encoded, by reason."""
        try:
            every = heard(parts)
            different = len({key for seen in every for key in keys_of(seen)})
            encoded = await Encoders(self._served).encode(every, self._progress.begin("encoding", different))
            folds: dict[str, list[tuple[Task, ByMask]]] = {}
            for part in parts:
                for task, by_mask in (await self._part(part, encoded)).items():
                    target = self._result.tasks if task.labels else self._result.ratings
                    if by_mask:
                        target[task.name] = {mask: scored(task, found) for mask, found in by_mask.items()}
                    if by_mask and FOLD.search(task.name):
                        folds.setdefault(FOLD.sub("", task.name), []).append((task, by_mask))
            for name, several in folds.items():
                self._result.tasks[name] = self._folded(several)
            self._result.models |= self._served.models()
            return encoded.reasons
        finally:
            await self._served.client.close()

    async def _part(self, part: Part, encoded: Encoded) -> dict[Task, ByMask]:
        dialogues = look([dialogue.seen for dialogue in part.dialogues])
        by_mask: dict[str, list[list[Prediction | None]]] = {}
        if part.judge == "empathy":
            head, digest = empathy.load()
            self._result.models["empathy"] = {"version": head.version, "sha256": digest}
            by_mask[FULL] = [empathy.judge(head, dialogue, encoded) for dialogue in dialogues]
        elif part.judge == "quality":
            good, digest = quality.load()
            self._result.models["quality"] = {"version": good.version, "sha256": digest}
            by_mask[FULL] = [quality.judge(good, dialogue, encoded) for dialogue in dialogues]
        else:
            moments = await self._moments(dialogues, part.taxonomy, encoded)
            by_mask = {mask: [predictions(one, mask) for one in found] for mask, found in moments.items()}
            if self._replies and (places := answered(dialogues, part.replies)):
                chosen = sampled(places, self._replies)
                tick = self._progress.begin("writing replies", len(chosen))
                scores = await write_replies(chosen, dialogues, moments[FULL], Writer(self._served), tick)
                self._result.replies = {**scores, "of": len(places)}
        return {
            task: {mask: found for mask, said in by_mask.items() if (found := answers(part.dialogues, said, task))}
            for task in part.tasks
        }

    async def _moments(self, dialogues: Sequence[Sequence[Seen]], taxonomy: Taxonomy, encoded: Encoded) -> Moments:
        """By mask; a mask that is all that ever came is `full` by another name."""
        ask = asker(self._served, taxonomy, self._kept.model)
        each = [encoded.modalities(seen) for dialogue in dialogues for seen in dialogue if seen.role == "user"]
        there = frozenset().union(*each)
        found: Moments = {}
        for name, mask in masks(there).items():
            if mask is not None and all(one == mask for one in each):
                found[name] = found[FULL]
                continue
            tick = self._progress.begin(f"asking, {name}", len(dialogues))
            told = found[FULL] if name == NONE else None
            found[name] = await walk_all(dialogues, encoded, ask, self._kept, tick, mask=mask, told=told)
        return found

    def _folded(self, several: Sequence[tuple[Task, ByMask]]) -> dict[str, Score]:
        pooled: ByMask = {}
        for _, by_mask in several:
            for mask, found in by_mask.items():
                pooled[mask] = pooled[mask] + found if mask in pooled else found
        scores: dict[str, Score] = {}
        for mask, rows in pooled.items():
            each = [self._result.tasks[task.name][mask] for task, by_mask in several if mask in by_mask]
            scores[mask] = over_folds(each, scored(several[0][0], rows))
        return scores


def asker(served: Served, taxonomy: Taxonomy, model: str) -> Ask:
    """The fusion model, asked as the strategist asks it."""

    async def ask(sight: Sight, state: pb.Conversation | None) -> Perception:
        outputs = await served.row(model, question(sight, history_of(state)))
        return perceive(outputs, "", sight, taxonomy)

    return ask


def predictions(moments: Sequence[Moment], mask: str) -> list[Prediction | None]:
    """What counts under a mask: utterances that came with all of it."""
    wanted = frozenset() if mask in {FULL, NONE} else frozenset(mask.split("+"))
    return [_prediction(moment.perception) if wanted <= moment.modalities else None for moment in moments]


def _prediction(seen: Perception) -> Prediction:
    return {
        "emotion": seen.emotion,
        "system_emotion": seen.system_emotion,
        "strategy": seen.strategy,
        "intensity": seen.intensity,
    }
