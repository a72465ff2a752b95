"""A model of a hub, by transformers: words, sound or pictures in, vectors out. Knows nothing of Triton."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoFeatureExtractor, AutoImageProcessor, AutoModel

POOLINGS: Mapping[str, Sequence[str]] = {
    "text": ("mean", "cls", "last", "pooler"),
    "audio": ("mean", "mean_std", "cls", "pooler"),
    "video": ("mean", "cls", "pooler"),
}
"""How states over time or place become one vector, by modality; the first is the default."""
SAMPLE_RATE = 16_000
MOST_SAMPLES = 30 * SAMPLE_RATE
LEAST_SAMPLES = SAMPLE_RATE // 10
"""Shorter sound gets silence behind it: below this the convolutions of wav2vec2 and its kin have nothing to give."""
FACE_MARGIN = 1.25
"""Side of the square that is cut out, over the longer side of the face's box."""
LEAST_SIDE = 16
FACE = 5
CLIPS = ("videomae",)
"""Models that look at all frames of a clip together."""


class HubError(Exception):
    """The model cannot serve as asked for; the message says why, and what would."""


def open_encoder(
    folder: Path, modality: str, pooling: str, *, device: str = "cpu", normalize: bool = False, layer: int = -1
) -> Any:
    """Load what `models use` wrote: nothing is fetched, and no code of the model's own is run.

    What it gives is called with tensors; its `widths()` are the sizes of its output after the rows.

    Raises:
        HubError: no such modality, pooling or layer, or the model has not got what it takes.
    """
    if pooling not in POOLINGS.get(modality, ()):
        raise HubError(f"{modality} cannot be pooled by {pooling!r}: {', '.join(POOLINGS.get(modality, ('?',)))}")
    net = AutoModel.from_pretrained(folder, dtype="auto", local_files_only=True, use_safetensors=True)
    net = _tower(net, modality).to(device).eval().requires_grad_(False)
    if modality == "text":
        return TextEncoder(net, pooling, normalize=normalize)
    if modality == "audio":
        extractor = AutoFeatureExtractor.from_pretrained(folder, local_files_only=True)
        return AudioEncoder(net, extractor, pooling, layer)
    return VideoEncoder(net, AutoImageProcessor.from_pretrained(folder, local_files_only=True), pooling)


def _tower(net: Any, modality: str) -> Any:
    """The part of a model of several parts that is needed: CLIP's and SigLIP's towers, Whisper's and T5's encoder."""
    tower = getattr(net, {"text": "text_model", "video": "vision_model"}.get(modality, ""), None)
    if tower is not None:
        return tower
    if getattr(net.config, "is_encoder_decoder", False):
        return net.get_encoder()
    return net


class TextEncoder:
    """input_ids, attention_mask int64 [b, t] -> float32 [b, d]."""

    def __init__(self, net: Any, pooling: str, *, normalize: bool) -> None:
        _needs(net, ("input_ids",), "text")
        self._net, self._pooling, self._normalize = net, pooling, normalize
        self._pad = getattr(net.config, "pad_token_id", None)

    def widths(self) -> list[int]:
        """[d]."""
        return list(self(torch.ones(1, 4, dtype=torch.int64), torch.ones(1, 4, dtype=torch.int64)).shape[1:])

    def __call__(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Embed rows of one length. What is padded (mask 0) counts for nothing, whatever stands there."""
        ids, mask = ids.to(self._net.device), mask.to(self._net.device)
        if self._pad is not None:  # RoBERTa counts its positions by it
            ids = torch.where(mask > 0, ids, self._pad)
        found = self._net(input_ids=ids, attention_mask=mask)
        if self._pooling == "pooler":
            vectors = _pooler(found)
        else:
            vectors = pool_words(found.last_hidden_state, mask, self._pooling)
        vectors = vectors.float()
        return torch.nn.functional.normalize(vectors, dim=1) if self._normalize else vectors


class AudioEncoder:
    """wave float32 [b, n], 16 kHz -> float32 [b, d]: one layer's states, pooled over time."""

    def __init__(self, net: Any, extractor: Any, pooling: str, layer: int) -> None:
        if extractor.sampling_rate != SAMPLE_RATE:
            raise HubError(f"the model takes sound of {extractor.sampling_rate} Hz; served is {SAMPLE_RATE}")
        self._key = _needs(net, ("input_values", "input_features"), "sound")
        self._net, self._extractor, self._pooling, self._layer = net, extractor, pooling, layer

    def widths(self) -> list[int]:
        """[d]."""
        return list(self(torch.zeros(1, SAMPLE_RATE)).shape[1:])

    def __call__(self, wave: torch.Tensor) -> torch.Tensor:
        """Embed waves of one length; of long ones the last 30 s."""
        wave = wave[:, -MOST_SAMPLES:]
        wave = torch.nn.functional.pad(wave, (0, max(0, LEAST_SAMPLES - wave.shape[1])))
        prepared = self._extractor(list(wave.numpy()), sampling_rate=SAMPLE_RATE, return_tensors="pt")
        sound = prepared[self._key].to(self._net.device, self._net.dtype)
        found = self._net(**{self._key: sound}, output_hidden_states=True)
        if self._pooling == "pooler":
            return _pooler(found).float()
        layers = found.hidden_states[1:]
        if not -len(layers) <= self._layer < len(layers):
            raise HubError(f"layer {self._layer} is not there: the model has {len(layers)}, counted from 0")
        states = layers[self._layer].float()
        return pool_sound(states[:, : self._heard(wave.shape[1], states.shape[1])], self._pooling)

    def _heard(self, samples: int, steps: int) -> int:
        """Steps that are of the sound: Whisper pads all to 30 s, and silence would drown what was said."""
        window = getattr(self._extractor, "n_samples", None)
        return steps if window is None else max(1, min(steps, math.ceil(steps * samples / window)))


class VideoEncoder:
    """Frames uint8 [n, h, w, 3], RGB -> float32 [n, d], a row a frame."""

    def __init__(self, net: Any, processor: Any, pooling: str) -> None:
        _needs(net, ("pixel_values",), "pictures")
        self._net, self._processor, self._pooling = net, processor, pooling
        self._sees_clips = net.config.model_type in CLIPS
        if self._sees_clips and pooling != "mean":
            raise HubError(f"{net.config.model_type} has no {pooling} state: use mean")

    def widths(self) -> list[int]:
        """[d]."""
        return list(self([torch.zeros(64, 64, 3, dtype=torch.uint8)]).shape[1:])

    def __call__(self, frames: Sequence[torch.Tensor]) -> torch.Tensor:
        """Embed the frames of one clip, each of a size of its own."""
        if self._sees_clips:
            return self._clip(frames)
        found = self._net(pixel_values=self._pixels(frames))
        if self._pooling == "pooler":
            return _pooler(found).float()
        states = found.last_hidden_state.float()
        if states.ndim != 3:  # noqa: PLR2004 - frames, places, width
            raise HubError(f"{self._net.config.model_type} gives maps, not a row of states: use pooler")
        return states[:, 0] if self._pooling == "cls" else states.mean(dim=1)

    def _clip(self, frames: Sequence[torch.Tensor]) -> torch.Tensor:
        """Give each frame the mean state of the moment that it belongs to."""
        config = self._net.config
        pixels = self._pixels([frames[at] for at in spread(config.num_frames, len(frames))])
        clip = pixels if pixels.ndim == 5 else pixels[None]  # noqa: PLR2004 - clips, frames, colours, height, width
        states = self._net(pixel_values=clip).last_hidden_state.float()[0]
        moments = states.unflatten(0, (config.num_frames // config.tubelet_size, -1)).mean(dim=1)
        return moments[spread(len(frames), len(moments))]

    def _pixels(self, frames: Sequence[torch.Tensor]) -> torch.Tensor:
        pictures = [frame.numpy() for frame in frames]
        prepared = self._processor(pictures, input_data_format="channels_last", return_tensors="pt")
        pixels: torch.Tensor = prepared["pixel_values"].to(self._net.device, self._net.dtype)
        return pixels


# --- pooling and cutting ----------------------------------------------------------------------------------------------


def pool_words(states: torch.Tensor, mask: torch.Tensor, pooling: str) -> torch.Tensor:
    """[b, t, d], [b, t] -> [b, d]: the mean of what is not padded, its first state, or its last."""
    weights = mask.to(states.dtype)[:, :, None]
    if pooling == "mean":
        return (states * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)
    if pooling == "cls":
        return states[:, 0]
    places = torch.arange(mask.shape[1], device=mask.device)
    last = (mask * places).argmax(dim=1)
    return states[torch.arange(len(states), device=states.device), last]


def pool_sound(states: torch.Tensor, pooling: str) -> torch.Tensor:
    """[b, t, d] -> [b, d], or [b, 2 d] for mean and standard deviation over time."""
    if pooling == "cls":
        return states[:, 0]
    mean = states.mean(dim=1)
    return mean if pooling == "mean" else torch.cat([mean, states.std(dim=1, correction=0)], dim=1)


def spread(count: int, length: int) -> list[int]:
    """`count` places spread evenly over `length`, the ends among them."""
    return [round(at * (length - 1) / max(1, count - 1)) for at in range(count)]


def cut_faces(frames: torch.Tensor, faces: torch.Tensor) -> list[torch.Tensor]:
    """The square around each face, black where it leaves the frame.

    Frames uint8 [n, side, side, 3]; faces float32 [n, 5]: centre x and y, width, height as shares of the side, score.
    """
    cuts = []
    for frame, face in zip(frames, faces, strict=True):
        side = frame.shape[0]
        x, y, width, height = (float(value) for value in face[:4])
        length = min(2 * side, max(LEAST_SIDE, round(FACE_MARGIN * max(width, height) * side)))
        left, top = round(x * side - length / 2), round(y * side - length / 2)
        square = torch.zeros(length, length, 3, dtype=torch.uint8)
        rows, columns = slice(max(0, top), top + length), slice(max(0, left), left + length)
        part = frame[rows, columns]
        down, right = max(0, -top), max(0, -left)
        square[down : down + part.shape[0], right : right + part.shape[1]] = part
        cuts.append(square)
    return cuts


def _pooler(found: Any) -> torch.Tensor:
    pooled = getattr(found, "pooler_output", None)
    if pooled is None:
        raise HubError("the model has no pooler: use mean or cls")
    return pooled


def _needs(net: Any, names: Sequence[str], what: str) -> str:
    """The name of the model's input, one of `names`."""
    name: str = net.main_input_name
    if name not in names:
        raise HubError(f"{type(net).__name__} takes {name}, and is no model for {what}")
    return name
