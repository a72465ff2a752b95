"""Train the judge of persons on clinician-labelled users.

The labels (C-SSRS 500) are of users over all their posts, so a user is what is learned from: the counts that `Person`
keeps live, and whether clinicians saw ideation or more. Boosted trees of two questions each, a few forests of different
seeds averaged. Threshold and scale of the probability come from scores out of fold in the training part.

All those users write about suicide. What they say cannot teach how ordinary trouble sounds, so people seeking support
for other things (ESConv) stand beside them as not at risk, without those in whose talk a message was screened as a
crisis; they weigh little, for nobody has labelled them.
"""

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold

from multimood.errors import NotFoundError
from multimood.evaluation.crisis.figures import figures
from multimood.evaluation.crisis.judged import Judges, hear, judged
from multimood.evaluation.crisis.users import AT_RISK, FILE, read_users
from multimood.evaluation.source import Source
from multimood.safety.person import FEATURES, PersonJudge
from multimood.safety.rules import RuleSet
from multimood.safety.screener import Screener
from multimood.safety.trees import LEAVES, NODES, Trees
from multimood.safety.verdict import CRISIS, rank
from multimood.training.card import write_card

Floats = NDArray[np.float64]
Numbers = NDArray[np.float32]

EDITION: Final = "2026.11"
FORESTS: Final = 5
TREES: Final = 80
FOLDS: Final = 10
REPEATS: Final = 3
RECALL: Final = 0.95
"""Of the users at risk; on the training users one standard error more is asked for, for they are a sample."""
LOW_RECALL: Final = 0.99
"""Of those at risk who gave any sign, what "low" and above finds."""
SEEKER_WEIGHT: Final = 0.05
"""Of one support seeker beside a labelled user. More costs precision on those (docs/runs/tried.toml)."""
_SAMPLE: Final = 0.7
_RATE: Final = 0.08
_NEVER: Final = -60.0


def train(data: Path, out: Path, seed: int, report: Callable[[str], None]) -> dict[str, Any]:
    """Train, write `person.npz` and `person.md`; returns the metrics.

    Raises:
        NotFoundError: a data set is not there.
        ConfigurationError: one is not what it should be.
    """
    file = data / "text" / FILE
    screener, rules = Screener.load(), RuleSet.load()
    report("counting what the training users wrote")
    users = read_users(Source(file, "train"))
    people = [hear(screener, rules, None, user.posts).person for user in users]
    risk, numbers = np.array([user.risk for user in users]), np.stack([person.numbers() for person in people])
    signs = np.array([person.gravest != "none" for person in people])
    truth = risk >= AT_RISK
    heard = [hear(screener, rules, None, said).person for said in _seekers(data, "train")]
    beside = np.stack([person.numbers() for person in heard if rank(person.gravest) < rank(CRISIS)])
    report(f"{REPEATS} times {FOLDS} folds")
    folded = np.stack([_out_of_fold(numbers, risk, beside, seed + repeat) for repeat in range(REPEATS)])
    slope, offset = _scale(folded[:, signs], truth[signs])
    odds = np.where(signs, slope * folded + offset, _NEVER)  # as in serving: without a sign, no risk
    error = np.sqrt(RECALL * (1 - RECALL) / truth.sum())
    elevated = _threshold(odds, truth, RECALL + error)
    low = min(elevated, _threshold(odds[:, signs], truth[signs], LOW_RECALL))
    trees = forest(numbers, truth, beside, seed)
    out.mkdir(parents=True, exist_ok=True)
    target = out / "person.npz"
    np.savez_compressed(
        target, names=np.array(FEATURES), edition=np.str_(EDITION), base=np.float64(trees.base),
        features=trees.features.astype(np.uint8), thresholds=trees.thresholds, leaves=trees.leaves,
        slope=np.float64(slope), offset=np.float64(offset),
        low=np.float64(low), elevated=np.float64(elevated),
    )  # fmt: skip
    judge = PersonJudge.load(target)
    judges = Judges(screener, rules, judge)
    report("judging the validation users, and people who talk of other things")
    metrics: dict[str, Any] = {
        "version": judge.version,
        "thresholds": {"low": judge.thresholds.low, "elevated": judge.thresholds.elevated},
    }
    metrics["out of fold, training users"] = _folded(odds, truth, elevated)
    held = figures(judged(judges, read_users(Source(file, "val"))))
    metrics["users"] = {
        name: held[name] for name in ("n", "recall", "precision", "auc", "intervals", "majority", "any_post", "curve")
    }
    metrics["flagged by C-SSRS label"] = {name: level["flagged"] for name, level in held["per_level"].items()}
    metrics["flagged of people who talk of other things"] = _elsewhere(judges, data)
    write_card(out / "person.md", "Judge of persons", _ABOUT, metrics)
    return metrics


def forest(numbers: Numbers, truth: NDArray[np.bool_], beside: Numbers, seed: int) -> Trees:
    """Fit forests on labelled users [n, features] and people beside them [m, features]; give their mean as one."""
    rows, labels = np.vstack([numbers, beside]), np.concatenate([truth, np.zeros(len(beside), bool)])
    weights = np.concatenate([np.ones(len(numbers)), np.full(len(beside), SEEKER_WEIGHT)])
    base, parts = 0.0, []
    for number in range(FORESTS):
        model = GradientBoostingClassifier(
            n_estimators=TREES, max_depth=2, learning_rate=_RATE, subsample=_SAMPLE, min_samples_leaf=5,
            max_features=0.5, random_state=seed + number,
        ).fit(rows, labels, sample_weight=weights)  # fmt: skip
        share = float(model.init_.class_prior_[1])
        base += float(np.log(share / (1 - share))) / FORESTS
        parts += [_tree(estimator.tree_) for estimator in model.estimators_[:, 0]]
    features, thresholds, leaves = (np.stack(columns) for columns in zip(*parts, strict=True))
    return Trees(base, features, thresholds.astype(np.float32), (leaves * _RATE / FORESTS).astype(np.float32))


def _tree(tree: Any) -> tuple[NDArray[np.int64], Floats, Floats]:
    """The questions and leaves of one fitted tree; a side that asks nothing more has its leaf twice."""
    features, thresholds, leaves = np.zeros(NODES, np.int64), np.full(NODES, np.inf), np.zeros(LEAVES)
    left, right, value = tree.children_left, tree.children_right, tree.value[:, 0, 0]
    if left[0] < 0:
        leaves[:] = value[0]
        return features, thresholds, leaves
    features[0], thresholds[0] = tree.feature[0], tree.threshold[0]
    for side, node in enumerate((left[0], right[0])):
        asks = left[node] >= 0
        if asks:
            features[1 + side], thresholds[1 + side] = tree.feature[node], tree.threshold[node]
        ends = (left[node], right[node]) if asks else (node, node)
        leaves[2 * side : 2 * side + 2] = [value[end] for end in ends]
    return features, thresholds, leaves


def _out_of_fold(numbers: Numbers, risk: NDArray[np.int64], beside: Numbers, seed: int) -> Floats:
    scores = np.zeros(len(risk))
    for fitted, held in StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(numbers, risk):
        trees = forest(numbers[fitted], risk[fitted] >= AT_RISK, beside, seed)
        scores[held] = [trees.score(row) for row in numbers[held]]
    return scores


def _scale(folded: Floats, truth: NDArray[np.bool_]) -> tuple[float, float]:
    """Slope and offset from out-of-fold scores [repeats, users] to log-odds (Platt)."""
    model = LogisticRegression(C=1e3).fit(folded.reshape(-1, 1), np.tile(truth, len(folded)))
    return float(model.coef_[0, 0]), float(model.intercept_[0])


def _threshold(odds: Floats, truth: NDArray[np.bool_], recall: float) -> float:
    """The probability that so many users at risk reach, the mean over the repeats."""
    found = [np.quantile(scores[truth], 1 - recall, method="lower") for scores in odds]
    return float(1 / (1 + np.exp(-np.mean(found))))


def _folded(odds: Floats, truth: NDArray[np.bool_], threshold: float) -> dict[str, float]:
    flagged = 1 / (1 + np.exp(-odds)) >= threshold
    hits = (flagged & truth).sum(axis=1)
    return {
        "recall": float(np.mean(hits / truth.sum())),
        "precision": float(np.mean(hits / flagged.sum(axis=1))),
        "AUC": float(np.mean([roc_auc_score(truth, scores) for scores in odds])),
        "AUC, spread over the repeats": float(np.std([roc_auc_score(truth, scores) for scores in odds])),
    }


def _elsewhere(judges: Judges, data: Path) -> dict[str, float]:
    """Share of speakers flagged in conversations that were not chosen for suicide."""

    def flagged(messages: Sequence[str]) -> bool:
        person = hear(judges.screener, judges.rules, None, messages).person
        return rank(judges.person.judge(person).level) >= rank(CRISIS)

    return {name: float(np.mean([flagged(said) for said in people])) for name, people in _talks(data).items()}


def _talks(data: Path) -> dict[str, list[list[str]]]:
    """What each speaker said, conversation by conversation, in validation parts."""
    speakers: dict[tuple[str, str], list[str]] = {}
    with _open(data / "text" / "meld.csv") as lines:
        for row in csv.DictReader(lines):
            if row["split"] == "val":
                speakers.setdefault((row["dialogue_id"], row["speaker"]), []).append(row["text"])
    return {"ESConv seekers": _seekers(data, "val"), "MELD speakers": list(speakers.values())}


def _seekers(data: Path, split: str) -> list[list[str]]:
    with _open(data / "dialogue" / "esconv.jsonl") as lines:
        dialogues = [json.loads(line) for line in lines]
    return [
        [turn["text"] for turn in dialogue["dialog"] if turn["speaker"] == "usr"]
        for dialogue in dialogues
        if (dialogue["split"] == "train") == (split == "train")
    ]


def _open(path: Path) -> IO[str]:
    try:
        return path.open(encoding="utf-8", newline="")
    except FileNotFoundError as error:
        raise NotFoundError(f"{path} is not there: give the folder that holds text/ and dialogue/") from error


_ABOUT: Final = """\
Boosted trees of two questions over eighteen counts of what a person said so far (`multimood/safety/person.py`): how
much, how often of themselves and to others, and how often which group of crisis rules matched. No word is kept, none is
in the weights. Run with numpy alone.

Trained on 300 clinician-labelled Reddit users (C-SSRS 500, CC BY), English, from forums about mental health, and beside
them, at a twentieth of the weight, support seekers of ESConv (CC BY-NC) in whose talk no message was a crisis. The
weights carry the stricter of these: **non-commercial research use**. `multimood train person` repeats it on your own
data.

It judges a person over many messages and only advises; what is done about one message is the screener's to say. Of a
person in whose messages the screener saw no sign it says "none". It was made to miss few, so it flags many: see below
how many support seekers who were chosen for other troubles. The threshold was chosen out of fold on the training users,
for a recall of .95 and one standard error more; the weight of the seekers among four, by how few of ESConv's validation
seekers were flagged. Five versions were looked at on the validation users before this one was kept.
The labels are noisy readings; most errors are between Indicator and Ideation.
**A screening aid, not a diagnosis.** What was tried, and how far it is from the goal: docs/crisis.md.
"""
