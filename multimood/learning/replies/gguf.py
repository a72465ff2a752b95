"""Weights of a Llama between llama.cpp's file (GGUF) and transformers' names and order.

llama.cpp keeps the two halves of each rotary pair side by side, transformers keeps all first halves before all second
ones: rows of the query and key projections are put in the other order on the way. Everything else is names. What a file
says beside its weights (tokenizer, chat template, shape) is taken over as it is, so a tuned model is written beside the
one that it was tuned from.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from multimood.errors import ConfigurationError

Floats = NDArray[np.float32]
Type = Literal["F16", "Q8_0", "Q4_1"]
"""How the matrices of a file are kept: 16, 8.5 or 5 bits a weight. Vectors are float32 in all of them."""

ARCHITECTURE: Final = "llama"
OUTER: Final = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
INNER: Final = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_BLOCK_PARTS: Final = 4


class GGUF:
    """A file of llama.cpp with a Llama in it. Needs the package gguf (the training environment)."""

    def __init__(self, path: Path) -> None:
        """Raise ConfigurationError when it is no GGUF file, or holds another kind of model."""
        from gguf import GGUFReader  # noqa: PLC0415 - of the training environment

        try:
            self._file: Any = GGUFReader(path)
        except (OSError, ValueError, IndexError, KeyError) as error:
            raise ConfigurationError(
                f"{path} is no GGUF file ({type(error).__name__}): give one of llama.cpp"
            ) from None
        self.path: Final = path
        kind = self.says("general.architecture")
        if kind != ARCHITECTURE:
            raise ConfigurationError(
                f"{path} holds a model of kind {kind!r}, and this reads {ARCHITECTURE!r}: give the folder of its "
                "weights as transformers saves them, and convert what comes out with llama.cpp's convert_hf_to_gguf.py"
            )

    def says(self, name: str, otherwise: Any = None) -> Any:
        """What the file says under a name of its own; `llama.` may be left out."""
        field = self._file.fields.get(name) or self._file.fields.get(f"{ARCHITECTURE}.{name}")
        return otherwise if field is None else field.contents()

    @property
    def shape(self) -> dict[str, Any]:
        """The model's shape, as arguments of transformers' LlamaConfig."""
        width, heads = self.says("embedding_length"), self.says("attention.head_count")
        return {
            "vocab_size": len(self.says("tokenizer.ggml.tokens")),
            "hidden_size": width,
            "intermediate_size": self.says("feed_forward_length"),
            "num_hidden_layers": self.says("block_count"),
            "num_attention_heads": heads,
            "num_key_value_heads": self.says("attention.head_count_kv", heads),
            "head_dim": self.says("rope.dimension_count", width // heads),
            "max_position_embeddings": self.says("context_length"),
            "rms_norm_eps": float(self.says("attention.layer_norm_rms_epsilon")),
            "rope_parameters": {"rope_type": "default", "rope_theta": float(self.says("rope.freq_base", 10_000.0))},
            "tie_word_embeddings": all(tensor.name != "output.weight" for tensor in self._file.tensors),
            "bos_token_id": self.says("tokenizer.ggml.bos_token_id"),
            "eos_token_id": self.says("tokenizer.ggml.eos_token_id"),
            "pad_token_id": self.says("tokenizer.ggml.padding_token_id"),
        }

    def weights(self) -> Iterator[tuple[str, Floats]]:
        """Transformers' name and the weights, one after the other: only one is held."""
        from gguf import dequantize  # noqa: PLC0415

        for tensor in self._file.tensors:
            # Copied: what is not quantised would else be a view of the file.
            values = np.array(dequantize(tensor.data, tensor.tensor_type), np.float32)
            yield name_of(tensor.name), self._reordered(tensor.name, values, paired_apart)

    def write(self, path: Path, weights: Mapping[str, Floats], kind: Type = "Q8_0") -> None:
        """Write `weights`, by transformers' names, with everything else as it is in this file.

        Raises:
            ConfigurationError: one is missing, or has another shape than in this file.
        """
        from gguf import GGMLQuantizationType, GGUFWriter, LlamaFileType  # noqa: PLC0415
        from gguf.quants import quantize  # noqa: PLC0415

        writer = GGUFWriter(path, ARCHITECTURE)
        self._copy_to(writer)
        writer.add_file_type(LlamaFileType[f"MOSTLY_{kind}"])
        for tensor in self._file.tensors:
            wanted = tuple(int(size) for size in reversed(tensor.shape))
            values = weights.get(name_of(tensor.name))
            if values is None or values.shape != wanted:
                has = "no such weights" if values is None else f"weights of shape {values.shape}"
                raise ConfigurationError(f"{tensor.name} of {self.path.name} is {wanted}, and there are {has}")
            values = self._reordered(tensor.name, values, paired_together)
            if values.ndim == 1 or kind == "F16":
                writer.add_tensor(tensor.name, values.astype(np.float32 if values.ndim == 1 else np.float16))
            else:
                type_of = GGMLQuantizationType[kind]
                writer.add_tensor(tensor.name, quantize(values, type_of), raw_dtype=type_of)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()

    def _copy_to(self, writer: Any) -> None:
        from gguf import GGUFValueType  # noqa: PLC0415

        for name, field in self._file.fields.items():
            if name.startswith("GGUF.") or name in {"general.architecture", "general.file_type"}:
                continue  # the writer's own
            kind = field.types[0]
            inner = field.types[-1] if kind == GGUFValueType.ARRAY else None
            writer.add_key_value(name, field.contents(), kind, sub_type=inner)

    def _reordered(self, name: str, values: Floats, order: Callable[[Floats, int], Floats]) -> Floats:
        heads = self.says("attention.head_count")
        if ".attn_q." in name:
            return order(values, heads)
        return order(values, self.says("attention.head_count_kv", heads)) if ".attn_k." in name else values


def name_of(name: str) -> str:
    """Transformers' name of a tensor. Raises ConfigurationError for one that a Llama has not."""
    if name in OUTER:
        return OUTER[name]
    parts = name.split(".")
    if len(parts) != _BLOCK_PARTS or parts[0] != "blk" or parts[2] not in INNER:
        raise ConfigurationError(f"the file holds a tensor {name}, which a plain Llama has not")
    return f"model.layers.{parts[1]}.{INNER[parts[2]]}.{parts[3]}"


def paired_apart(values: Floats, heads: int) -> Floats:
    """Rows [heads x (pair, half), ...] -> [heads x (half, pair), ...]: llama.cpp's order into transformers'."""
    split = values.reshape(heads, values.shape[0] // heads // 2, 2, *values.shape[1:])
    return np.ascontiguousarray(split.swapaxes(1, 2)).reshape(values.shape)


def paired_together(values: Floats, heads: int) -> Floats:
    """The way back."""
    split = values.reshape(heads, 2, values.shape[0] // heads // 2, *values.shape[1:])
    return np.ascontiguousarray(split.swapaxes(1, 2)).reshape(values.shape)
