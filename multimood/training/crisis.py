"""Train the crisis classifier on clinician-labelled users and everyday talk.

The CSSRS corpus labels a user, not a sentence, so most sentences of a user at risk are ordinary. What is learned from:
    positive   windows (one to three sentences) of users at risk in which the curated rules find a crisis; in half
               of them the words that the rule matched are hidden: the classifier learns the company those words keep
    positive   windows of people seeking support (EPITOME) in which the rules find a crisis, hidden in half as well
    positive   in two further rounds, windows of the same users that the model of the round before is sure of
    negative   everyday talk (GoEmotions, MELD, DailyDialog), the troubles of people in support conversations (ESConv
               seekers, AnnoMI clients), and windows of users labelled Supportive, all without a finding of the rules
    left out   all other windows of users at risk or with indicators: nobody knows what they are
"""

import csv
import json
import math
import random
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import scipy.sparse as sp  # type: ignore[import-not-found,import-untyped,unused-ignore]
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from multimood.errors import NotFoundError
from multimood.evaluation.crisis.users import AT_RISK, FILE, User
from multimood.safety.classifier import HIDDEN, LEAST_WORDS, WINDOW, Classifier, Thresholds, ngrams, sentences
from multimood.safety.normalise import END
from multimood.safety.rules import RuleSet
from multimood.safety.screener import Screener
from multimood.safety.verdict import CRISIS, rank
from multimood.training.card import write_card

EDITION: Final = "2026.11"
BUCKETS: Final = 1 << 18
EVERYDAY_BUDGET: Final = 1.0
"""The classifier by itself may alarm so many times in 1,000 everyday validation utterances ..."""
DISTRESS_BUDGET: Final = 5.0
"""... and so many times in 1,000 turns of people in support conversations."""
LOW_BUDGET: Final = 10.0
ROUNDS: Final = 2
SURE: Final = 0.9
HIDDEN_SHARE: Final = 0.5
STRENGTH: Final = 30.0
POSITIVE_WEIGHT: Final = 3.0
_SMALLEST_WEIGHT: Final = 0.02


@dataclass(frozen=True, slots=True)
class Corpus:
    """One split of everything; texts stay in memory and are never shown."""

    users: tuple[User, ...]
    everyday: tuple[str, ...]
    distress: tuple[str, ...]
    seekers: tuple[str, ...]
    """Posts of people seeking support, unlabelled, some in crisis."""


def read_corpus(data: Path, split: str) -> Corpus:
    """Read the "train" or "val" part below `data`.

    Raises:
        NotFoundError: a data set is not there.
    """
    everyday = [
        row["text"]
        for name in ("goemotions_ekman", "meld", "dailydialog_reccon")
        for row in _rows(data / "text" / f"{name}.csv")
        if row["split"] == split
    ]
    users = tuple(
        User(int(row["risk"]), tuple(json.loads(row["posts_json"])))
        for row in _rows(data / "text" / FILE)
        if row["split"] == split
    )
    posts = (row["seeker_post"] for row in _rows(data / "text" / "epitome_empathy.csv") if row["split"] == split)
    return Corpus(users, tuple(everyday), tuple(_distress(data, split)), tuple(dict.fromkeys(posts)))


def train(data: Path, out: Path, seed: int = 0) -> dict[str, Any]:
    """Train, choose thresholds on the validation part, write `crisis.npz` and `crisis.md`; returns the metrics.

    Raises:
        NotFoundError: a data set is not there.
    """
    rules = RuleSet.load()
    part, held = read_corpus(data, "train"), read_corpus(data, "val")
    weights, bias = _fit(part, rules, seed)
    thresholds = _thresholds(Classifier(weights, bias, Thresholds(1.0, 1.0), ""), held, rules)
    out.mkdir(parents=True, exist_ok=True)
    target = out / "crisis.npz"
    np.savez_compressed(
        target,
        weights=weights.astype(np.float16),
        bias=np.float32(bias),
        low=np.float32(thresholds.low),
        elevated=np.float32(thresholds.elevated),
        edition=np.str_(EDITION),
    )
    screener = Screener(rules, Classifier.load(target))
    metrics = {"version": screener.version, "thresholds": {"low": thresholds.low, "elevated": thresholds.elevated}}
    metrics |= evaluate(screener, held)
    alone = Screener(rules, Classifier(weights, bias, Thresholds(2.0, 2.0), "off"))
    metrics["the rules alone, users"] = evaluate(alone, held)["users"]
    metrics["wordings"] = _unforeseen(Classifier.load(target), held, rules)
    write_card(out / "crisis.md", "Crisis classifier", _ABOUT, metrics)
    return metrics


def evaluate(screener: Screener, corpus: Corpus) -> dict[str, Any]:
    """User-level detection (any post at or above the crisis level) and false alarms per 1,000 utterances."""
    truth = np.array([user.risk >= AT_RISK for user in corpus.users])
    verdicts = [[screener.screen(post) for post in user.posts] for user in corpus.users]
    flagged = np.array([any(verdict.crisis for verdict in posts) for posts in verdicts])
    severity = np.array([max(rank(verdict.level) + verdict.score for verdict in posts) for posts in verdicts])
    hits = int((truth & flagged).sum())
    risks = np.array([user.risk for user in corpus.users])
    counts = np.array([len(user.posts) for user in corpus.users])
    return {
        "users": {
            "n": truth.size,
            "recall": hits / int(truth.sum()),
            "precision": hits / max(1, int(flagged.sum())),
            "accuracy": float((truth == flagged).mean()),
            "majority accuracy": float(max(truth.mean(), 1 - truth.mean())),
            "AUC of the gravest post": float(roc_auc_score(truth, severity)),
            "AUC of the mere number of posts": float(roc_auc_score(truth, counts)),
            "flagged by C-SSRS label 0-4": [float(flagged[risks == risk].mean()) for risk in range(5)],
        },
        "false alarms per 1,000": {
            "everyday utterances": _alarms(screener, corpus.everyday),
            "support seekers' turns (unlabelled: some may be right)": _alarms(screener, corpus.distress),
        },
    }


@dataclass(slots=True)
class _Windows:
    """Windows by what is known of them."""

    positive: list[list[list[str]]] = field(default_factory=list)
    unknown: list[list[list[str]]] = field(default_factory=list)
    negative: list[list[list[str]]] = field(default_factory=list)


def _label(part: Corpus, rules: RuleSet, chance: random.Random) -> _Windows:
    known = _Windows()

    def sort(post: str, otherwise: list[list[list[str]]] | None, *, at_risk: bool) -> None:
        for window in windows(rules.read(post)[0], chance):
            found, hidden = _found(window, rules)
            if found and at_risk:
                known.positive.append(hidden if chance.random() < HIDDEN_SHARE else window)
            elif not found and otherwise is not None:
                otherwise.append(window)

    for user in part.users:
        otherwise = known.unknown if user.risk >= AT_RISK else known.negative if user.risk == 0 else None
        for post in user.posts:
            sort(post, otherwise, at_risk=user.risk >= AT_RISK)
    for post in part.seekers:
        sort(post, None, at_risk=True)
    for text in (*part.everyday, *part.distress):
        window = sentences(rules.read(text)[0])[:WINDOW]
        if window and not _found(window, rules)[0]:
            known.negative.append(window)
    return known


def _fit(part: Corpus, rules: RuleSet, seed: int) -> tuple[NDArray[np.float32], float]:
    known = _label(part, rules, random.Random(seed))  # noqa: S311 - sampling, not secrets
    found, candidates, rest = map(_matrix, (known.positive, known.unknown, known.negative))
    chosen = np.zeros(len(known.unknown), bool)
    model: Any = None
    for _ in range(1 + ROUNDS):
        x = sp.vstack([found, candidates[chosen], rest])
        y = np.r_[np.ones(len(known.positive) + int(chosen.sum())), np.zeros(len(known.negative))]
        model = LogisticRegression(
            C=STRENGTH, solver="liblinear", class_weight={1: POSITIVE_WEIGHT, 0: 1.0}, random_state=seed
        ).fit(x, y)
        chosen = model.predict_proba(candidates)[:, 1] > SURE
    weights = model.coef_[0].astype(np.float32)
    weights[np.abs(weights) < _SMALLEST_WEIGHT] = 0.0
    return weights, float(model.intercept_[0])


def windows(tokens: Sequence[str], chance: random.Random) -> Iterable[list[list[str]]]:
    """Cut a post into consecutive windows of one to three sentences."""
    parts = sentences(tokens)
    at = 0
    while at < len(parts):
        size = chance.randint(1, WINDOW)
        if sum(map(len, parts[at : at + size])) >= LEAST_WORDS:
            yield parts[at : at + size]
        at += size


def _found(window: Sequence[Sequence[str]], rules: RuleSet) -> tuple[bool, list[list[str]]]:
    """Whether the rules find a crisis, and the window with what they matched hidden."""
    tokens = tuple(token for words in window for token in (*words, END))
    finding, reading = rules.find(tokens)
    hidden = list(tokens)
    for span in (*reading.harmless, *reading.matched):
        hidden[span.start : span.end] = [HIDDEN if token != END else END for token in tokens[span.start : span.end]]
    return rank(finding.level) >= rank(CRISIS), sentences(hidden)


def _matrix(texts: Sequence[Sequence[Sequence[str]]]) -> Any:
    indptr, indices, values = [0], [], []
    for text in texts:
        found = np.concatenate([ngrams(words, BUCKETS) for words in text]) if text else np.empty(0, np.int64)
        unique, counts = np.unique(found, return_counts=True)
        indices.append(unique)
        values.append(counts / math.sqrt(max(1, found.size)))
        indptr.append(indptr[-1] + unique.size)
    return sp.csr_matrix((np.concatenate(values), np.concatenate(indices), indptr), shape=(len(texts), BUCKETS))


def _thresholds(classifier: Classifier, held: Corpus, rules: RuleSet) -> Thresholds:
    """Choose the lowest thresholds (most recall) whose false alarms stay within the budgets."""
    everyday = _scores(classifier, held.everyday, rules)
    distress = _scores(classifier, held.distress, rules)
    elevated = max(_within(everyday, EVERYDAY_BUDGET), _within(distress, DISTRESS_BUDGET))
    return Thresholds(min(elevated, _within(everyday, LOW_BUDGET)), elevated)


def _scores(classifier: Classifier, texts: Iterable[str], rules: RuleSet) -> NDArray[np.float64]:
    return np.array([classifier.score(rules.read(text)[0]) for text in texts])


def _within(scores: NDArray[np.float64], per_thousand: float) -> float:
    allowed = int(scores.size * per_thousand / 1000)
    return float(np.nextafter(np.sort(scores)[::-1][allowed], 2.0))


def _unforeseen(classifier: Classifier, held: Corpus, rules: RuleSet) -> dict[str, Any]:
    """Ask the classifier alone about windows where the rules found a crisis, with and without the rules' words."""
    chance = random.Random(0)  # noqa: S311 - sampling, not secrets
    whole, hidden = [], []
    for user in held.users:
        for post in user.posts if user.risk >= AT_RISK else ():
            for window in windows(rules.read(post)[0], chance):
                found, rest = _found(window, rules)
                if found:
                    whole.append(classifier.score([token for words in window for token in (*words, END)]))
                    hidden.append(classifier.score([token for words in rest for token in (*words, END)]))
    bar = classifier.thresholds.elevated
    return {
        "windows where the rules find a crisis": len(whole),
        "recall of the classifier alone": float(np.mean(np.array(whole) >= bar)),
        "the same with the rules' words hidden": float(np.mean(np.array(hidden) >= bar)),
    }


def _alarms(screener: Screener, texts: Sequence[str]) -> float:
    return 1000 * sum(screener.screen(text).crisis for text in texts) / max(1, len(texts))


def _distress(data: Path, split: str) -> Iterable[str]:
    with _open(data / "dialogue" / "esconv.jsonl") as lines:
        for line in lines:
            dialogue = json.loads(line)
            if (dialogue["split"] == "train") == (split == "train"):
                yield from (turn["text"] for turn in dialogue["dialog"] if turn["speaker"] == "usr")
    for row in _rows(data / "text" / "annomi.csv"):
        # AnnoMI has no split: every seventh session is held.
        held = int(row["transcript_id"]) % 7 == 0
        if row["interlocutor"] == "client" and held == (split == "val"):
            yield row["utterance_text"]


def _rows(path: Path) -> Iterable[dict[str, str]]:
    csv.field_size_limit(sys.maxsize)
    with _open(path) as lines:
        yield from csv.DictReader(lines)


def _open(path: Path) -> Any:
    try:
        return path.open(encoding="utf-8", newline="")
    except FileNotFoundError as error:
        raise NotFoundError(f"{path} is not there: give the folder that holds text/ and dialogue/") from error


_ABOUT: Final = """\
Hashed word and character n-grams, logistic regression, run with numpy alone. It stands beside the curated rules of
`crisis_rules.toml` and can only raise the level they give (to "elevated" at most). English only.

Trained on posts of clinician-labelled Reddit users (C-SSRS 500, CC BY), GoEmotions (Apache-2.0), MELD (GPL-3.0),
DailyDialog (non-commercial), ESConv (CC BY-NC), AnnoMI and EPITOME (research use). The weights carry the strictest of
these: **non-commercial research use**. `multimood train crisis` repeats the training on your own data.

The corpus labels users, not utterances. "Users" below asks whether any post of a user reaches the crisis level; users
labelled Supportive or Indicator often write about their own past crises, so a flag on them is not always wrong. The
thresholds were chosen on the same everyday utterances that the false alarms are counted on. Utterance recall against
clinicians' labels is **not known**: no such labels exist here.

Sentences made up after the rules were written, by their author, and kept apart from them (`tests/evals/test_crisis.py`)
say most about new wordings: of 50 crises, direct and indirect, in four languages, rules and classifier together found
30; of 50 ordinary ones none was flagged. Indirect wordings are the weakness: **do not rely on this alone**. It is a
screening aid, not a diagnosis.
"""
