"""What holds of the similarity of a reply to a reference, and by hand what it is."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multimood.trust import reward
from multimood.trust.scores import TrustScores
from multimood.trust.similarity import MOST_WINDOWS, SimilarityScorer, late_interaction, windows

pytest.importorskip("sklearn", reason="needs the `eval` extra")

pytestmark = pytest.mark.property

WORDS = ("I", "hear", "you", "it", "hurts", "so", "much", "what", "now", "then")
TEXTS = st.lists(st.sampled_from(WORDS), max_size=30).map(" ".join)
REFERENCES = [" ".join(WORDS), "I hear you", "what now"]


async def embed(texts: Sequence[str]) -> np.ndarray:
    return np.array([[text.split().count(word) for word in WORDS] for text in texts], np.float32)


SCORER = SimilarityScorer(embed, REFERENCES)


@settings(deadline=None, max_examples=60)
@given(TEXTS, TEXTS)
async def test_bounds_symmetry_and_identity(one: str, other: str) -> None:
    there, back = await SCORER.score(one, other), await SCORER.score(other, one)
    for part in ("late", "sparse", "dense", "total"):
        assert 0.0 <= getattr(there, part) <= 1.0
        assert getattr(there, part) == pytest.approx(getattr(back, part), abs=1e-5)
    same = await SCORER.score(one, one)
    assert same.total == pytest.approx(1.0 if one.split() else 0.0, abs=1e-5)
    assert there.total <= 1.0
    assert reward(TrustScores(()), crisis_failed=False, similarity=there.total) is None


@given(st.integers(0, 400))
def test_windows_cover_every_word_and_are_few(count: int) -> None:
    words = [str(number) for number in range(count)]
    found = windows(" ".join(words))
    assert len(found) <= MOST_WINDOWS + 1
    assert [word for word in words if not any(word in window.split() for window in found)] == []


async def test_by_hand() -> None:
    found = await SCORER.score("I hear", "I now")
    assert found.late == pytest.approx(0.5)
    assert found.dense == pytest.approx(0.5)
    assert 0 < found.sparse < 1
    assert found.total == pytest.approx((0.5 + 0.3 * found.sparse + 0.5) / 2.3)
    assert (await SCORER.score("so", "much")).total == 0.0


def test_a_single_fitting_word_is_not_enough() -> None:
    axes = np.eye(4, dtype=np.float32)
    assert late_interaction(axes[:1], axes) == pytest.approx((1 + 0.25) / 2)
    assert late_interaction(axes[:1], axes[:1]) == 1.0
    assert late_interaction(axes[:1], -axes[:1]) == 0.0


def test_rare_words_count_more() -> None:
    common = ["you you", "you hear", "you now", "you it hurts"]
    scorer = SimilarityScorer(embed, common)
    assert scorer._sparse("you hurts", "it hurts") > scorer._sparse("you hurts", "you now")
