"""What is written for Triton about a model of a hub, and what the services are told to set. Without torch."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from multimood.cli import models as command
from multimood.errors import ConfigurationError
from multimood.hub.config import HubModel, config_text, settings_of, vector_width
from multimood.inference import ANY, Tensor
from multimood.inference.tensors import Signature
from multimood.perception.picture import VideoModelSettings, picture_contract
from multimood.perception.sound import AudioModelSettings, sound_contract
from multimood.perception.text import TextModelSettings, text_contract
from multimood.perception.widths import WidthSettings

pytestmark = pytest.mark.unit

TEXT = HubModel("text", "Qwen/Qwen3-Embedding-0.6B", "c0ffee", "last", "text_hub", normalize=True)
AUDIO = HubModel("audio", "microsoft/wavlm-base-plus", "", "mean_std", "audio_hub", environment=Path("/env"))
VIDEO = HubModel("video", "openai/clip-vit-base-patch32", "", "pooler", "video_hub", faces="video_encoder")
CASES: Sequence[Any] = ((TEXT, [1024]), (AUDIO, [1536]), (VIDEO, [768]))


def test_the_configuration_is_this() -> None:
    assert config_text(TEXT, [1024]).splitlines() == [
        "# A model of a hub, written by `multimood models use` (docs/bring-your-own.md). Its weights are in 1/weights.",
        'name: "text_hub"',
        'backend: "python"',
        "max_batch_size: 32",
        "input [",
        '  { name: "input_ids" data_type: TYPE_INT64 dims: [ -1 ] },',
        '  { name: "attention_mask" data_type: TYPE_INT64 dims: [ -1 ] }',
        "]",
        "output [",
        '  { name: "embedding" data_type: TYPE_FP32 dims: [ 1024 ] }',
        "]",
        "instance_group [ { kind: KIND_AUTO count: 1 } ]",
        "# No queue policy: it makes this Triton stall for half a second now and then. The client bounds what goes.",
        "dynamic_batching { }",
        'parameters { key: "modality" value: { string_value: "text" } }',
        'parameters { key: "source" value: { string_value: "Qwen/Qwen3-Embedding-0.6B" } }',
        'parameters { key: "revision" value: { string_value: "c0ffee" } }',
        'parameters { key: "pooling" value: { string_value: "last" } }',
        'parameters { key: "normalize" value: { string_value: "true" } }',
        'parameters { key: "threads" value: { string_value: "1" } }',
    ]


def test_sound_has_a_layer_and_pictures_have_faces() -> None:
    audio, video = config_text(AUDIO, [1536]), config_text(VIDEO, [768])
    assert '{ name: "embedding" data_type: TYPE_FP32 dims: [ 1536 ] }' in audio
    assert 'key: "layer" value: { string_value: "-1" }' in audio
    assert 'key: "EXECUTION_ENV_PATH" value: { string_value: "/env" }' in audio
    assert '{ name: "face" data_type: TYPE_FP32 dims: [ 5 ] },\n  { name: "features"' in video
    assert 'key: "faces" value: { string_value: "video_encoder" }' in video
    assert "EXECUTION_ENV_PATH" not in video


def test_a_name_cannot_leave_its_quotes() -> None:
    text = config_text(HubModel("text", 'a" } } backend: "x', "", "mean", "m"), [4])
    assert 'string_value: "a\\" } } backend: \\"x"' in text


@pytest.mark.parametrize(("model", "widths"), [(TEXT, [12, 768]), (AUDIO, [12, 768]), (VIDEO, [0])])
def test_other_sizes_than_the_modality_has_are_refused(model: HubModel, widths: list[int]) -> None:
    with pytest.raises(ConfigurationError, match="one size"):
        config_text(model, widths)


def declared(text: str) -> Signature:
    """What Triton would say of it."""
    sides: dict[str, list[Tensor]] = {"input": [], "output": []}
    side = ""
    for line in text.splitlines():
        if line.endswith(" ["):
            side = line.removesuffix(" [")
        elif line.startswith("  { name:"):
            words = line.replace("[", "").replace("]", "").replace(",", "").split()
            shape = (ANY, *(int(word) for word in words[words.index("dims:") + 1 : words.index("}")]))
            sides[side].append(Tensor(words[2].strip('"'), words[4].removeprefix("TYPE_"), shape))
    return Signature(tuple(sides["input"]), tuple(sides["output"]))


@pytest.mark.parametrize(("model", "widths"), CASES, ids=lambda case: getattr(case, "name", ""))
def test_with_the_settings_that_are_told_the_services_take_it(
    model: HubModel, widths: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    served = declared(config_text(model, widths))
    contracts = {
        "text": lambda: text_contract(TextModelSettings(), WidthSettings()),
        "audio": lambda: sound_contract(AudioModelSettings(), WidthSettings()),
        "video": lambda: picture_contract(VideoModelSettings(), WidthSettings()),
    }
    assert contracts[model.modality]().faults(served), "with the shipped settings they do not"
    for name, value in settings_of(model, widths, Path("models") / model.name).items():
        monkeypatch.setenv(name, value)
    contract = contracts[model.modality]()
    assert (contract.model, contract.faults(served)) == (model.name, [])


def test_the_settings_name_tokenizer_and_input() -> None:
    text = settings_of(TEXT, [1024], Path("models/text_hub"))
    assert text["MULTIMOOD_TEXT_ENCODER_TOKENIZER"] == "models/text_hub/1/weights/tokenizer.json"
    assert settings_of(AUDIO, [1536], Path("x")) == {
        "MULTIMOOD_AUDIO_ENCODER_MODEL": "audio_hub",
        "MULTIMOOD_AUDIO_ENCODER_INPUT": "wave",
        "MULTIMOOD_WIDTH_AUDIO": "1536",
    }
    assert vector_width("video", [768]) == 1536, "mean and deviation"


def test_without_torch_the_command_says_what_is_needed(tmp_path: Path) -> None:
    try:
        import torch  # noqa: F401
    except ModuleNotFoundError:
        result = CliRunner().invoke(command.app, ["use", "text", "a/model", "--out", str(tmp_path)])
        assert result.exit_code == 1
        assert "`make train-env`" in result.output
    else:
        pytest.skip("torch is here")
