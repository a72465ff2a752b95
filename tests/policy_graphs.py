"""Writes sound and broken policies into a folder: run by `.venv-triton/bin/python`, which has onnx."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from multimood.graphs.graph import Graph

MESC, ESCONV = (47, 10), (41, 8)


def policy(favourite: int, size: tuple[int, int] = MESC, version: str = "state-1:mesc", name: str = "") -> Graph:
    """Mostly one strategy, whatever the state."""
    width, many = size
    said = {"state_version": version, "taxonomy": version[8:], "learner": "direct", "policy": name or f"f{favourite}"}
    graph = Graph("policy", {**said, "data": "none"})
    state = graph.input("state", "float32", ["n", width])
    eligible = graph.input("eligible", "float32", ["n", many])
    preference = np.zeros((width, many), np.float32)
    preference[0] = 0.01
    logits = graph.op("Add", graph.op("MatMul", state, preference), 3 * np.eye(many)[favourite])
    masked = graph.op("Where", graph.op("Greater", eligible, 0.5), logits, -1e9)
    graph.output("strategy", graph.op("Softmax", masked, axis=-1), ["n", many])
    return graph


def broken(kind: str) -> Graph:
    """Loads, and is no policy."""
    graph = Graph("policy", {"state_version": "state-1:mesc", "taxonomy": "mesc", "learner": "direct"})
    state = graph.input("state", "float32", ["n", MESC[0]])
    eligible = graph.input("eligible", "float32", ["n", MESC[1]])
    logits = graph.op("MatMul", state, np.ones(MESC, np.float32))
    even = graph.op("Softmax", logits, axis=-1)
    answer = {
        "no-sum": lambda: graph.op("Mul", even, 0.5),
        "not-finite": lambda: graph.op("Div", even, graph.op("Sub", even, even)),
        "no-mask": lambda: graph.op("Add", even, graph.op("Mul", eligible, 0.0)),
    }[kind]()
    graph.output("strategy", answer, ["n", MESC[1]])
    return graph


def main(folder: Path) -> None:
    """Write them all."""
    for favourite in range(1, 6):
        policy(favourite).save(folder / f"favours-{favourite}.onnx")
    policy(1, ESCONV, "state-1:esconv").save(folder / "esconv.onnx")
    policy(1, (47, 8), "state-1:mesc").save(folder / "wide.onnx")
    policy(1, MESC, "state-9:mesc").save(folder / "unknown-state.onnx")
    for kind in ("no-sum", "not-finite", "no-mask"):
        broken(kind).save(folder / f"{kind}.onnx")
    sound = (folder / "favours-1.onnx").read_bytes()
    (folder / "unloadable.onnx").write_bytes(sound.replace(b"Softmax", b"Softmap"))
    (folder / "garbage.onnx").write_bytes(b"no graph at all")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
