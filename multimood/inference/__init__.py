"""Calls of the models on the Triton server: deadlines, retries, bounded concurrency, metrics, typed errors."""

from multimood.inference.client import InferenceClient
from multimood.inference.errors import InferenceError
from multimood.inference.tensors import Inference
from multimood.inference.together import Together

__all__ = ["Inference", "InferenceClient", "InferenceError", "Together"]
