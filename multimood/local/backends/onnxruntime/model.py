"""A Python-based Triton backend named `onnxruntime`: ONNX Runtime's Python API serves <model>/<version>/model.onnx.

It stands in for NVIDIA's C++ backend of that name, and reads the same config.pbtxt: batching, KIND_GPU, thread counts,
shrinking of the memory arena. It has neither automatic completion of configurations nor optional inputs. Triton imports
it in the server's own environment.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import triton_python_backend_utils as pb_utils  # type: ignore[import-not-found]  # Triton's own, at run time
from numpy.typing import NDArray

Feed = dict[str, NDArray[Any]]

_ROWS = "rows_per_run"
"""Ours alone: on a CPU, few large rows at a time stay in its caches."""
_SHRINK = "memory.enable_memory_arena_shrinkage"


class TritonPythonModel:
    """One instance of one model."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Load the graph."""
        config = json.loads(args["model_config"])
        file = config.get("default_model_filename") or "model.onnx"
        self._inputs = [one["name"] for one in config["input"]]
        self._outputs = [one["name"] for one in config["output"]]
        self._batches = config["max_batch_size"] > 0
        parameters = config.get("parameters", {})
        self._rows = int(parameters[_ROWS]["string_value"]) if _ROWS in parameters and self._batches else 0
        if args["model_instance_kind"] == "GPU":
            self._rows = 0
        self._options = _run_options(parameters)
        self._session = onnxruntime.InferenceSession(
            str(Path(args["model_repository"]) / args["model_version"] / file),
            _session_options(parameters),
            providers=_providers(args),
        )

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answer the requests that Triton gives together, in one run where that is possible."""
        feeds = [
            {name: pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in self._inputs}
            for request in requests
        ]
        if self._batches and len(feeds) > 1:
            try:
                return self._together(feeds)
            except _failures():  # of one of them: it must not take the others with it
                pass
        return [self._alone(feed) for feed in feeds]

    def _together(self, feeds: Sequence[Feed]) -> list[Any]:
        joined = {name: np.concatenate([feed[name] for feed in feeds]) for name in self._inputs}
        ends = np.cumsum([len(feed[self._inputs[0]]) for feed in feeds])[:-1]
        outputs = [np.split(output, ends) for output in self._run(joined)]
        return [self._response(rows) for rows in zip(*outputs, strict=True)]

    def _alone(self, feed: Feed) -> Any:
        try:
            return self._response(self._run(feed))
        except _failures() as error:
            return pb_utils.InferenceResponse(error=_refusal(error, feed))

    def _run(self, feed: Feed) -> list[NDArray[Any]]:
        """Run the graph, on so many rows at a time as its configuration says."""
        count = len(feed[self._inputs[0]])
        if not 0 < self._rows < count:
            return list(self._session.run(self._outputs, feed, self._options))
        pieces = [
            self._session.run(
                self._outputs, {name: array[at : at + self._rows] for name, array in feed.items()}, self._options
            )
            for at in range(0, count, self._rows)
        ]
        return [np.concatenate(rows) for rows in zip(*pieces, strict=True)]

    def _response(self, values: Sequence[NDArray[Any]]) -> Any:
        return pb_utils.InferenceResponse(
            [pb_utils.Tensor(name, value) for name, value in zip(self._outputs, values, strict=True)]
        )


def _failures() -> tuple[type[Exception], ...]:
    from onnxruntime.capi import onnxruntime_pybind11_state as state  # noqa: PLC0415 - there is no public name for them

    return (state.Fail, state.InvalidArgument, state.RuntimeException)


def _refusal(error: Exception, feed: Feed) -> Any:
    """Name the tensors, not what is in them; ONNX Runtime's own text may quote a value."""
    if "allocate memory" in str(error):
        return pb_utils.TritonError("out of memory", pb_utils.TritonError.UNAVAILABLE)
    shapes = ", ".join(f"{name} {array.dtype} {list(array.shape)}" for name, array in feed.items())
    return pb_utils.TritonError(f"the graph cannot be run on {shapes}", pb_utils.TritonError.INVALID_ARG)


def _session_options(parameters: Mapping[str, Mapping[str, str]]) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what a request did wrong is answered, without its values
    for name, option in (
        ("intra_op_thread_count", "intra_op_num_threads"),
        ("inter_op_thread_count", "inter_op_num_threads"),
    ):
        if name in parameters:
            setattr(options, option, int(parameters[name]["string_value"]))
    return options


def _run_options(parameters: Mapping[str, Mapping[str, str]]) -> Any:
    options = onnxruntime.RunOptions()
    if _SHRINK in parameters:
        options.add_run_config_entry(_SHRINK, parameters[_SHRINK]["string_value"])
    return options


def _providers(args: Mapping[str, str]) -> list[Any]:
    available = onnxruntime.get_available_providers()
    if args["model_instance_kind"] == "GPU" and "CUDAExecutionProvider" in available:
        return [("CUDAExecutionProvider", {"device_id": args["model_instance_device_id"]}), "CPUExecutionProvider"]
    return ["CPUExecutionProvider"]
