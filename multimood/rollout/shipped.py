"""The version of a model that is shipped: the champion while nothing was promoted."""

from types import MappingProxyType
from typing import Final

from multimood.models import recorded
from multimood.perception.strategy import MODEL, SHIPPED
from multimood.rollout.standing import NONE, Version

REPLIES: Final = "responder"
"""The reply model on Triton."""
_SUFFIXES: Final = MappingProxyType({MODEL["mesc"]: ".onnx", REPLIES: ".gguf"})
"""Of the file that makes a version what it is, by model."""


def shipped(model: str) -> Version:
    """Version 1 of the models that come with one; NONE of others."""
    if model not in _SUFFIXES:
        return NONE
    files = recorded(model).files
    return Version(SHIPPED, bytes.fromhex(next(files[name] for name in files if name.endswith(_SUFFIXES[model]))))
