"""A Llama of a few thousand weights with a tokenizer of single letters, as a GGUF file: to train in seconds."""

from pathlib import Path

import numpy as np

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 .,?!'-:;()"
WIDTH, HEADS, KEYS, INNER, LAYERS = 32, 4, 2, 32, 2
TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}{{ message['content'] }}"
    "{{ '<|im_end|>' + '\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def tiny_gguf(path: Path, seed: int = 0, says: str | None = None) -> Path:
    """Write it; its matrices are of float16, so that what is read is what was written.

    One that `says` something replies so to everybody, whatever the seed; no letter may come twice in it.
    """
    from gguf import GGUFWriter, LlamaFileType

    chance = np.random.default_rng(seed)
    # The byte-level alphabet: a space is written as G with a dot, a new line as C with a dot.
    tokens = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "\u010a", *LETTERS.replace(" ", "\u0120"), "th", "in"]
    head = WIDTH // HEADS
    writer = GGUFWriter(path, "llama")
    writer.add_block_count(LAYERS)
    writer.add_context_length(2_048)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KEYS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10_000.0)
    writer.add_rope_dimension_count(head)
    writer.add_vocab_size(len(tokens))
    writer.add_file_type(LlamaFileType.MOSTLY_F16)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([3, 3, 3, *[1] * (len(tokens) - 3)])
    writer.add_token_merges(["t h", "i n"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(2)
    writer.add_chat_template(TEMPLATE)

    def matrix(name: str, *shape: int, silent: bool = False) -> np.ndarray:
        values = (chance.standard_normal(shape) / np.sqrt(shape[-1])).astype(np.float16)
        writer.add_tensor(name, np.zeros_like(values) if silent else values)
        return values

    def ones(name: str) -> None:
        writer.add_tensor(name, np.ones(WIDTH, np.float32))

    embeddings, is_fixed = matrix("token_embd.weight", len(tokens), WIDTH), says is not None
    if says is not None:
        writer.add_tensor("output.weight", _following(embeddings, tokens, says))
    for layer in range(LAYERS):
        block = f"blk.{layer}."
        ones(f"{block}attn_norm.weight")
        matrix(f"{block}attn_q.weight", WIDTH, WIDTH)
        matrix(f"{block}attn_k.weight", KEYS * head, WIDTH)
        matrix(f"{block}attn_v.weight", KEYS * head, WIDTH)
        matrix(f"{block}attn_output.weight", WIDTH, WIDTH, silent=is_fixed)
        ones(f"{block}ffn_norm.weight")
        matrix(f"{block}ffn_gate.weight", INNER, WIDTH)
        matrix(f"{block}ffn_up.weight", INNER, WIDTH)
        matrix(f"{block}ffn_down.weight", WIDTH, INNER, silent=is_fixed)
    ones("output_norm.weight")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _following(embeddings: np.ndarray, tokens: list[str], says: str) -> np.ndarray:
    """Every letter is followed by the next, which no layer changes; the first by the end of the prompt."""
    chain = [tokens.index(one) for one in ["\u010a", *says.replace(" ", "\u0120"), "<|im_end|>"]]
    assert len(set(chain)) == len(chain), "a letter comes twice"
    found = np.zeros_like(embeddings)
    found[chain[1:]] = 8 * embeddings[chain[:-1]]
    return found
