"""Models of a hub on the real server, in the environment that has torch: tiny ones, with random weights."""

import asyncio
import json
import os
import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from multimood.inference import Contracts, InferenceClient, InferenceError
from multimood.local.parts import TRITON_PORTS
from multimood.local.places import checkout
from multimood.local.ports import assign
from multimood.local.server import wait_ready
from multimood.local.triton import TritonServer
from multimood.media.text import TextTokenizer
from multimood.perception.picture import VideoModelSettings, picture_contract, picture_question, picture_vector
from multimood.perception.sound import AudioModelSettings, sound_contract, sound_question, sound_vector
from multimood.perception.text import TextModelSettings, text_contract, text_question, text_vector
from multimood.perception.widths import WidthSettings
from multimood.settings import TritonSettings

ENVIRONMENT: Final = Path(os.environ.get("MULTIMOOD_HUB_ENVIRONMENT", checkout() / ".venv-train"))
SECRET = "zanzibarquince"

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(
        not (ENVIRONMENT / "bin" / "python").exists(),
        reason=f"{ENVIRONMENT}, which has torch, is not there (make train-env, or MULTIMOOD_HUB_ENVIRONMENT)",
    ),
]


WRITE: Final = """
import contextlib, io, json, sys
from pathlib import Path
from hub_models import make
from multimood.cli import app

folder, said = Path(sys.argv[1]), {}
for modality, kind, *more in json.loads(sys.argv[2]):
    source = make(kind, folder / kind)
    with contextlib.redirect_stdout(io.StringIO()) as words:
        app(["models", "use", modality, str(source), "--out", str(folder / "models"), *more], standalone_mode=False)
    said[kind] = words.getvalue()
print(json.dumps(said))
"""
"""One process for all of them: torch takes long to start."""
ASKED: Final = (
    ("text", "roberta"),
    ("audio", "wavlm"),
    ("video", "clip", "--faces", "video_encoder"),
    ("video", "videomae", "--faces", "none", "--name", "whole"),
)


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """What `models use` says of each model that it wrote into the repository, by kind."""
    folder = tmp_path_factory.mktemp("hub")
    (folder / "models").mkdir()
    (folder / "models" / "video_encoder").symlink_to(checkout() / "triton_models" / "video_encoder")
    path = f"{checkout()}:{checkout() / 'tests'}"
    done = subprocess.run(
        [str(ENVIRONMENT / "bin" / "python"), "-c", WRITE, str(folder), json.dumps(ASKED)],
        capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return {"repository": str(folder / "models"), **json.loads(done.stdout.splitlines()[-1])}


@pytest.fixture(scope="module")
def server(said: Mapping[str, str]) -> Iterator[TritonServer]:
    repository = Path(said["repository"])
    own = TritonServer(repository.parent / "triton.log", assign(TRITON_PORTS), repository)
    own.start()
    try:
        wait_ready(own, own.log, 900)
        yield own
    finally:
        own.stop()


@pytest.fixture
async def client(server: TritonServer) -> AsyncIterator[InferenceClient]:
    own = InferenceClient(TritonSettings(url=server.url, deadline_s=60))
    yield own
    await own.close()


@pytest.fixture
def told(said: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Set what `models use` says is to be set."""

    def set_all(kind: str) -> str:
        for line in said[kind].splitlines():
            name, equals, value = line.strip().partition("=")
            if equals and name.startswith("MULTIMOOD_"):
                monkeypatch.setenv(name, value)
        return said[kind]

    return set_all


async def test_words(client: InferenceClient, told: Any) -> None:
    assert "must be trained anew for text: it takes 384 numbers, these are 32" in told("roberta")
    own = TextModelSettings()
    assert await Contracts(client, text_contract(own, WidthSettings())).fit()
    tokenizer = TextTokenizer(own.tokenizer)
    vector = text_vector((await client.infer(own.model, text_question(tokenizer, "I lost my job"))).outputs)
    assert vector.shape == (32,)
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)
    together = await asyncio.gather(
        *(client.infer(own.model, text_question(tokenizer, text)) for text in ("I lost my job", "today", "job"))
    )
    np.testing.assert_allclose(text_vector(together[0].outputs), vector, atol=1e-5)


async def test_an_error_names_shapes_and_not_what_was_said(client: InferenceClient, server: TritonServer) -> None:
    bad = np.full((1, 4), 10**6, np.int64)
    with pytest.raises(InferenceError, match=r"IndexError on input_ids torch.int64 \[1, 4\]") as caught:
        await client.infer("text_hub", {"input_ids": bad, "attention_mask": np.ones_like(bad)})
    assert "1000000" not in str(caught.value) + server.log.read_text()


async def test_sound(client: InferenceClient, told: Any) -> None:
    told("wavlm")
    own = AudioModelSettings()
    assert own.input == "wave"
    assert await Contracts(client, sound_contract(own, WidthSettings())).fit()
    wave = np.random.default_rng(1).normal(0, 0.1, 20_000).astype(np.float32)
    found = (await client.infer(own.model, sound_question(wave, own.input))).outputs
    assert found["embedding"].shape == (1, 32)
    vector = sound_vector(found)
    assert np.isfinite(vector).all()
    assert vector.std() > 0


async def test_faces(client: InferenceClient, told: Any) -> None:
    told("clip")
    own = VideoModelSettings()
    assert await Contracts(client, picture_contract(own, WidthSettings())).fit()
    nobody = np.zeros((2, 448, 448, 3), np.uint8)
    found = (await client.infer(own.model, picture_question(nobody))).outputs
    assert picture_vector(found) is None
    assert not found["features"].any()
    face = np.stack([portrait(), nobody[0]])
    found = (await client.infer(own.model, picture_question(face))).outputs
    assert found["face"][0, 4] > 0
    assert found["features"][0].any()
    assert not found["features"][1].any()
    vector = picture_vector(found)
    assert vector is not None
    assert vector.shape == (64,)


async def test_whole_frames_of_a_clip(client: InferenceClient, told: Any) -> None:
    told("videomae")
    own = VideoModelSettings()
    assert own.model == "whole"
    assert await Contracts(client, picture_contract(own, WidthSettings())).fit()
    clip = np.random.default_rng(1).integers(0, 255, (5, 448, 448, 3), dtype=np.uint8)
    vector = picture_vector((await client.infer(own.model, picture_question(clip))).outputs)
    assert vector is not None
    assert vector.shape == (64,)
    assert vector[32:].any(), "it changes over time"


def test_every_model_answers_the_canary(server: TritonServer) -> None:
    assert server.heal() == []


def portrait() -> np.ndarray:
    import av

    from multimood.local.places import installed, tools

    with av.open(str(installed(tools() / "samples" / "portrait.jpg"))) as container:
        (frame,) = container.decode(video=0)
        scale = 448 / max(frame.width, frame.height)
        width, height = round(frame.width * scale), round(frame.height * scale)
        picture = frame.reformat(width=width, height=height, format="rgb24").to_ndarray()
    square = np.zeros((448, 448, 3), np.uint8)
    square[:height, :width] = picture
    return square
