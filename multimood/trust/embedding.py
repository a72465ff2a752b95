"""Texts to vectors for the learned judges, by the text encoder on Triton."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from multimood.inference import InferenceClient
from multimood.media.text import TextTokenizer
from multimood.trust.case import Embed


def embedder(client: InferenceClient, tokenizer: TextTokenizer, model: str) -> Embed:
    """Make the function that embeds texts by the Triton model `model`: n texts -> float32 [n, d], in one request."""

    async def embed(texts: Sequence[str]) -> NDArray[np.float32]:
        encoded = [tokenizer.encode(text) for text in texts]
        longest = max(ids.shape[1] for ids, _ in encoded)
        ids, mask = (np.zeros((len(texts), longest), np.int64) for _ in range(2))
        for row, (its_ids, its_mask) in enumerate(encoded):
            ids[row, : its_ids.shape[1]] = its_ids[0]
            mask[row, : its_mask.shape[1]] = its_mask[0]
        found = await client.infer(model, {"input_ids": ids, "attention_mask": mask})
        return found.outputs["embedding"].astype(np.float32, copy=False)

    return embed
