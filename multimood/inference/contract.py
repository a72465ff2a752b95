"""What a service needs of a model, compared with what the server says of it, before the service takes work.

A model of another width, or one that takes something else, answers all the same or refuses every call; either would
show only in what people are told. So the tensors are compared by name, type and shape when a service starts.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from multimood.errors import ConfigurationError, UnavailableError
from multimood.inference.client import InferenceClient
from multimood.inference.errors import InferenceError
from multimood.inference.tensors import Signature, Tensor

logger = logging.getLogger(__name__)

ANY: Final = -1
"""For a dimension of any size: of a batch, of time."""


class ContractError(ConfigurationError):
    """A served model is not what the service needs; the message names model, tensor, both shapes and the remedy."""

    code = "contract"


@dataclass(frozen=True, slots=True)
class Contract:
    """The tensors that a service sends to a model and those that it reads of the answer.

    A dimension is a size or ANY. `remedy` ends the message.
    """

    model: str
    inputs: Sequence[Tensor]
    outputs: Sequence[Tensor]
    remedy: str

    def faults(self, found: Signature) -> Sequence[str]:
        """What does not fit, one phrase a tensor; empty when all does."""
        faults = [_fault("input", needed, found.inputs) for needed in self.inputs]
        faults += [_fault("output", needed, found.outputs) for needed in self.outputs]
        sent = {tensor.name for tensor in self.inputs}
        faults += [f"input {tensor} is asked for, and not sent" for tensor in found.inputs if tensor.name not in sent]
        return [fault for fault in faults if fault]


class Contracts:
    """The contracts of a service with the models on one server."""

    def __init__(self, client: InferenceClient, *contracts: Contract) -> None:
        self._client = client
        self._open = list(contracts)

    async def fit(self) -> bool:
        """Compare what was not compared yet: True once every model was seen and fits, False while one is not there.

        Raises:
            ContractError: a model does not fit.
        """
        for contract in tuple(self._open):
            try:
                found = await self._client.signature(contract.model)
            except (UnavailableError, InferenceError) as error:
                logger.warning("waiting for a model, to see whether it fits", extra={"reason": str(error)})
                return False
            if faults := contract.faults(found):
                raise ContractError(f"{self._client.whom(contract.model)}: {'; '.join(faults)}. {contract.remedy}")
            self._open.remove(contract)
        return True


def _fault(kind: str, needed: Tensor, found: Sequence[Tensor]) -> str:
    tensor = next((tensor for tensor in found if tensor.name == needed.name), None)
    if tensor is None:
        others = ", ".join(tensor.name for tensor in found)
        return f"{kind} {needed} is needed and not there (there are {others or 'none'})"
    if tensor.datatype != needed.datatype or not _fits(kind, needed.shape, tensor.shape):
        return f"{kind} {tensor} is served, needed is {needed.datatype} {list(needed.shape)}"
    return ""


def _fits(kind: str, needed: Sequence[int], found: Sequence[int]) -> bool:
    return len(needed) == len(found) and all(
        _agree(kind, ours, theirs) for ours, theirs in zip(needed, found, strict=True)
    )


def _agree(kind: str, ours: int, theirs: int) -> bool:
    """Compare one dimension. What the model leaves open agrees with any; what varies here must be open in an input."""
    if theirs == ANY:
        return True
    return theirs == ours or (ours == ANY and kind == "output")
