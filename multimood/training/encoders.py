"""The project's own encoders, run here by onnxruntime on one core, their vectors kept on disk.

What a service does before it calls Triton is done here by the same code (multimood.media), so that a head is trained on
what it will be served.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from tokenizers import Tokenizer

from multimood.errors import NotFoundError
from multimood.history import WIDTH
from multimood.media import audio
from multimood.media.limits import MediaLimits
from multimood.media.text import LENGTHS
from multimood.training.faces import FACE_SIZES, framed, picture_of
from multimood.training.runs import digest
from multimood.training.trials import shown

Floats = NDArray[np.float32]
Report = Callable[[str], None]
T = TypeVar("T")

_BATCH: Final = 32
_KEY: Final = 16
_FRAMES: Final = 16
_TELL_EVERY: Final = 2_000


@dataclass(frozen=True, slots=True)
class Places:
    """Where graphs and tokenizer are, and where vectors are kept."""

    models: Path
    tokenizer: Path
    cache: Path

    def below(self, folder: Path) -> "Places":
        """The same below a folder."""
        return Places(folder / self.models, folder / self.tokenizer, folder / self.cache)

    def graph(self, model: str) -> Path:
        """Path of a model's graph.

        Raises:
            NotFoundError: it is not there.
        """
        return _there(self.models / model / "1" / "model.onnx")


PLACES: Final = Places(Path("triton_models"), Path(".tools/text_encoder/tokenizer.json"), Path(".tools/embeddings"))
"""Below a checkout."""


def embed_texts(places: Places, texts: Sequence[str], report: Report) -> Floats:
    """Embed texts: float32 [n, 384], of unit length; cut after 256 tokens, as the service does.

    Every text is embedded once: vectors are kept as they come, so that a broken run goes on where it was.

    Raises:
        NotFoundError: the graph or the tokenizer is not there.
    """
    graph, tokenizer = places.graph("text_encoder"), _there(places.tokenizer)
    kept = Kept(places.cache / f"text-{digest(graph, tokenizer)}", WIDTH)
    new = [text for text in dict.fromkeys(texts) if text not in kept]
    if new:
        session, reader = open_graph(graph, os.cpu_count() or 1), Tokenizer.from_file(str(tokenizer))
        reader.enable_truncation(LENGTHS[-1])
        reader.enable_padding()
        new.sort(key=len)  # like lengths together: less padding
        for batch in _told(_batches(new, _BATCH), len(new), "texts embedded", report):
            encoded = reader.encode_batch(batch)
            ids = np.array([item.ids for item in encoded], np.int64)
            mask = np.array([item.attention_mask for item in encoded], np.int64)
            kept.add(batch, session.run(None, {"input_ids": ids, "attention_mask": mask})[0])
    return kept.of(texts)


class Kept:
    """Vectors by text, on disk: two files that only grow, one of the texts' hashes and one of the vectors."""

    def __init__(self, path: Path, width: int) -> None:
        self._width = width
        path.parent.mkdir(parents=True, exist_ok=True)
        self._keys, self._vectors = path.with_suffix(".keys"), path.with_suffix(".f32")
        content = self._keys.read_bytes() if self._keys.is_file() else b""
        whole = len(content) - len(content) % _KEY
        self._rows = {content[start : start + _KEY]: start // _KEY for start in range(0, whole, _KEY)}

    def __contains__(self, text: str) -> bool:
        return _key(text) in self._rows

    def add(self, texts: Sequence[str], vectors: Floats) -> None:
        """Keep vectors [n, d]; the hashes last, so that what a hash is there for is there."""
        rows = np.ascontiguousarray(vectors, "<f4")
        for path, content, size in (
            (self._vectors, rows.tobytes(), self._width * rows.itemsize),
            (self._keys, b"".join(map(_key, texts)), _KEY),
        ):
            with path.open("r+b" if path.exists() else "w+b") as file:
                file.seek(len(self._rows) * size)  # over what a broken run may have left half written
                file.write(content)
        for text in texts:
            self._rows[_key(text)] = len(self._rows)

    def of(self, texts: Sequence[str]) -> Floats:
        """The vectors [n, d] of texts that are all there."""
        every = np.fromfile(self._vectors, "<f4", len(self._rows) * self._width).reshape(-1, self._width)
        found: Floats = every[[self._rows[_key(text)] for text in texts]]
        return found


def _key(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:_KEY]


def raw_sounds(places: Places, root: Path, paths: Sequence[str], speed: float = 1.0) -> Floats:
    """What the audio encoder has before its adapter, of speech files played at some speed: float32 [n, 3072].

    `places.models` has the encoder as `audio_encoder.build(..., adapter=None)` gives it.

    Raises:
        NotFoundError: the graph or a file is not there.
    """
    graph = places.graph("audio_encoder")

    def make() -> Floats:
        session, limits = open_graph(graph), MediaLimits()
        found = []
        for path in shown(paths, f"sounds at speed {speed}"):
            wave = at_speed(audio.decode(_there(root / path).read_bytes(), limits), speed)
            found.append(session.run(["pooled"], {"mel": audio.log_mel(wave)})[0].reshape(-1))
        return np.stack(found).astype(np.float32)

    return _cached(places, "audio-raw", (graph,), (f"speed {speed}", *paths), make)


def at_speed(wave: audio.Wave, speed: float) -> audio.Wave:
    """Play float32 [n] faster (above 1) or slower: tempo and pitch change together, as if somebody else spoke."""
    if speed == 1:
        return wave
    places = np.arange(int(len(wave) / speed)) * speed
    played: audio.Wave = np.interp(places, np.arange(len(wave)), wave).astype(np.float32)
    return played


def embed_faces(places: Places, root: Path, paths: Sequence[str], report: Report) -> Floats:
    """Embed pictures of one face, each as a clip of one frame: float32 [sizes, n, 512], NaN where no face was found.

    The first axis is FACE_SIZES. The second half of a vector, the deviation over the clip's frames, is zero.

    Raises:
        NotFoundError: the graph or a file is not there.
    """
    graph = places.graph("video_encoder")

    def make() -> Floats:
        session = open_graph(graph)
        found = []
        for batch in _told(_batches(paths, _FRAMES), len(paths), "faces embedded", report):
            pictures = [picture_of(_there(root / path)) for path in batch]
            found.append([_look(session, [framed(picture, size) for picture in pictures]) for size in FACE_SIZES])
        mean = np.stack([np.concatenate([batch[size] for batch in found]) for size in range(len(FACE_SIZES))])
        return np.concatenate([mean, np.where(np.isnan(mean), np.nan, 0.0)], axis=2).astype(np.float32)

    return _cached(places, "face", (graph,), (f"sizes {FACE_SIZES}", *paths), make)


def open_graph(path: Path, threads: int = 1) -> Any:
    """Open a graph, here and now, for one core or more.

    Raises:
        NotFoundError: it is not there.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    return onnxruntime.InferenceSession(str(_there(path)), options, providers=["CPUExecutionProvider"])


def _look(session: Any, frames: Sequence[NDArray[np.uint8]]) -> Floats:
    face, features, _ = session.run(["face", "features", "probs"], {"frames": np.stack(frames)})
    found: Floats = np.where(face[:, 4:] > 0, features, np.float32(np.nan))
    return found


def _there(path: Path) -> Path:
    if not path.is_file():
        raise NotFoundError(f"{path} is not there: run `make setup` for models, and give the folder with audio/, face/")
    return path


def _batches(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    rest = iter(items)
    while batch := tuple(islice(rest, size)):
        yield batch


def _told(batches: Iterable[Sequence[T]], total: int, what: str, report: Report) -> Iterator[Sequence[T]]:
    done, told = 0, 0
    for batch in batches:
        yield batch
        done += len(batch)
        if done - told >= _TELL_EVERY or done == total:
            report(f"{what}: {done:,} of {total:,}")
            told = done


def _cached(
    places: Places, name: str, files: Sequence[Path], inputs: Sequence[str], make: Callable[[], Floats]
) -> Floats:
    """Keep what `make` gives under a name that changes with the encoder's files and the inputs."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    for item in inputs:
        digest.update(hashlib.sha256(item.encode()).digest())
    target = places.cache / f"{name}-{digest.hexdigest()[:20]}.npy"
    if target.is_file():
        kept: Floats = np.load(target)
        return kept
    vectors = make()
    places.cache.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(".part.npy")
    np.save(partial, vectors)
    partial.replace(target)
    return vectors
