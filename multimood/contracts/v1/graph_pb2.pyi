from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GraphFile(_message.Message):
    __slots__ = ("ir_version", "graph", "metadata_props")
    class Graph(_message.Message):
        __slots__ = ("input", "output")
        INPUT_FIELD_NUMBER: _ClassVar[int]
        OUTPUT_FIELD_NUMBER: _ClassVar[int]
        input: _containers.RepeatedCompositeFieldContainer[GraphFile.Value]
        output: _containers.RepeatedCompositeFieldContainer[GraphFile.Value]
        def __init__(self, input: _Optional[_Iterable[_Union[GraphFile.Value, _Mapping]]] = ..., output: _Optional[_Iterable[_Union[GraphFile.Value, _Mapping]]] = ...) -> None: ...
    class GraphProperty(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class Value(_message.Message):
        __slots__ = ("name", "type")
        NAME_FIELD_NUMBER: _ClassVar[int]
        TYPE_FIELD_NUMBER: _ClassVar[int]
        name: str
        type: GraphFile.Type
        def __init__(self, name: _Optional[str] = ..., type: _Optional[_Union[GraphFile.Type, _Mapping]] = ...) -> None: ...
    class Type(_message.Message):
        __slots__ = ("tensor_type",)
        TENSOR_TYPE_FIELD_NUMBER: _ClassVar[int]
        tensor_type: GraphFile.Tensor
        def __init__(self, tensor_type: _Optional[_Union[GraphFile.Tensor, _Mapping]] = ...) -> None: ...
    class Tensor(_message.Message):
        __slots__ = ("elem_type", "shape")
        ELEM_TYPE_FIELD_NUMBER: _ClassVar[int]
        SHAPE_FIELD_NUMBER: _ClassVar[int]
        elem_type: int
        shape: GraphFile.Shape
        def __init__(self, elem_type: _Optional[int] = ..., shape: _Optional[_Union[GraphFile.Shape, _Mapping]] = ...) -> None: ...
    class Shape(_message.Message):
        __slots__ = ("dim",)
        DIM_FIELD_NUMBER: _ClassVar[int]
        dim: _containers.RepeatedCompositeFieldContainer[GraphFile.Dimension]
        def __init__(self, dim: _Optional[_Iterable[_Union[GraphFile.Dimension, _Mapping]]] = ...) -> None: ...
    class Dimension(_message.Message):
        __slots__ = ("dim_value",)
        DIM_VALUE_FIELD_NUMBER: _ClassVar[int]
        dim_value: int
        def __init__(self, dim_value: _Optional[int] = ...) -> None: ...
    IR_VERSION_FIELD_NUMBER: _ClassVar[int]
    GRAPH_FIELD_NUMBER: _ClassVar[int]
    METADATA_PROPS_FIELD_NUMBER: _ClassVar[int]
    ir_version: int
    graph: GraphFile.Graph
    metadata_props: _containers.RepeatedCompositeFieldContainer[GraphFile.GraphProperty]
    def __init__(self, ir_version: _Optional[int] = ..., graph: _Optional[_Union[GraphFile.Graph, _Mapping]] = ..., metadata_props: _Optional[_Iterable[_Union[GraphFile.GraphProperty, _Mapping]]] = ...) -> None: ...
