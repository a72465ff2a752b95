"""Generated replies beside those that people gave: overlap and variety, by kept libraries."""

from collections import Counter
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any, Final

from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics.bleu import BLEU

ORDERS: Final = (1, 2, 4)


def reply_scores(written: Sequence[str], said: Sequence[str]) -> dict[str, Any]:
    """Scores of replies `written` beside one reference each.

    BLEU-n: sacrebleu's corpus BLEU up to order n (uniform weights, tokenizer 13a, smoothing exp), 0..100. ROUGE-L: mean
    F1 of rouge-score with stemming, 0..100. distinct-n (Li et al., NAACL 2016): different n-grams by all n-grams, over
    all replies together. BERTScore only where its package and model are at hand; `bert_score` says so otherwise.
    """
    scorer = RougeScorer(["rougeL"], use_stemmer=True)
    rouge = [scorer.score(reference, reply)["rougeL"].fmeasure for reply, reference in zip(written, said, strict=True)]
    bleu = {
        f"bleu_{order}": BLEU(max_ngram_order=order).corpus_score(list(written), [list(said)]).score for order in ORDERS
    }
    return {
        "n": len(written),
        **bleu,
        "rouge_l": 100 * sum(rouge) / len(rouge),
        "distinct_1": distinct(written, 1),
        "distinct_2": distinct(written, 2),
        "bert_score": _bert(written, said),
    }


def distinct(texts: Sequence[str], order: int) -> float:
    """Different n-grams of lower-case words by all of them; 0 without any."""
    found: Counter[tuple[str, ...]] = Counter()
    for text in texts:
        words = text.lower().split()
        found.update(tuple(words[at : at + order]) for at in range(len(words) - order + 1))
    return len(found) / found.total() if found else 0.0


def _bert(written: Sequence[str], said: Sequence[str]) -> float | str:
    if find_spec("bert_score") is None:
        return "not measured: bert-score and its model are not installed"
    from bert_score import score  # noqa: PLC0415 - optional, and brings torch

    try:
        return 100 * float(score(list(written), list(said), lang="en")[2].mean())
    except (OSError, RuntimeError) as error:  # its model would have to be fetched from the hub
        return f"not measured: bert-score's model is not at hand ({type(error).__name__})"
