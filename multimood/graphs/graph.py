"""Writing an ONNX graph by hand: name the inputs, chain the operators, name the outputs."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NewType

import numpy as np
import onnx
from numpy.typing import ArrayLike, NDArray
from onnx import helper, numpy_helper

OPSET: Final = 17
IR_VERSION: Final = 8
"""What every ONNX Runtime since 1.12 reads; the one in the official Triton 24.10 image is 1.19."""

Tensor = NewType("Tensor", str)
"""The name of a value inside a graph."""

Operand = Tensor | ArrayLike | None
"""What an operator takes: a value of the graph, a constant, or nothing in the place of an optional input."""

Dim = int | str


class Graph:
    """A graph under construction.

    A small classifier, as an example::

        graph = Graph("head")
        x = graph.input("x", "float32", ["b", 384])
        logits = graph.op("Add", graph.op("MatMul", x, weights), bias)     # weights [384, 8], bias [8]
        graph.output("emotion", graph.op("Softmax", logits, axis=-1), ["b", 8])
        graph.save(Path("triton_models/head/1/model.onnx"))

    Constants may be numbers, lists or arrays: integers become int64, floating-point numbers float32.
    A string as a dimension stands for any size. `metadata` is what the file says of itself, by name.
    """

    def __init__(self, name: str, metadata: Mapping[str, str] | None = None) -> None:
        self.name = name
        self._metadata = dict(metadata or {})
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._inputs: list[Any] = []
        self._outputs: list[Any] = []

    def __len__(self) -> int:
        return len(self._nodes)

    def input(self, name: str, dtype: str, shape: Sequence[Dim]) -> Tensor:
        """Declare an input; `dtype` is numpy's name for it."""
        self._inputs.append(_declared(name, dtype, shape))
        return Tensor(name)

    def op(self, kind: str, *operands: Operand, **attributes: Any) -> Tensor:
        """Add an operator that has one result, and give that."""
        (result,) = self.ops(kind, 1, *operands, **attributes)
        return result

    def ops(self, kind: str, results: int, *operands: Operand, **attributes: Any) -> tuple[Tensor, ...]:
        """Add an operator that has several results, such as Split, and give them."""
        names = tuple(Tensor(f"{kind}_{len(self._nodes)}_{index}") for index in range(results))
        operand_names = [self._name(operand) for operand in operands]
        self._nodes.append(helper.make_node(kind, operand_names, list(names), **attributes))
        return names

    def half(self, array: ArrayLike) -> Tensor:
        """A constant that is kept in half precision and counted with in single: half the bytes on disk."""
        name = f"constant_{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(array, np.float16), name))
        return self.op("Cast", Tensor(name), to=helper.np_dtype_to_tensor_dtype(np.dtype(np.float32)))

    def output(self, name: str, value: Tensor, shape: Sequence[Dim], dtype: str = "float32") -> None:
        """Declare a result of the graph."""
        self._nodes.append(helper.make_node("Identity", [value], [name]))
        self._outputs.append(_declared(name, dtype, shape))

    def save(self, path: Path) -> None:
        """Check the graph, shapes included, and write it: the same bytes each time, whole or not at all.

        Raises onnx.checker.ValidationError or onnx.shape_inference.InferenceError when an operator is used wrongly.
        """
        graph = helper.make_graph(self._nodes, self.name, self._inputs, self._outputs, self._constants)
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="multimood"
        )
        helper.set_model_props(model, self._metadata)
        onnx.checker.check_model(model, full_check=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{os.getpid()}-{path.name}")
        part.write_bytes(model.SerializeToString(deterministic=True))
        part.replace(path)

    def _name(self, operand: Operand) -> str:
        if operand is None:
            return ""
        if isinstance(operand, str):
            return operand
        array = _constant(operand)
        name = f"constant_{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(array, name))
        return name


def _constant(value: ArrayLike) -> NDArray[Any]:
    array = np.asarray(value)
    if array.dtype.kind == "f":
        array = array.astype(np.float32, copy=False)
    return np.ascontiguousarray(array).reshape(array.shape)  # ascontiguousarray makes a scalar one-dimensional


def _declared(name: str, dtype: str, shape: Sequence[Dim]) -> Any:
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), list(shape))
