"""Tiny models of a hub, with random weights, written as their makers would: `python tests/hub_models.py KIND FOLDER`.

Needs torch and transformers.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import torch
import transformers as hf

WIDTH, LAYERS = 32, 3
SMALL = {
    "hidden_size": WIDTH, "num_hidden_layers": LAYERS, "num_attention_heads": 4, "intermediate_size": 48,
}  # fmt: skip
WORDS = ["<s>", "<pad>", "</s>", "<unk>", "i", "lost", "my", "job", "today"]


def _tokenizer(folder: Path) -> None:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    own = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="<unk>"))
    own.normalizer, own.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.Whitespace()
    own.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )  # fmt: skip
    hf.PreTrainedTokenizerFast(tokenizer_object=own, pad_token="<pad>", unk_token="<unk>").save_pretrained(folder)


def roberta(folder: Path) -> None:
    config = hf.RobertaConfig(**SMALL, vocab_size=len(WORDS), max_position_embeddings=300, type_vocab_size=1)
    hf.RobertaModel(config).save_pretrained(folder)
    _tokenizer(folder)


def roberta_without_pooler(folder: Path) -> None:
    config = hf.RobertaConfig(**SMALL, vocab_size=len(WORDS), max_position_embeddings=300, type_vocab_size=1)
    hf.RobertaModel(config, add_pooling_layer=False).save_pretrained(folder)
    _tokenizer(folder)


def qwen(folder: Path) -> None:
    config = hf.Qwen2Config(**SMALL, num_key_value_heads=2, vocab_size=len(WORDS), pad_token_id=1)
    hf.Qwen2ForCausalLM(config).save_pretrained(folder)
    _tokenizer(folder)


def wavlm(folder: Path) -> None:
    config = hf.WavLMConfig(**SMALL, conv_dim=(16,) * 7, num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=4)
    hf.WavLMModel(config).save_pretrained(folder)
    hf.Wav2Vec2FeatureExtractor(return_attention_mask=False).save_pretrained(folder)


def whisper(folder: Path) -> None:
    config = hf.WhisperConfig(
        d_model=WIDTH, encoder_layers=LAYERS, decoder_layers=1, encoder_attention_heads=4, decoder_attention_heads=4,
        encoder_ffn_dim=48, decoder_ffn_dim=48, num_mel_bins=80, vocab_size=64, pad_token_id=0, bos_token_id=1,
        eos_token_id=2, decoder_start_token_id=1,
    )  # fmt: skip
    hf.WhisperForConditionalGeneration(config).save_pretrained(folder)
    hf.WhisperFeatureExtractor(feature_size=80).save_pretrained(folder)


def clip(folder: Path) -> None:
    config = hf.CLIPConfig(
        vision_config={**SMALL, "image_size": 32, "patch_size": 8},
        text_config={**SMALL, "vocab_size": 64, "max_position_embeddings": 16},
        projection_dim=16,
    )
    hf.CLIPModel(config).save_pretrained(folder)
    _pictures("CLIP", folder, shortest_edge=32)


def siglip(folder: Path) -> None:
    config = hf.SiglipConfig(
        vision_config={**SMALL, "image_size": 32, "patch_size": 8},
        text_config={**SMALL, "vocab_size": 64, "max_position_embeddings": 16},
    )
    hf.SiglipModel(config).save_pretrained(folder)
    _pictures("Siglip", folder, height=32, width=32)


def videomae(folder: Path) -> None:
    config = hf.VideoMAEConfig(**SMALL, image_size=32, patch_size=8, num_frames=4, tubelet_size=2)
    hf.VideoMAEModel(config).save_pretrained(folder)
    _pictures("VideoMAE", folder, shortest_edge=32)


def _pictures(name: str, folder: Path, **size: int) -> None:
    crop = {"crop_size": {"height": 32, "width": 32}} if "shortest_edge" in size else {}
    getattr(hf, f"{name}ImageProcessor")(size=size, **crop).save_pretrained(folder)


KINDS: dict[str, Callable[[Path], None]] = {
    make.__name__: make
    for make in (roberta, roberta_without_pooler, qwen, wavlm, whisper, clip, siglip, videomae)
}  # fmt: skip


def make(kind: str, folder: Path) -> Path:
    """Write one, the same every time."""
    torch.manual_seed(0)
    KINDS[kind](folder)
    return folder


if __name__ == "__main__":
    make(sys.argv[1], Path(sys.argv[2]))
