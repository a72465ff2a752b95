"""What the fusion model must take and give, told by the code that asks it and reads its answer."""

from typing import Final

from multimood.history import history
from multimood.inference.contract import ANY, Contract
from multimood.inference.tensors import Tensor
from multimood.perception.fusion import Sight, answer_shapes, question
from multimood.perception.settings import PerceptionSettings
from multimood.perception.widths import WidthSettings

REMEDY: Final = (
    "Serve a fusion model that was trained on the vectors of the encoders that are served (`multimood train fusion`); "
    "MULTIMOOD_WIDTH_TEXT, _AUDIO and _VIDEO say to all services how wide those are"
)


def fusion_contract(own: PerceptionSettings, widths: WidthSettings) -> Contract:
    """All tensors are float32, one row an utterance."""
    asked = question(Sight(), history((), 0, widths.text), widths.by_modality)
    return Contract(
        own.model,
        [Tensor(name, "FP32", (ANY, *array.shape[1:])) for name, array in asked.items()],
        [Tensor(name, "FP32", (ANY, *shape)) for name, shape in answer_shapes(own.taxonomy).items()],
        REMEDY,
    )
