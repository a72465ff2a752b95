"""ONNX graphs for the model server, written with numpy and onnx from weights as their packages carry them.

No framework is needed: a graph is the paper's formula, one operator after another (`multimood.graphs.graph.Graph`).
Run it where `onnx` is installed: `.venv-triton/bin/python -m multimood.graphs --help`.
"""
