"""Every text, sound and picture of a corpus once through the served encoders: vectors by what they are of."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from multimood import encoding
from multimood.contracts.v1 import events_pb2 as pb
from multimood.evaluation.concurrently import all_of
from multimood.evaluation.rows import Seen
from multimood.evaluation.served import Served
from multimood.media.apart import Decoders
from multimood.media.errors import MediaError, MediaFault
from multimood.media.limits import MediaLimits
from multimood.media.text import TextTokenizer
from multimood.perception.fusion import Sight, see
from multimood.perception.picture import VideoModelSettings, picture_question, picture_vector
from multimood.perception.sound import AudioModelSettings, sound_question, sound_vector
from multimood.perception.text import TextModelSettings, text_question, text_vector
from multimood.training.faces import FACE_SIZES, framed, picture_of

Vector: TypeAlias = NDArray[np.float32]
Kind: TypeAlias = Literal["text", "audio", "video", "picture"]
Key: TypeAlias = tuple[Kind, str]
Tick: TypeAlias = Callable[[], None]

TEXTS_AT_ONCE: Final = 64
MEDIA_AT_ONCE: Final = 4
MODALITY: Final[Mapping[str, pb.Modality]] = {
    "text": pb.MODALITY_TEXT, "audio": pb.MODALITY_AUDIO, "video": pb.MODALITY_VIDEO, "picture": pb.MODALITY_VIDEO,
}  # fmt: skip
_AS: Final[Mapping[Kind, str]] = {"text": "text", "audio": "audio", "video": "video", "picture": "video"}
NO_SOUND: Final = "clips without sound"


@dataclass(frozen=True, slots=True)
class Encoded:
    """Vectors by what they are of; None where there is none, and why, counted by modality and reason.

    `silent` are the clips that have no sound track: nobody announces sound for them.
    """

    vectors: Mapping[Key, Vector | None]
    reasons: Counter[str]
    silent: frozenset[str]

    def modalities(self, seen: Seen) -> frozenset[str]:
        """What an utterance comes with, whether or not it could be used: text, audio, video."""
        found = {_AS[kind] for kind, name in keys_of(seen) if kind != "audio" or name not in self.silent}
        return frozenset(found | ({"video"} if seen.face else set()))

    def words(self, text: str) -> Vector | None:
        """The vector of what somebody said; None where it was not encoded, or there are no words."""
        return self.vectors.get(("text", text))

    def sight(self, seen: Seen) -> Sight:
        """The vectors as the strategist takes them out of a joined record."""
        embeddings = []
        for kind, name in keys_of(seen):
            vector = self.vectors[kind, name]
            if vector is not None:
                flat = np.ascontiguousarray(vector, dtype="<f4").reshape(-1)
                embeddings.append(pb.Embedding(modality=MODALITY[kind], vector=flat.tobytes(), shape=flat.shape))
        return see(pb.Features(embeddings=embeddings))


def keys_of(seen: Seen) -> list[Key]:
    """What has to be encoded of an utterance."""
    found: list[Key] = [("text", seen.text)] if seen.text.strip() else []
    files: tuple[tuple[Kind, Path | None], ...] = (
        ("audio", seen.audio), ("video", seen.video), ("picture", seen.picture),
    )  # fmt: skip
    return found + [(kind, str(path)) for kind, path in files if path is not None]


class Encoders:
    """The three encoders as their services ask them."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self._text, self._audio, self._video = TextModelSettings(), AudioModelSettings(), VideoModelSettings()
        self._tokenizer: TextTokenizer | None = None
        self._decoders = Decoders(MediaLimits(), MEDIA_AT_ONCE // 2)
        self._reasons: Counter[str] = Counter()
        self._silent: set[str] = set()

    async def encode(self, every: Iterable[Seen], tick: Tick) -> Encoded:
        """Encode what is different in all of them; `tick` is called for each.

        Raises:
            MultimoodError: a model does not answer, or not what it should.
        """
        keys = list(dict.fromkeys(key for seen in every for key in keys_of(seen)))
        keys.sort(key=lambda key: (key[0], len(key[1]) if key[0] == "text" else 0))  # like lengths go together
        clips = {name for kind, name in keys if kind == "video"}
        turns = {"text": asyncio.Semaphore(TEXTS_AT_ONCE)}
        media = asyncio.Semaphore(MEDIA_AT_ONCE)
        vectors: dict[Key, Vector | None] = {}

        async def one(key: Key) -> None:
            async with turns.get(key[0], media):
                vectors[key] = await self._encode(*key, in_clip=key[1] in clips)
                tick()

        try:
            await all_of(one(key) for key in keys)
        finally:
            await self._decoders.close()
        return Encoded(vectors, self._reasons, frozenset(self._silent))

    async def _encode(self, kind: Kind, name: str, *, in_clip: bool) -> Vector | None:
        if kind == "text":
            return await self._words(name)
        try:
            vector = await {"audio": self._sound, "video": self._clip, "picture": self._face}[kind](Path(name))
        except OSError:
            reason = "media_not_found"
        except MediaError as error:
            if error.reason == MediaFault.NO_AUDIO_STREAM and in_clip:
                self._silent.add(name)
                self._reasons[NO_SOUND] += 1
                return None
            reason = pb.MissingReason.Name(encoding.reason_of(error)).removeprefix("MISSING_REASON_").lower()
        else:
            if vector is not None:
                return vector
            reason = "no_face"
        self._reasons[f"{_AS[kind]} missing: {reason}"] += 1
        return None

    async def _words(self, text: str) -> Vector:
        if self._tokenizer is None:
            self._tokenizer = TextTokenizer(self._served.home / self._text.tokenizer)
        found = await self._served.row(self._text.model, text_question(self._tokenizer, text))
        return text_vector(found)

    async def _sound(self, path: Path) -> Vector:
        wave = await self._decoders.wave(await asyncio.to_thread(path.read_bytes))
        question = await asyncio.to_thread(sound_question, wave, self._audio.input)
        return sound_vector(await self._served.ask(self._audio.model, question))

    async def _clip(self, path: Path) -> Vector | None:
        data = await asyncio.to_thread(path.read_bytes)
        frames = await self._decoders.frames(data, fps=self._video.frames_per_s, most=self._video.most_frames)
        return picture_vector(await self._served.ask(self._video.model, picture_question(frames)))

    async def _face(self, path: Path) -> Vector | None:
        """A face as a clip of one frame: at the first of the sizes at which it is found, as in training."""
        try:
            picture = await asyncio.to_thread(picture_of, path)
        except (ValueError, StopIteration) as error:  # PyAV's errors are ValueErrors and OSErrors
            raise MediaError(MediaFault.CORRUPT, type(error).__name__) from None
        for size in FACE_SIZES:
            frames = framed(picture, size)[None]
            vector = picture_vector(await self._served.ask(self._video.model, picture_question(frames)))
            if vector is not None:
                return vector
        return None
