"""A Llama of a few thousand weights with a tokenizer of single letters, as a GGUF file: to train in seconds."""

from pathlib import Path

import numpy as np

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 .,?!'-:;()"
WIDTH, HEADS, KEYS, INNER, LAYERS = 32, 4, 2, 32, 2
TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}{{ message['content'] }}"
    "{{ '<|im_end|>' + '\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def tiny_gguf(path: Path, seed: int = 0) -> Path:
    """Write it; its matrices are of float16, so that what is read is what was written."""
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

    def matrix(name: str, *shape: int) -> None:
        writer.add_tensor(name, (chance.standard_normal(shape) / np.sqrt(shape[-1])).astype(np.float16))

    def ones(name: str) -> None:
        writer.add_tensor(name, np.ones(WIDTH, np.float32))

    matrix("token_embd.weight", len(tokens), WIDTH)
    for layer in range(LAYERS):
        block = f"blk.{layer}."
        ones(f"{block}attn_norm.weight")
        matrix(f"{block}attn_q.weight", WIDTH, WIDTH)
        matrix(f"{block}attn_k.weight", KEYS * head, WIDTH)
        matrix(f"{block}attn_v.weight", KEYS * head, WIDTH)
        matrix(f"{block}attn_output.weight", WIDTH, WIDTH)
        ones(f"{block}ffn_norm.weight")
        matrix(f"{block}ffn_gate.weight", INNER, WIDTH)
        matrix(f"{block}ffn_up.weight", INNER, WIDTH)
        matrix(f"{block}ffn_down.weight", WIDTH, INNER)
    ones("output_norm.weight")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
