"""A Llama of a few thousand weights with a tokenizer of single letters, as a GGUF file: to train in seconds."""

from pathlib import Path

import numpy as np
from gguf_file import Value, write_gguf

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 .,?!'-:;()"
WIDTH, HEADS, KEYS, INNER, LAYERS = 32, 4, 2, 32, 2
TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}{{ message['content'] }}"
    "{{ '<|im_end|>' + '\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
# The byte-level alphabet: a space is written as G with a dot, a new line as C with a dot.
TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "\u010a", *LETTERS.replace(" ", "\u0120"), "th", "in"]
SAYS: dict[str, Value] = {
    "general.architecture": "llama",
    "general.file_type": 1,
    "llama.block_count": LAYERS,
    "llama.context_length": 2_048,
    "llama.embedding_length": WIDTH,
    "llama.feed_forward_length": INNER,
    "llama.attention.head_count": HEADS,
    "llama.attention.head_count_kv": KEYS,
    "llama.attention.layer_norm_rms_epsilon": 1e-5,
    "llama.rope.freq_base": 10_000.0,
    "llama.rope.dimension_count": WIDTH // HEADS,
    "llama.vocab_size": len(TOKENS),
    "tokenizer.ggml.model": "gpt2",
    "tokenizer.ggml.pre": "smollm",
    "tokenizer.ggml.tokens": TOKENS,
    "tokenizer.ggml.token_type": [3, 3, 3, *[1] * (len(TOKENS) - 3)],
    "tokenizer.ggml.merges": ["t h", "i n"],
    "tokenizer.ggml.bos_token_id": 1,
    "tokenizer.ggml.eos_token_id": 2,
    "tokenizer.ggml.padding_token_id": 2,
    "tokenizer.chat_template": TEMPLATE,
}


def tiny_gguf(path: Path, seed: int = 0, says: str | None = None) -> Path:
    """Write it; its matrices are of float16, so that what is read is what was written.

    One that `says` something replies so to everybody, whatever the seed; no letter may come twice in it.
    """
    chance, tensors, quiet = np.random.default_rng(seed), dict[str, np.ndarray](), 0 if says is not None else 1

    def matrix(name: str, *shape: int) -> None:
        tensors[name] = (chance.standard_normal(shape) / np.sqrt(shape[-1])).astype(np.float16)

    def ones(name: str) -> None:
        tensors[name] = np.ones(WIDTH, np.float32)

    matrix("token_embd.weight", len(TOKENS), WIDTH)
    for layer in range(LAYERS):
        block = f"blk.{layer}."
        ones(f"{block}attn_norm.weight")
        matrix(f"{block}attn_q.weight", WIDTH, WIDTH)
        matrix(f"{block}attn_k.weight", KEYS * WIDTH // HEADS, WIDTH)
        matrix(f"{block}attn_v.weight", KEYS * WIDTH // HEADS, WIDTH)
        matrix(f"{block}attn_output.weight", WIDTH, WIDTH)
        ones(f"{block}ffn_norm.weight")
        matrix(f"{block}ffn_gate.weight", INNER, WIDTH)
        matrix(f"{block}ffn_up.weight", INNER, WIDTH)
        matrix(f"{block}ffn_down.weight", WIDTH, INNER)
        for name in (f"{block}attn_output.weight", f"{block}ffn_down.weight"):
            tensors[name] *= quiet  # what a layer adds
    ones("output_norm.weight")
    if says is not None:
        tensors["output.weight"] = _following(tensors["token_embd.weight"], says)
    write_gguf(path, SAYS, tensors)
    return path


def _following(embeddings: np.ndarray, says: str) -> np.ndarray:
    """Every letter is followed by the next, which no layer changes; the first by the end of the prompt."""
    chain = [TOKENS.index(one) for one in ["\u010a", *says.replace(" ", "\u0120"), "<|im_end|>"]]
    assert len(set(chain)) == len(chain), "a letter comes twice"
    found = np.zeros_like(embeddings)
    found[chain[1:]] = 8 * embeddings[chain[:-1]]
    return found
