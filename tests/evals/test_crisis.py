"""How well the screener does on labelled people and on everyday talk (validation parts). No text is ever shown."""

from pathlib import Path

import pytest

pytest.importorskip("sklearn", reason="needs the `train` extra: uv pip install -e '.[train]'")

from multimood.safety import Screener
from multimood.training.crisis import Corpus, evaluate, read_corpus

pytestmark = [pytest.mark.evals, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def held(labelled_data: Path) -> Corpus:
    return read_corpus(labelled_data, "val")


def test_screening_on_the_validation_part(held: Corpus) -> None:
    result = evaluate(Screener.load(), held)
    users, alarms = result["users"], result["false alarms per 1,000"]
    assert users["recall"] >= 0.87
    assert users["precision"] >= 0.64
    assert users["accuracy"] > users["majority accuracy"]
    assert users["AUC of the gravest post"] >= 0.66
    assert users["AUC of the gravest post"] > users["AUC of the mere number of posts"]
    by_label = users["flagged by C-SSRS label 0-4"]
    assert by_label[4] >= 0.9
    assert by_label[0] < min(by_label[2:])
    assert alarms["everyday utterances"] <= 2.0
    assert max(alarms.values()) <= 8.0
