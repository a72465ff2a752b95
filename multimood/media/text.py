"""Words -> token ids, in few lengths."""

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from multimood.errors import ConfigurationError

LENGTHS: Final = (16, 24, 32, 48, 64, 96, 128, 192, 256)
"""What goes to the model together has one shape; what is padded is computed too."""
MOST_CHARACTERS: Final = 16_384
"""Tokenising is linear in the text; what 256 tokens can hold is far below this."""

Ids = NDArray[np.int64]


class TextTokenizer:
    """A `tokenizer.json` with our truncation (256 tokens) and padding (to one of `LENGTHS`) in place of its own."""

    def __init__(self, path: Path) -> None:
        """Raise `ConfigurationError` when `path` is not a tokenizer file."""
        try:
            self._tokenizer = Tokenizer.from_file(str(path))
        except Exception as fault:  # the Rust binding raises nothing narrower
            raise ConfigurationError(f"no tokenizer can be read from {path}: run `make setup`") from fault
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(LENGTHS[-1])

    def encode(self, text: str) -> tuple[Ids, Ids]:
        """`input_ids` and `attention_mask`, int64 [1, t] each. Lone surrogates become replacement characters."""
        clean = text[:MOST_CHARACTERS].encode("utf-8", "replace").decode()
        ids = self._tokenizer.encode(clean).ids
        length = next(length for length in LENGTHS if length >= len(ids))
        padded = np.zeros((2, 1, length), np.int64)
        padded[0, 0, : len(ids)] = ids
        padded[1, 0, : len(ids)] = 1
        return padded[0], padded[1]
