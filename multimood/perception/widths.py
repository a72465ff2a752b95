"""How wide the vectors are that the encoders give and the fusion model takes."""

from collections.abc import Mapping

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from multimood.contracts.v1 import events_pb2 as pb
from multimood.perception.fusion import WIDTHS


class WidthSettings(BaseSettings):
    """Of the three vectors, the same for all services; others than the shipped ones need a fusion model of your own."""

    model_config = SettingsConfigDict(env_prefix="MULTIMOOD_WIDTH_", use_attribute_docstrings=True)

    text: int = Field(default=WIDTHS[pb.MODALITY_TEXT], ge=1)
    """What the text encoder gives and the fusion model was trained on."""
    audio: int = Field(default=WIDTHS[pb.MODALITY_AUDIO], ge=1)
    """The same for the audio encoder."""
    video: int = Field(default=WIDTHS[pb.MODALITY_VIDEO], ge=2, multiple_of=2)
    """The same for the video encoder: mean and deviation of its features, so twice their number."""

    @property
    def by_modality(self) -> Mapping[pb.Modality, int]:
        """The three by modality."""
        return {pb.MODALITY_TEXT: self.text, pb.MODALITY_AUDIO: self.audio, pb.MODALITY_VIDEO: self.video}


def remedy(model: str, width: str) -> str:
    """What to do about an encoder that does not fit; `model` and `width` are the variables that set them."""
    return (
        f"Serve what {model} should name; for a vector of another width train the fusion model anew on it "
        f"(`multimood train fusion`) and set {width} for all services"
    )
