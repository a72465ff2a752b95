"""Every model on the real server, asked through the client that the services use."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import av
import numpy as np
import pytest

from multimood.errors import UnavailableError
from multimood.inference import Inference, InferenceClient, InferenceError
from multimood.local import samples
from multimood.local.places import installed, tools
from multimood.local.triton import TritonServer
from multimood.media import audio, video
from multimood.media.limits import MediaLimits
from multimood.media.text import TextTokenizer
from multimood.settings import TritonSettings

pytestmark = pytest.mark.integration

SECRET = "zanzibarquince"
FACE_LABELS = ("neutral", "happy", "sad", "angry", "fearful", "disgusted", "surprised")


@pytest.fixture
async def client(triton: TritonServer) -> AsyncIterator[InferenceClient]:
    own = InferenceClient(TritonSettings(url=triton.url, deadline_s=60))
    yield own
    await own.close()


def chat(text: str, tokens: int = 24, seed: int = 1, temperature: float = 0.3) -> dict[str, np.ndarray]:
    messages = [
        {"role": "system", "content": "You are kind. Reply in one sentence."},
        {"role": "user", "content": text},
    ]
    return {
        "messages": np.array([json.dumps(messages).encode()], dtype=object),
        "max_tokens": np.array([tokens], np.int32),
        "temperature": np.array([temperature], np.float32),
        "seed": np.array([seed], np.int64),
    }


def words(pieces: list[Inference]) -> str:
    return b"".join(piece.outputs["text"][0] for piece in pieces).decode()


async def reply(client: InferenceClient, inputs: dict[str, np.ndarray]) -> list[Inference]:
    return [piece async for piece in client.stream("responder", inputs)]


async def test_the_server_is_ready(client: InferenceClient) -> None:
    assert await client.ready()


def test_every_model_answers_the_question_whether_it_lives(triton: TritonServer) -> None:
    """One that refused a request of zeros would be reloaded for ever."""
    states = triton._http.states()
    assert {"text_encoder", "audio_encoder", "video_encoder", "transcriber", "responder"} <= set(states)
    for model in states:
        triton._http.canary(model)
    assert triton.heal() == []


async def test_like_feelings_are_nearer_than_unlike_ones(client: InferenceClient) -> None:
    tokenizer = TextTokenizer(installed(tools() / "text_encoder" / "tokenizer.json"))

    async def embed(text: str) -> np.ndarray:
        ids, mask = tokenizer.encode(text)
        found = await client.infer("text_encoder", {"input_ids": ids, "attention_mask": mask})
        assert found.model_version == "1"
        return found.outputs["embedding"][0]

    sad, grief, happy = await asyncio.gather(
        embed("I feel so sad and alone tonight."),
        embed("I can't stop crying, everything hurts."),
        embed("I got the job, I am so happy!"),
    )
    assert sad.shape == (384,)
    assert np.linalg.norm(sad) == pytest.approx(1, abs=1e-5)
    assert sad @ grief > sad @ happy + 0.1


async def test_texts_asked_for_together_are_as_when_asked_alone(client: InferenceClient) -> None:
    """The server batches requests of one length; none of it may show."""
    rng = np.random.default_rng(5)
    requests = [
        {"input_ids": rng.integers(1000, 30_000, (1, length)), "attention_mask": np.ones((1, length), np.int64)}
        for length in (16, 32) * 20
    ]
    alone = [(await client.infer("text_encoder", one)).outputs["embedding"] for one in requests]
    together = await asyncio.gather(*(client.infer("text_encoder", one) for one in requests))
    for expected, found in zip(alone, together, strict=True):
        np.testing.assert_allclose(found.outputs["embedding"], expected, atol=1e-5)


async def test_one_bad_text_does_not_spoil_those_batched_with_it(client: InferenceClient) -> None:
    good = {"input_ids": np.full((1, 16), 2000), "attention_mask": np.ones((1, 16), np.int64)}
    bad = {**good, "input_ids": np.full((1, 16), 99_999_999)}
    calls = [client.infer("text_encoder", bad if index % 4 == 0 else good) for index in range(32)]
    found = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(one, InferenceError) == (index % 4 == 0) for index, one in enumerate(found))


async def test_speech_is_heard_and_its_sound_described(client: InferenceClient, tmp_path: Path) -> None:
    speech = samples.speech("I lost my job today and I do not know what to do.", tmp_path / "speech.wav")
    wave = audio.decode(speech.read_bytes(), MediaLimits())
    heard = await client.infer("transcriber", {"mel": audio.transcriber_mel(wave)})
    text = heard.outputs["text"][0].decode().lower()
    assert "lost my job" in text
    assert "know what to do" in text
    assert heard.outputs["no_speech"][0] < 0.5

    embedding = (await client.infer("audio_encoder", {"mel": audio.log_mel(wave)})).outputs["embedding"]
    silent = (await client.infer("audio_encoder", {"mel": audio.log_mel(np.zeros_like(wave))})).outputs["embedding"]
    assert embedding.shape == (1, 256)
    assert np.isfinite(embedding).all()
    assert np.abs(embedding - silent).max() > 0.1


async def test_the_transcriber_stops_even_where_there_is_nothing_to_hear(client: InferenceClient) -> None:
    noise = np.random.default_rng(6).standard_normal((80, 400)).astype(np.float32)
    heard = await client.infer("transcriber", {"mel": noise})
    assert len(heard.outputs["text"][0]) < 400  # 50 tokens at most


async def test_the_portrait_has_a_face_that_does_not_look_sad(client: InferenceClient) -> None:
    with av.open(str(installed(tools() / "samples" / "portrait.jpg"))) as file:
        picture = next(file.decode(video=0)).to_ndarray(format="rgb24")
    side = min(picture.shape[:2])
    left = (picture.shape[1] - side) // 2
    square = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture[:side, left : left + side]), format="rgb24")
    portrait = square.reformat(448, 448, "rgb24").to_ndarray()
    frames = np.stack([portrait, np.zeros_like(portrait), portrait[:, ::-1]])
    found = await client.infer("video_encoder", {"frames": frames})
    face, features, probs = (found.outputs[name] for name in ("face", "features", "probs"))
    assert face.shape == (3, 5)
    assert (face[:, 4] > 0.5).tolist() == [True, False, True]
    assert not face[1].any()
    assert not features[1].any()
    assert not probs[1].any()
    assert 0.3 < face[0, 0] < 0.7
    assert 0.2 < face[0, 2] < 0.8
    assert face[2, 0] == pytest.approx(1 - face[0, 0], abs=0.05)  # mirrored
    look = dict(zip(FACE_LABELS, probs[0], strict=True))
    assert sum(look.values()) == pytest.approx(1, abs=1e-4)
    assert look["neutral"] + look["happy"] > 0.8


async def test_a_clip_with_a_face_is_pooled(client: InferenceClient, tmp_path: Path) -> None:
    speech = samples.speech("Good morning to you all.", tmp_path / "speech.wav")
    clip = samples.face_clip(speech, tmp_path / "clip.mp4")
    frames = video.sample_frames(clip.read_bytes(), MediaLimits())
    outputs = (await client.infer("video_encoder", {"frames": frames})).outputs
    pooled = video.pool(outputs["face"], outputs["features"], outputs["probs"])
    assert pooled is not None
    assert pooled[0].shape == (512,)
    assert pooled[1] == len(frames)


async def test_a_reply_comes_in_pieces_and_says_how_it_ended(client: InferenceClient) -> None:
    pieces = await reply(client, chat("I feel lonely.", tokens=8))
    assert len(pieces) > 3
    finishes = [piece.outputs["finish"][0] for piece in pieces]
    assert finishes[-1] in {b"stop", b"length"}
    assert not any(finishes[:-1])
    counts = [int(piece.outputs["completion_tokens"][0]) for piece in pieces]
    assert counts == sorted(counts)
    assert 1 <= counts[-1] <= 8
    assert pieces[-1].outputs["prompt_tokens"][0] > 10
    assert words(pieces).strip()


async def test_a_reply_tells_its_tokens_when_it_is_asked(client: InferenceClient) -> None:
    plain = await reply(client, chat("I feel lonely.", tokens=8))
    assert not any("token_ids" in piece.outputs for piece in plain)
    told = await reply(client, {**chat("I feel lonely.", tokens=8), "log_probs": np.array([True])})
    ids = np.concatenate([piece.outputs["token_ids"] for piece in told])
    log_probs = np.concatenate([piece.outputs["token_log_probs"] for piece in told])
    assert len(ids) == len(log_probs)
    assert abs(len(ids) - int(told[-1].outputs["completion_tokens"][0])) <= 1, "the end's own token may be left out"
    assert np.all(ids >= 0)
    assert np.all(log_probs <= 0)
    assert words(told) == words(plain)


async def test_the_same_seed_writes_the_same_reply(client: InferenceClient) -> None:
    question = "What should I do on a rainy day?"
    first = words(await reply(client, chat(question, seed=11, temperature=1.0)))
    again = words(await reply(client, chat(question, seed=11, temperature=1.0)))
    others = {words(await reply(client, chat(question, seed=seed, temperature=1.0))) for seed in (12, 13)}
    assert first == again
    assert others != {first}


async def test_a_reply_of_no_tokens_is_empty_and_immediate(client: InferenceClient) -> None:
    (only,) = await reply(client, chat("Hello", tokens=0))
    assert only.outputs["text"].tolist() == [b""]
    assert only.outputs["finish"].tolist() == [b"length"]


async def test_a_reply_nobody_waits_for_is_not_written_to_its_end(client: InferenceClient) -> None:
    """Both slots are taken by long replies and left; a short one must get its turn at once."""
    loop = asyncio.get_running_loop()

    async def taste() -> None:
        async with aclosing(client.stream("responder", chat("Tell me a very long story.", tokens=1500))) as pieces:
            async for piece in pieces:
                if piece.outputs["completion_tokens"][0] >= 3:
                    return

    begin = loop.time()
    await asyncio.gather(taste(), taste())
    await reply(client, chat("Hello", tokens=2))
    assert loop.time() - begin < 15  # 3000 tokens take more than half a minute on any machine this runs on


async def test_more_chats_than_slots_wait_for_their_turn(client: InferenceClient) -> None:
    replies = await asyncio.gather(*(reply(client, chat(f"Say {number}.", tokens=4)) for number in range(6)))
    assert all(one[-1].outputs["finish"][0] for one in replies)


def without(inputs: dict[str, np.ndarray], name: str) -> dict[str, np.ndarray]:
    return {key: value for key, value in inputs.items() if key != name}


@pytest.mark.parametrize(
    "inputs",
    [
        {"input_ids": np.ones((1, 4), np.int64)},
        {"input_ids": np.ones(4, np.int64), "attention_mask": np.ones(4, np.int64)},
        {"input_ids": np.ones((1, 4), np.int32), "attention_mask": np.ones((1, 4), np.int64)},
        {"input_ids": np.ones((1, 600), np.int64), "attention_mask": np.ones((1, 600), np.int64)},
        {"input_ids": np.ones((33, 4), np.int64), "attention_mask": np.ones((33, 4), np.int64)},
    ],
    ids=["missing", "rank", "dtype", "too long", "too many"],
)
async def test_inputs_that_do_not_fit_are_refused(client: InferenceClient, inputs: dict[str, np.ndarray]) -> None:
    with pytest.raises(InferenceError, match="text_encoder"):
        await client.infer("text_encoder", inputs)


@pytest.mark.parametrize(
    ("model", "name", "shape", "dtype"),
    [
        ("audio_encoder", "mel", (1, 80, 3002), np.float32),
        ("audio_encoder", "mel", (1, 79, 100), np.float32),
        ("audio_encoder", "mel", (5, 80, 100), np.float32),
        ("transcriber", "mel", (80, 3002), np.float32),
        ("transcriber", "mel", (80, 0), np.float32),
        ("video_encoder", "frames", (1, 224, 224, 3), np.uint8),
        ("video_encoder", "frames", (17, 448, 448, 3), np.uint8),
    ],
)
async def test_sizes_are_capped(
    client: InferenceClient, model: str, name: str, shape: tuple[int, ...], dtype: type[np.generic]
) -> None:
    with pytest.raises(InferenceError, match=model):
        await client.infer(model, {name: np.zeros(shape, dtype)})


async def test_a_bad_chat_is_refused_and_nothing_of_it_is_said_anywhere(
    client: InferenceClient, triton: TritonServer
) -> None:
    good = chat(f"Hello {SECRET}", tokens=3)
    raw = [f"no json {SECRET}", json.dumps([SECRET]), json.dumps([{"role": SECRET, "content": SECRET}])]
    bad = [{**good, "messages": np.array([one.encode()], dtype=object)} for one in raw]
    bad += [
        chat(f"{SECRET} " * 3000),
        {**good, "max_tokens": np.array([-1], np.int32)},
        {**good, "temperature": np.array([np.nan], np.float32)},
        {**good, "seed": np.array([1, 2], np.int64)},
        without(good, "seed"),
    ]
    for inputs in bad:
        with pytest.raises(InferenceError, match=r"responder .*refuses the input") as refused:
            await reply(client, inputs)
        assert SECRET not in str(refused.value)
    assert words(await reply(client, good))
    assert SECRET not in triton.log.read_text()


async def test_a_model_that_is_not_there_may_come(client: InferenceClient) -> None:
    with pytest.raises(UnavailableError, match="nobody"):
        await client.infer("nobody", {"x": np.zeros(1, np.float32)})
    with pytest.raises(UnavailableError, match="nobody"):
        await anext(client.stream("nobody", chat("Hello")))


async def test_a_streaming_model_is_not_for_single_answers(client: InferenceClient) -> None:
    with pytest.raises(InferenceError):
        await client.infer("responder", chat("Hello"))
