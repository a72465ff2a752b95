"""What a served model must be: each way of not being it is told with names, shapes and what to do."""

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from multimood.contracts.v1 import events_pb2 as pb
from multimood.errors import ConfigurationError, MultimoodError, UnavailableError
from multimood.history import history
from multimood.inference import ANY, Contract, ContractError, Contracts, InferenceError, Tensor
from multimood.inference.tensors import Signature
from multimood.media import audio, video
from multimood.perception.fusion import WIDTHS, Sight, question, see
from multimood.perception.fusion_contract import fusion_contract
from multimood.perception.picture import VideoModelSettings, picture_contract, picture_question
from multimood.perception.settings import PerceptionSettings
from multimood.perception.sound import AudioModelSettings, sound_contract, sound_question
from multimood.perception.text import TextModelSettings, text_contract
from multimood.perception.widths import WidthSettings

pytestmark = pytest.mark.unit

X, Y = Tensor("x", "FP32", (ANY, 4)), Tensor("y", "FP32", (ANY, 8))
NEEDED = Contract("m", [X], [Y], "Serve another")


def signature(inputs: Sequence[Tensor] = (X,), outputs: Sequence[Tensor] = (Y,)) -> Signature:
    return Signature(tuple(inputs), tuple(outputs))


class Server:
    """Declares what it is told to."""

    def __init__(self, **models: Signature | MultimoodError) -> None:
        self.models: Mapping[str, Signature | MultimoodError] = models
        self.asked: list[str] = []

    async def signature(self, model: str) -> Signature:
        self.asked.append(model)
        found = self.models[model]
        if isinstance(found, MultimoodError):
            raise found
        return found

    @staticmethod
    def whom(model: str) -> str:
        return f"{model} on host:1"


def contracts(server: Server, *needed: Contract) -> Contracts:
    return Contracts(server, *needed)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("found", "fault"),
    [
        (signature(), ""),
        (signature(outputs=[Y, Tensor("more", "INT8", (1,))]), ""),
        (signature(outputs=[Tensor("y", "FP32", (ANY, ANY))]), ""),
        (signature(outputs=[Tensor("y", "FP32", (ANY, 9))]), "output y FP32 [-1, 9] is served, needed is FP32 [-1, 8]"),
        (signature(outputs=[Tensor("y", "FP16", (ANY, 8))]), "output y FP16 [-1, 8] is served, needed is FP32 [-1, 8]"),
        (signature(outputs=[Tensor("y", "FP32", (8,))]), "output y FP32 [8] is served, needed is FP32 [-1, 8]"),
        (signature(outputs=[]), "output y FP32 [-1, 8] is needed and not there (there are none)"),
        (signature([Tensor("z", "FP32", (ANY, 4))]),
         "input x FP32 [-1, 4] is needed and not there (there are z); input z FP32 [-1, 4] is asked for, and not sent"),
        (signature([Tensor("x", "FP32", (1, 4))]), "input x FP32 [1, 4] is served, needed is FP32 [-1, 4]"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_told_by_tensor(found: Signature, fault: str) -> None:
    assert "; ".join(NEEDED.faults(found)) == fault


async def test_a_model_that_does_not_fit_cannot_be_worked_with() -> None:
    server = Server(m=signature(outputs=[Tensor("y", "FP32", (ANY, 9))]))
    with pytest.raises(ContractError) as caught:
        await contracts(server, NEEDED).fit()
    assert isinstance(caught.value, ConfigurationError)
    assert not caught.value.retryable
    assert str(caught.value) == (
        "m on host:1: output y FP32 [-1, 9] is served, needed is FP32 [-1, 8]. Serve another"
    )  # fmt: skip


@pytest.mark.parametrize("error", [UnavailableError("away"), InferenceError("m failed (UNKNOWN)")])
async def test_a_server_that_is_away_says_nothing_and_is_asked_again(error: MultimoodError) -> None:
    server = Server(m=signature(), n=error)
    ours = contracts(server, NEEDED, Contract("n", [X], [Y], ""))
    assert await ours.fit() is False
    server.models = {"m": signature(), "n": signature()}
    assert await ours.fit() is True
    assert server.asked == ["m", "n", "n"], "what fits is not asked again"


# --- the contracts of the services ------------------------------------------------------------------------------------

WIDE = WidthSettings(text=7, audio=9, video=10)
FLAT = {np.dtype(np.float32): "FP32", np.dtype(np.uint8): "UINT8", np.dtype(np.int64): "INT64"}


def sent(contract: Contract, inputs: Mapping[str, np.ndarray]) -> None:
    """What is sent is what the contract says is sent."""
    assert {tensor.name for tensor in contract.inputs} == set(inputs)
    for tensor in contract.inputs:
        array = inputs[tensor.name]
        assert FLAT[array.dtype] == tensor.datatype
        assert array.ndim == len(tensor.shape)
        assert all(size in (ANY, have) for size, have in zip(tensor.shape, array.shape, strict=True))


def test_what_is_sent_is_what_the_contracts_say() -> None:
    wave, widths = np.zeros(audio.SAMPLE_RATE, np.float32), WidthSettings()
    sent(sound_contract(AudioModelSettings(), widths), sound_question(wave))
    sent(sound_contract(AudioModelSettings(input="wave"), widths), sound_question(wave, "wave"))
    sent(picture_contract(VideoModelSettings(), widths), picture_question(np.zeros((2, 448, 448, 3), np.uint8)))
    sent(fusion_contract(PerceptionSettings(), widths), question(Sight(), history((), 0)))
    ids = np.zeros((1, 16), np.int64)
    sent(text_contract(TextModelSettings(), widths), {"input_ids": ids, "attention_mask": ids})


def test_the_fusion_model_takes_the_widths_that_the_encoders_give() -> None:
    fusion = {one.name: one.shape[-1] for one in fusion_contract(PerceptionSettings(), WIDE).inputs}
    assert [fusion[name] for name in ("text", "audio", "video", "past")] == [7, 9, 10, 7]
    assert text_contract(TextModelSettings(), WIDE).outputs[0].shape[-1] == 7
    assert sound_contract(AudioModelSettings(), WIDE).outputs[0].shape == (ANY, 9)
    assert picture_contract(VideoModelSettings(), WIDE).outputs[1].shape == (ANY, 5)


def test_the_widths_are_those_of_the_shipped_fusion_model_unless_set(monkeypatch: pytest.MonkeyPatch) -> None:
    assert WidthSettings().by_modality == WIDTHS
    monkeypatch.setenv("MULTIMOOD_WIDTH_TEXT", "768")
    assert WidthSettings().by_modality[pb.MODALITY_TEXT] == 768


def test_vectors_of_the_widths_that_are_set_are_seen_and_asked_with() -> None:
    vector = np.arange(7, dtype="<f4")
    features = pb.Features(embeddings=[pb.Embedding(modality=pb.MODALITY_TEXT, vector=vector.tobytes(), shape=[7])])
    assert see(features).unusable == (pb.MODALITY_TEXT,)
    sight = see(features, WIDE.by_modality)
    asked = question(sight, history((), 0, WIDE.text), WIDE.by_modality)
    assert asked["text"].tolist() == [vector.tolist()]
    assert (asked["audio"].shape, asked["present"].tolist()) == ((1, 9), [[1, 0, 0]])
    assert asked["past"].shape == (1, 12, 7)


def test_the_taxonomy_decides_which_strategies_are_read() -> None:
    outputs = [fusion_contract(PerceptionSettings(taxonomy=one), WIDE).outputs for one in ("mesc", "esconv")]
    assert [each[-1].name for each in outputs] == ["strategy_mesc", "strategy_esconv"]


def test_a_wave_is_sent_whole_up_to_the_last_thirty_seconds() -> None:
    wave = np.arange(31 * audio.SAMPLE_RATE, dtype=np.float32)
    found = sound_question(wave, "wave")["wave"]
    assert found.shape == (1, 30 * audio.SAMPLE_RATE)
    assert found[0, -1] == wave[-1]


def test_a_model_without_expressions_gives_a_vector_too() -> None:
    face = np.array([[0.5, 0.5, 1, 1, 1], [0, 0, 0, 0, 0]], np.float32)
    pooled = video.pool(face, np.array([[1, 2], [9, 9]], np.float32))
    assert pooled is not None
    assert (pooled[0].tolist(), pooled[1]) == ([1, 2, 0, 0], 1)
