"""How right the served models are, end to end: encoders and fusion on Triton, on the validation parts of the data.

Beside each score stands that of always answering the training part's most frequent label. A large part is sampled; the
whole of it is in the model's card, by `multimood train fusion`.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from multimood.history import SIZE, history_vector
from multimood.inference import InferenceClient
from multimood.local.places import checkout
from multimood.local.triton import TritonServer
from multimood.media import audio
from multimood.media.limits import MediaLimits
from multimood.media.text import TextTokenizer
from multimood.settings import TritonSettings
from multimood.taxonomy import EMOTIONS
from multimood.training.faces import FACE_SIZES, framed, picture_of
from multimood.training.fusion.corpora import Samples, read_faces, read_sounds, read_texts
from multimood.training.fusion.dialogues import Turns, read_esconv, read_mesc

pytestmark = [pytest.mark.evals, pytest.mark.timeout(600)]

SAMPLE = 400
DIALOGUES = 40
WIDTHS = {"text": 384, "audio": 256, "video": 512}

Vector = NDArray[np.float32]


class Served:
    """The models as a service asks them."""

    def __init__(self, client: InferenceClient) -> None:
        self._client = client
        self._tokenizer = TextTokenizer(checkout() / ".tools" / "text_encoder" / "tokenizer.json")
        self._turn = asyncio.Semaphore(8)

    async def text(self, words: str) -> Vector:
        ids, mask = self._tokenizer.encode(words)
        async with self._turn:
            found = await self._client.infer("text_encoder", {"input_ids": ids, "attention_mask": mask})
        return found.outputs["embedding"][0]

    async def sound(self, path: Path) -> Vector:
        async with self._turn:
            mel = await asyncio.to_thread(lambda: audio.log_mel(audio.decode(path.read_bytes(), MediaLimits())))
            found = await self._client.infer("audio_encoder", {"mel": mel})
        return found.outputs["embedding"][0]

    async def face(self, path: Path) -> Vector | None:
        async with self._turn:
            picture = await asyncio.to_thread(picture_of, path)
            frames = np.stack([framed(picture, size) for size in FACE_SIZES])
            found = await self._client.infer("video_encoder", {"frames": frames})
        seen = np.flatnonzero(found.outputs["face"][:, 4] > 0)
        return np.concatenate([found.outputs["features"][seen[0]], np.zeros(256, np.float32)]) if len(seen) else None

    async def fusion(self, history: Vector | None = None, **vectors: Vector) -> dict[str, Vector]:
        inputs = {name: vectors.get(name, np.full(width, np.nan, np.float32))[None] for name, width in WIDTHS.items()}
        inputs["present"] = np.array([[name in vectors for name in WIDTHS]], np.float32)
        inputs["history"] = (np.zeros(SIZE, np.float32) if history is None else history)[None]
        async with self._turn:
            found = await self._client.infer("fusion", inputs)
        return {name: array[0] for name, array in found.outputs.items()}


@pytest.fixture
async def served(triton: TritonServer) -> AsyncIterator[Served]:
    client = InferenceClient(TritonSettings(url=triton.url, deadline_s=120))
    yield Served(client)
    await client.close()


def macro_f1(truth: NDArray[np.int64], answer: NDArray[np.int64], labels: Sequence[int]) -> float:
    """The mean over `labels` of F1, which is 0 for a label that is neither there nor answered."""
    found = []
    for label in labels:
        hits = np.count_nonzero((truth == label) & (answer == label))
        all_of_both = np.count_nonzero(truth == label) + np.count_nonzero(answer == label)
        found.append(2 * hits / all_of_both if all_of_both else 0.0)
    return float(np.mean(found))


def beside(
    what: str,
    truth: NDArray[np.int64],
    shares: NDArray[np.float32],
    known: NDArray[np.int64],
    allowed: NDArray[np.bool_],
) -> tuple[float, float, float, float]:
    """Macro F1 and accuracy, each with the majority's; shown when the test runs with -s."""
    answer = np.where(allowed, shares, -np.inf).argmax(axis=1)
    majority = np.full_like(truth, np.bincount(known).argmax())
    labels = np.flatnonzero(allowed)
    own, other = macro_f1(truth, answer, labels), macro_f1(truth, majority, labels)
    right, usual = float((truth == answer).mean()), float((truth == majority).mean())
    print(f"{what}: n {len(truth)}, macro F1 {own:.3f} ({other:.3f}), accuracy {right:.3f} ({usual:.3f})")  # noqa: T201 - for a person who asks for it
    return own, other, right, usual


def some(samples: Samples, most: int = SAMPLE) -> NDArray[np.int64]:
    """Held rows, the same ones every time."""
    held = np.flatnonzero(samples.held)
    return np.sort(np.random.default_rng(0).permutation(held)[:most])


@pytest.mark.parametrize(
    ("corpus", "least"), [("meld", 0.22), ("goemotions", 0.32), ("dailydialog", 0.25), ("mesc", 0.12)]
)
async def test_emotion_from_text(served: Served, labelled_data: Path, corpus: str, least: float) -> None:
    samples = next(one for one in read_texts(labelled_data) if one.corpus == corpus)
    rows = some(samples)

    async def emotion(number: int) -> Vector:
        return (await served.fusion(text=await served.text(samples.inputs[number])))["emotion"]

    shares = np.stack(await asyncio.gather(*map(emotion, rows)))
    own, majority, right, usual = beside(
        corpus, samples.labels[rows], shares, samples.labels[~samples.held], samples.allowed
    )
    assert own > majority + 0.05
    assert own >= least
    assert right > usual - 0.03


@pytest.mark.parametrize(("corpus", "least"), [("ravdess", 0.60), ("emodb", 0.68), ("nemo", 0.36)])
async def test_emotion_from_sound_of_unknown_speakers(
    served: Served, labelled_data: Path, corpus: str, least: float
) -> None:
    samples = next(one for one in read_sounds(labelled_data) if one.corpus == corpus)
    rows = some(samples)

    async def emotion(number: int) -> Vector:
        return (await served.fusion(audio=await served.sound(labelled_data / samples.inputs[number])))["emotion"]

    shares = np.stack(await asyncio.gather(*map(emotion, rows)))
    own, majority, *_ = beside(corpus, samples.labels[rows], shares, samples.labels[~samples.held], samples.allowed)
    assert own > majority + 0.25
    assert own >= least


async def test_emotion_from_faces(served: Served, labelled_data: Path) -> None:
    samples = read_faces(labelled_data)
    rows = some(samples, 300)
    vectors = await asyncio.gather(*(served.face(labelled_data / samples.inputs[number]) for number in rows))
    found = [number for number, vector in enumerate(vectors) if vector is not None]
    answers = await asyncio.gather(*(served.fusion(video=vectors[number]) for number in found))  # type: ignore[arg-type]
    shares = np.stack([answer["emotion"] for answer in answers])
    own, majority, *_ = beside(
        "fer2013", samples.labels[rows[found]], shares, samples.labels[~samples.held], samples.allowed
    )
    assert len(found) > 0.85 * len(rows)
    assert own > majority + 0.25
    assert own >= 0.42


async def told(served: Served, turns: Turns, name: str) -> dict[int, dict[str, Vector]]:
    """Answers for whole held dialogues, each turn told of those before it, as the strategist does."""
    dialogues = [
        list(numbers)
        for _, numbers in itertools.groupby(np.flatnonzero(turns.held), key=lambda number: turns.groups[number])
    ]

    async def one(numbers: Sequence[int]) -> dict[int, dict[str, Vector]]:
        answers: dict[int, dict[str, Vector]] = {}
        felt: dict[str, float] = {}
        for number in numbers:
            before = int(turns.previous[number])
            known = before >= 0 and turns.strategy[before] >= 0
            chosen = turns.strategies[turns.strategy[before]] if known else ""
            history = history_vector(felt, chosen, int(turns.step[number]), previous=before >= 0)
            answers[number] = await served.fusion(history, text=await served.text(turns.texts[number]))
            felt = dict(zip(EMOTIONS, map(float, answers[number]["emotion"]), strict=True))
        return answers

    parts = await asyncio.gather(*map(one, dialogues[:DIALOGUES]))
    return {number: answer for part in parts for number, answer in part.items() if name in answer}


@pytest.mark.parametrize(
    ("read", "name", "margin"), [(read_mesc, "strategy_mesc", 0.02), (read_esconv, "strategy_esconv", 0.10)]
)
async def test_strategy(
    served: Served, labelled_data: Path, read: Callable[[Path], Turns], name: str, margin: float
) -> None:
    turns = read(labelled_data)
    answers = await told(served, turns, name)
    rows = np.array([number for number in answers if turns.strategy[number] >= 0])
    known = turns.strategy[~turns.held & (turns.strategy >= 0)]
    shares = np.stack([answers[number][name] for number in rows])
    own, majority, *_ = beside(name, turns.strategy[rows], shares, known, np.ones(len(turns.strategies), np.bool_))
    assert own > majority + margin
    surprise = -np.log(shares[np.arange(len(rows)), turns.strategy[rows]]).mean()
    usual = np.bincount(known, minlength=len(turns.strategies)) / len(known)
    assert surprise < -np.log(usual[turns.strategy[rows]]).mean(), "as a distribution, too, it beats what is usual"


async def test_stage_and_intensity(served: Served, labelled_data: Path) -> None:
    turns = read_esconv(labelled_data)
    answers = await told(served, turns, "stage")
    rows = np.array(list(answers))
    shares = np.stack([answers[number]["stage"] for number in rows])
    own, majority, *_ = beside("stage", turns.stage[rows], shares, turns.stage[~turns.held], np.ones(3, np.bool_))
    assert own > majority + 0.3
    rated = rows[~np.isnan(turns.intensity[rows])]
    said = np.array([float(answers[number]["intensity"][0]) for number in rated])
    usual = np.nanmean(turns.intensity[~turns.held])
    error, of_mean = np.abs(said - turns.intensity[rated]).mean(), np.abs(usual - turns.intensity[rated]).mean()
    print(f"intensity: n {len(rated)}, mean absolute error {error:.3f} (always the mean: {of_mean:.3f})")  # noqa: T201
    assert error < 0.85 * of_mean


async def test_the_system_s_emotion_is_what_is_usual_and_no_more_is_claimed(served: Served) -> None:
    ask: Awaitable[dict[str, Vector]] = served.fusion(text=await served.text("I lost my job and my dog died."))
    emotion = (await ask)["system_emotion"]
    assert EMOTIONS[int(emotion.argmax())] == "neutral"
    assert emotion.max() > 0.9
