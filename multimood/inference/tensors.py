"""Arrays to request tensors, response tensors to arrays."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from numpy.typing import NDArray
from tritonclient.grpc import InferInput, InferResult
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from multimood.inference.errors import InferenceError

Arrays = Mapping[str, NDArray[Any]]
Tensors = list[InferInput]


@dataclass(frozen=True, slots=True)
class Inference:
    """One response: read-only arrays by output name (of `bytes` objects where the model gives BYTES)."""

    outputs: Arrays
    model_version: str
    """The version folder it came from, such as "1"."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """An input or output as a model declares it: `datatype` in Triton's words, such as "FP32"; -1 for any size."""

    name: str
    datatype: str
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.name} {self.datatype} {list(self.shape)}"


@dataclass(frozen=True, slots=True)
class Signature:
    """What a model takes and gives, the batch dimension with it."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


def declared(metadata: Any) -> Signature:
    """Read a model's metadata, the server's message of that name."""
    inputs, outputs = (
        tuple(Tensor(one.name, one.datatype, tuple(one.shape)) for one in tensors)
        for tensors in (metadata.inputs, metadata.outputs)
    )
    return Signature(inputs, outputs)


def request_tensors(model: str, inputs: Arrays) -> Tensors:
    """Make the tensors of a request. Raises InferenceError for a dtype that has no counterpart in Triton."""
    tensors = []
    for name, array in inputs.items():
        dtype = np_to_triton_dtype(array.dtype)
        if dtype is None:
            raise InferenceError(
                f"{model}: input {name} has dtype {array.dtype}; numbers, bool and object (of bytes) can be sent"
            )
        tensor = InferInput(name, array.shape, dtype)
        try:
            tensor.set_data_from_numpy(array)
        except InferenceServerException:  # its text may quote what is in an object array
            raise InferenceError(
                f"{model}: input {name}, an array of objects, holds something else than bytes"
            ) from None
        tensors.append(tensor)
    return tensors


def response(result: InferResult) -> Inference:
    """Read all outputs of a response."""
    message = result.get_response()
    outputs = {output.name: result.as_numpy(output.name) for output in message.outputs}
    return Inference(MappingProxyType(outputs), message.model_version)
