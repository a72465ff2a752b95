"""Everything the training looks at: the labelled data, embedded."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from multimood.training.encoders import Floats, Places, Report, embed_faces, embed_sounds, embed_texts
from multimood.training.fusion.corpora import Samples, read_faces, read_sounds, read_table, read_texts
from multimood.training.fusion.dialogues import Turns, read_esconv, read_mesc
from multimood.training.fusion.emotion import Pool, pool

STRONG: Final = "strong"


@dataclass(frozen=True, slots=True)
class Material:
    """Pools of single utterances, and turns with their words' vectors.

    `faces` has a row for every size at which a face was found; `first_face` float32 [n, 512] is what is seen first
    (NaN: nothing was), beside `face_samples`. `strong` int64 [n] says of RAVDESS' sounds whether they are strong (0) or
    normal (1), -1 for others. `spoken` are the words of RAVDESS' sounds.
    """

    texts: Pool
    sounds: Pool
    sound_samples: tuple[Samples, ...]
    strong: NDArray[np.int64]
    spoken: Floats
    faces: Pool
    face_samples: Samples
    first_face: Floats
    mesc: Turns
    mesc_text: Floats
    esconv: Turns
    esconv_text: Floats


def read_material(data: Path, places: Places, report: Report) -> Material:
    """Read and embed everything below `data`.

    Raises:
        NotFoundError: a data set or an encoder is not there.
    """
    texts, sounds, faces = read_texts(data), read_sounds(data), read_faces(data)
    mesc, esconv = read_mesc(data), read_esconv(data)
    manifest = {row["path"]: row for row in read_table(data / "audio" / "ravdess" / "manifest.csv")}
    words = [text for samples in texts for text in samples.inputs] + [*mesc.texts, *esconv.texts]
    words += [manifest[path]["text"] for path in sounds[0].inputs]
    different = sorted(set(words))
    report(f"{len(different):,} different texts, {sum(map(len, sounds)):,} sounds, {len(faces):,} faces")
    vectors = embed_texts(places, different, report)
    place = {text: number for number, text in enumerate(different)}
    embedded = vectors[[place[text] for text in words]]
    ends = np.cumsum([sum(map(len, texts)), len(mesc), len(esconv)])
    utterances, mesc_text, esconv_text, spoken = np.split(embedded, ends)
    heard = embed_sounds(places, data, [path for samples in sounds for path in samples.inputs], report)
    seen = embed_faces(places, data, faces.inputs, report)
    return Material(
        texts=pool(texts, [utterances]),
        sounds=pool(sounds, [heard]),
        sound_samples=tuple(sounds),
        strong=_strong(sounds, manifest),
        spoken=spoken,
        faces=_all_sizes(faces, seen),
        face_samples=faces,
        first_face=_first(seen),
        mesc=mesc,
        mesc_text=mesc_text,
        esconv=esconv,
        esconv_text=esconv_text,
    )


def _strong(sounds: Sequence[Samples], manifest: dict[str, dict[str, str]]) -> NDArray[np.int64]:
    found = [manifest.get(path, {}).get("intensity") for samples in sounds for path in samples.inputs]
    return np.array([-1 if value is None else int(value != STRONG) for value in found], np.int64)


def _first(seen: Floats) -> Floats:
    first: Floats = seen[0].copy()
    for other in seen[1:]:
        first = np.where(np.isnan(first[:, :1]), other, first).astype(np.float32)
    return first


def _all_sizes(faces: Samples, seen: Floats) -> Pool:
    """Each size at which a face was found is a row; the rows of one face share its weight."""
    whole = pool([faces] * len(seen), list(seen))
    found = ~np.isnan(whole.x[:, 0])
    share = found.reshape(len(seen), -1).sum(axis=0).clip(1)
    task = whole.task.rows(found)
    task.weights[:] = (1 / np.tile(share, len(seen)))[found]
    return Pool(
        whole.x[found], task, whole.corpus[found], whole.groups[found], whole.held[found], whole.previous[found]
    )
