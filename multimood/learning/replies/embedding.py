"""Sentence vectors for the judges, by the served text encoder's own graph, run here: a training has no server."""

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from multimood.media.text import LENGTHS
from multimood.training.encoders import PLACES, open_graph
from multimood.training.runs import digest
from multimood.trust.case import Embed

TOGETHER: Final = 16
REMEMBERED: Final = 20_000
"""Vectors at 3 kB each: a reference and its parts come again with every candidate."""

Floats = NDArray[np.float32]


def local_embed(root: Path) -> tuple[Embed, str]:
    """The function that embeds texts, and a hash of what it does so with; it remembers its newest answers.

    Raises:
        NotFoundError: graph or tokenizer are not below `root`: `make setup` makes them.
    """
    places = PLACES.below(root)
    graph = places.graph("text_encoder")
    session, reader = open_graph(graph), Tokenizer.from_file(str(places.tokenizer))
    reader.enable_truncation(LENGTHS[-1])
    reader.enable_padding()
    known: OrderedDict[str, Floats] = OrderedDict()

    def run(texts: Sequence[str]) -> None:
        encoded = reader.encode_batch(list(texts))
        ids = np.array([item.ids for item in encoded], np.int64)
        mask = np.array([item.attention_mask for item in encoded], np.int64)
        known.update(zip(texts, session.run(None, {"input_ids": ids, "attention_mask": mask})[0], strict=True))

    async def embed(texts: Sequence[str]) -> Floats:
        new = sorted({text for text in texts if text not in known}, key=len)  # like lengths together: less padding
        for begin in range(0, len(new), TOGETHER):
            run(new[begin : begin + TOGETHER])
        found: Floats = np.stack([known[text] for text in texts]).astype(np.float32, copy=False)
        while len(known) > REMEMBERED:
            known.popitem(last=False)
        return found

    return embed, digest(graph, places.tokenizer)
