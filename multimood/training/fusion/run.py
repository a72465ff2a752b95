"""The whole training: material, parameters, graph, scores, card."""

import hashlib
from pathlib import Path
from typing import Final

from multimood.training.encoders import Places, Report, open_graph
from multimood.training.fusion.card import Card, write_card
from multimood.training.fusion.evaluate import Fusion, evaluate
from multimood.training.fusion.graph import build
from multimood.training.fusion.learn import learn
from multimood.training.fusion.material import read_material

OUT: Final = Path("triton_models/fusion")
PLACES: Final = Places(Path("triton_models"), Path(".tools/text_encoder/tokenizer.json"), Path(".tools/embeddings"))


def train(
    data: Path, out: Path = OUT, seed: int = 0, *, places: Places = PLACES, report: Report = lambda _line: None
) -> Card:
    """Train on the labelled data below `data`; write `<out>/1/model.onnx` and `<out>/MODEL_CARD.md`.

    Vectors are kept below `places.cache`, so that only the first run has to embed. The same seed, data and encoders
    give the same graph. Returns what the card says; its scores are those of the validation parts.

    Raises:
        NotFoundError: a data set, an encoder's graph or the tokenizer is not there.
    """
    material = read_material(data, places, report)
    parameters, choices, pairs = learn(material, data, seed, report)
    target = out / "1" / "model.onnx"
    build(parameters).save(target)
    report(f"{target}: {target.stat().st_size / 1e6:.2f} MB; evaluating it")
    rows, rated = evaluate(Fusion(open_graph(target)), material)
    digest = hashlib.sha256(target.read_bytes()).hexdigest()
    card = Card(digest, seed, tuple(rows), tuple(pairs), rated, choices)
    write_card(out / "MODEL_CARD.md", card)
    return card
