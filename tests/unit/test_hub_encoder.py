"""Models of a hub, tiny ones with random weights: what is written, loaded again, pooled; and what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is in .venv-train only (make train-env)")
transformers = pytest.importorskip("transformers", reason="transformers is in .venv-train only (make train-env)")

from hub_models import LAYERS, WIDTH, make  # noqa: E402

from multimood.errors import ConfigurationError  # noqa: E402
from multimood.hub.config import HubModel  # noqa: E402
from multimood.hub.serving.hub_encoder import (  # noqa: E402
    LEAST_SAMPLES,
    POOLINGS,
    HubError,
    cut_faces,
    open_encoder,
    pool_sound,
    pool_words,
    spread,
)
from multimood.hub.writing import write  # noqa: E402

pytestmark = pytest.mark.unit

SECOND = 16_000
SOUND = ("wavlm", "whisper")
PICTURES = ("clip", "siglip", "videomae")


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A hub: the folder of a model by its kind."""
    root, made = tmp_path_factory.mktemp("hub"), {}

    def folder(kind: str) -> Path:
        if kind not in made:
            made[kind] = make(kind, root / kind)
        return made[kind]

    return folder


def written(
    hub: Any, out: Path, modality: Any, kind: str, pooling: str = "mean", **more: Any
) -> tuple[Path, list[int]]:
    model = HubModel(modality, str(hub(kind)), "", pooling, f"{modality}_hub", **more)
    taken, widths = write(model, out)
    assert taken == model, "a folder has no commit"
    return out / taken.name / "1" / "weights", list(widths)


def ids(*rows: list[int]) -> tuple[Any, Any]:
    longest = max(map(len, rows))
    padded = torch.tensor([[*row, *[0] * (longest - len(row))] for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
    return padded, mask


# --- text -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pooling", POOLINGS["text"])
def test_words_are_pooled_as_asked_for(hub: Any, tmp_path: Path, pooling: str) -> None:
    folder, widths = written(hub, tmp_path, "text", "roberta", pooling)
    assert widths == [WIDTH]
    net = transformers.AutoModel.from_pretrained(hub("roberta")).eval()
    row = torch.tensor([[0, 4, 5, 6, 7, 2]])
    with torch.no_grad():
        theirs = net(row)
    states = theirs.last_hidden_state[0]
    expected = {"mean": states.mean(0), "cls": states[0], "last": states[-1], "pooler": theirs.pooler_output[0]}
    found = open_encoder(folder, "text", pooling)(row, torch.ones_like(row))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found[0], expected[pooling], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["roberta", "qwen"])
@pytest.mark.parametrize("pooling", ["mean", "last"])
def test_what_is_padded_changes_nothing(hub: Any, tmp_path: Path, kind: str, pooling: str) -> None:
    folder, widths = written(hub, tmp_path, "text", kind, pooling)
    encoder = open_encoder(folder, "text", pooling)
    together = encoder(*ids([0, 4, 5, 2], [0, 4, 5, 6, 7, 8, 2]))
    assert list(together.shape) == [2, *widths]
    torch.testing.assert_close(together[:1], encoder(*ids([0, 4, 5, 2])), atol=1e-5, rtol=1e-5)


def test_vectors_can_be_made_of_length_one(hub: Any, tmp_path: Path) -> None:
    folder, _ = written(hub, tmp_path, "text", "roberta", normalize=True)
    assert torch.linalg.norm(open_encoder(folder, "text", "mean", normalize=True)(*ids([0, 4, 2]))) == pytest.approx(1)


def test_the_services_tokenizer_reads_what_is_written(hub: Any, tmp_path: Path) -> None:
    from multimood.media.text import TextTokenizer

    folder, _ = written(hub, tmp_path, "text", "roberta")
    found, mask = TextTokenizer(folder / "tokenizer.json").encode("I lost my job today")
    assert found[0, :7].tolist() == [0, 4, 5, 6, 7, 8, 2]
    assert mask[0].sum() == 7
    vectors = open_encoder(folder, "text", "mean")(torch.from_numpy(found), torch.from_numpy(mask))
    assert torch.isfinite(vectors).all()


# --- sound ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", SOUND)
@pytest.mark.parametrize(("pooling", "width"), [("mean", WIDTH), ("mean_std", 2 * WIDTH)])
def test_a_layer_of_sound_is_pooled(hub: Any, tmp_path: Path, kind: str, pooling: str, width: int) -> None:
    folder, widths = written(hub, tmp_path, "audio", kind, pooling)
    assert widths == [width]
    wave = torch.randn(2, SECOND, generator=torch.Generator().manual_seed(1))
    last, same, first = (open_encoder(folder, "audio", pooling, layer=one)(wave) for one in (-1, LAYERS - 1, 0))
    assert list(last.shape) == [2, width]
    assert torch.isfinite(last).all()
    assert not torch.allclose(last[0], last[1])
    assert torch.equal(last, same)
    assert not torch.allclose(last, first)
    with pytest.raises(HubError, match=f"layer {LAYERS} is not there: the model has {LAYERS}"):
        open_encoder(folder, "audio", pooling, layer=LAYERS)(wave)


@pytest.mark.parametrize("kind", SOUND)
@pytest.mark.parametrize("samples", [2, LEAST_SAMPLES - 1, 31 * SECOND])
def test_sound_may_be_too_short_or_too_long(hub: Any, tmp_path: Path, kind: str, samples: int) -> None:
    folder, widths = written(hub, tmp_path, "audio", kind)
    assert list(open_encoder(folder, "audio", "mean")(torch.zeros(1, samples)).shape) == [1, *widths]


def test_of_whisper_only_what_was_heard_counts(hub: Any, tmp_path: Path) -> None:
    folder, _ = written(hub, tmp_path, "audio", "whisper")
    wave = torch.randn(1, 2 * SECOND, generator=torch.Generator().manual_seed(1))
    net = transformers.AutoModel.from_pretrained(hub("whisper")).eval().get_encoder()
    prepares = transformers.AutoFeatureExtractor.from_pretrained(hub("whisper"))
    mel = prepares([wave[0].numpy()], sampling_rate=SECOND, return_tensors="pt")["input_features"]
    with torch.no_grad():
        last = net(mel).last_hidden_state[0, :100]  # 50 a second
    found = open_encoder(folder, "audio", "mean")(wave)[0]
    torch.testing.assert_close(found, last.mean(0), atol=1e-5, rtol=1e-5)


def test_sound_of_another_rate_is_refused(hub: Any, tmp_path: Path) -> None:
    make("wavlm", tmp_path / "other")
    transformers.Wav2Vec2FeatureExtractor(sampling_rate=44_100).save_pretrained(tmp_path / "other")
    with pytest.raises(ConfigurationError, match="44100 Hz"):
        write(HubModel("audio", str(tmp_path / "other"), "", "mean", "a"), tmp_path / "out")


# --- pictures ---------------------------------------------------------------------------------------------------------


def frames(count: int, side: int = 64) -> Any:
    noise = np.random.default_rng(1).integers(0, 255, (count, side, side, 3), dtype=np.uint8)
    return list(torch.from_numpy(noise))


@pytest.mark.parametrize("kind", PICTURES)
@pytest.mark.parametrize("count", [1, 3, 9])
def test_every_frame_has_a_row(hub: Any, tmp_path: Path, kind: str, count: int) -> None:
    folder, widths = written(hub, tmp_path, "video", kind)
    assert widths == [WIDTH]
    found = open_encoder(folder, "video", "mean")(frames(count))
    assert list(found.shape) == [count, WIDTH]
    assert torch.isfinite(found).all()


@pytest.mark.parametrize("kind", ["clip", "siglip"])
@pytest.mark.parametrize("pooling", POOLINGS["video"])
def test_pictures_are_pooled_as_asked_for(hub: Any, tmp_path: Path, kind: str, pooling: str) -> None:
    folder, _ = written(hub, tmp_path, "video", kind, pooling)
    net = transformers.AutoModel.from_pretrained(hub(kind)).eval().vision_model
    (frame,) = frames(1)
    prepares = transformers.AutoImageProcessor.from_pretrained(hub(kind))
    with torch.no_grad():
        theirs = net(**prepares([frame.numpy()], return_tensors="pt"))
    states = theirs.last_hidden_state[0]
    expected = {"mean": states.mean(0), "cls": states[0], "pooler": theirs.pooler_output[0]}[pooling]
    torch.testing.assert_close(open_encoder(folder, "video", pooling)([frame])[0], expected, atol=1e-5, rtol=1e-5)


def test_a_clip_is_seen_together_and_its_rows_average_to_its_mean(hub: Any, tmp_path: Path) -> None:
    folder, _ = written(hub, tmp_path, "video", "videomae")
    clip = frames(4)  # as many as the model takes, two a moment
    prepares = transformers.AutoImageProcessor.from_pretrained(hub("videomae"))
    with torch.no_grad():
        pixels = prepares([frame.numpy() for frame in clip], return_tensors="pt")["pixel_values"]
        states = transformers.AutoModel.from_pretrained(hub("videomae")).eval()(pixels).last_hidden_state[0]
    rows = open_encoder(folder, "video", "mean")(clip)
    torch.testing.assert_close(rows.mean(0), states.mean(0), atol=1e-5, rtol=1e-5)
    assert not torch.allclose(rows[0], rows[-1])


def test_faces_of_any_size_are_seen(hub: Any, tmp_path: Path) -> None:
    folder, _ = written(hub, tmp_path, "video", "clip")
    faces = torch.tensor([[0.5, 0.5, 0.2, 0.3, 0.9], [0.0, 1.0, 0.5, 0.1, 0.9], [0.5, 0.5, 0.0, 0.0, 0.9]])
    cuts = cut_faces(torch.stack(frames(3)), faces)
    assert list(open_encoder(folder, "video", "mean")(cuts).shape) == [3, WIDTH]


def test_a_face_is_cut_out_with_what_is_around_it() -> None:
    frame = torch.zeros(1, 100, 100, 3, dtype=torch.uint8)
    frame[0, 40:60, 20:40] = 200
    (cut,) = cut_faces(frame, torch.tensor([[0.3, 0.5, 0.2, 0.2, 1.0]]))
    assert list(cut.shape) == [25, 25, 3]
    assert cut.sum() == frame.sum(), "the face is in it whole"
    (corner,) = cut_faces(frame + 1, torch.tensor([[0.0, 0.0, 0.4, 0.4, 1.0]]))
    assert (corner[:25, :25] == 0).all(), "outside of the frame it is black"
    assert (corner[25:, 25:] == 1).all()


# --- the pure parts ---------------------------------------------------------------------------------------------------


def test_an_empty_row_is_no_division_by_zero() -> None:
    assert pool_words(torch.ones(1, 3, 2), torch.zeros(1, 3, dtype=torch.int64), "mean").tolist() == [[0, 0]]


def test_the_deviation_of_one_moment_is_zero() -> None:
    assert pool_sound(torch.full((1, 1, 1, 2), 3.0), "mean_std").tolist() == [[[3, 3, 0, 0]]]


@pytest.mark.parametrize(
    ("count", "length", "places"), [(4, 4, [0, 1, 2, 3]), (1, 5, [0]), (3, 1, [0, 0, 0]), (3, 9, [0, 4, 8])]
)
def test_places_are_spread_evenly(count: int, length: int, places: list[int]) -> None:
    assert spread(count, length) == places


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        (("text", "roberta", "max"), "cannot be pooled by 'max': mean, cls, last, pooler"),
        (("text", "qwen", "pooler"), "has no pooler"),
        (("text", "roberta_without_pooler", "pooler"), "would be random, the first is pooler.dense.bias"),
        (("text", "wavlm", "mean"), "tokenizer"),
        (("audio", "roberta", "mean"), "cannot serve as audio"),
        (("video", "roberta", "mean"), "cannot serve as video"),
        (("audio", "wavlm", "pooler"), "has no pooler"),
        (("video", "videomae", "cls"), "has no cls state"),
    ],
)
def test_what_cannot_serve_is_refused_and_leaves_nothing(
    hub: Any, tmp_path: Path, asked: tuple[Any, str, str], reason: str
) -> None:
    modality, kind, pooling = asked
    with pytest.raises(ConfigurationError, match=reason):
        write(HubModel(modality, str(hub(kind)), "", pooling, "m"), tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_an_encoder_without_pooler_serves_without_one(hub: Any, tmp_path: Path) -> None:
    assert written(hub, tmp_path, "text", "roberta_without_pooler")[1] == [WIDTH]


def test_there_is_no_such_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ConfigurationError, match="nobody/nothing cannot serve as text"):
        write(HubModel("text", "nobody/nothing", "", "mean", "m"), tmp_path / "out")


def test_no_folder_is_overwritten_and_a_folder_has_no_revisions(hub: Any, tmp_path: Path) -> None:
    written(hub, tmp_path, "text", "roberta")
    with pytest.raises(ConfigurationError, match="remove it, or give the model another --name"):
        written(hub, tmp_path, "text", "roberta")
    with pytest.raises(ConfigurationError, match="leave --revision out"):
        write(HubModel("text", str(hub("roberta")), "main", "mean", "m"), tmp_path)


def test_code_of_a_model_is_not_run(hub: Any, tmp_path: Path) -> None:
    import json

    make("roberta", tmp_path / "theirs")
    (tmp_path / "theirs" / "own.py").write_text("raise SystemExit('it was run')\n")
    config = tmp_path / "theirs" / "config.json"
    config.write_text(
        json.dumps({
            **json.loads(config.read_text()), "model_type": "theirs",
            "auto_map": {"AutoConfig": "own.Config", "AutoModel": "own.Model"},
        })
    )  # fmt: skip
    with pytest.raises(ConfigurationError, match="cannot serve as text"):
        write(HubModel("text", str(tmp_path / "theirs"), "", "mean", "m"), tmp_path / "out")


def test_what_is_written_is_whole_and_can_be_read_by_anybody(hub: Any, tmp_path: Path) -> None:
    folder, _ = written(hub, tmp_path, "text", "roberta", environment=Path("/env"))
    model = folder.parents[1]
    assert {path.name for path in (model / "1").iterdir()} == {"model.py", "hub_encoder.py", "weights"}
    assert 'key: "EXECUTION_ENV_PATH" value: { string_value: "/env" }' in (model / "config.pbtxt").read_text()
    assert all(path.stat().st_mode & 0o044 == 0o044 for path in model.rglob("*") if path.is_file())
