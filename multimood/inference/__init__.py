"""Calls of the models on the Triton server: deadlines, retries, bounded concurrency, metrics, typed errors."""

from multimood.inference.client import InferenceClient
from multimood.inference.contract import ANY, Contract, ContractError, Contracts
from multimood.inference.errors import InferenceError
from multimood.inference.tensors import Inference, Tensor
from multimood.inference.together import Together

__all__ = [
    "ANY",
    "Contract",
    "ContractError",
    "Contracts",
    "Inference",
    "InferenceClient",
    "InferenceError",
    "Tensor",
    "Together",
]
