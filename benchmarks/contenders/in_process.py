"""A model of the repository without any service: `python -m benchmarks.contenders.in_process MODEL INPUTS ROWS...`.

Runs in Triton's environment, with the model's own thread counts. INPUTS is an .npz of `<number>.<tensor>`; inputs of
equal shape are run together, ROWS at a time at most, for each ROWS given. Prints {ROWS: seconds for all}.
"""

import json
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

Feed = dict[str, Any]


def feeds_of(path: str) -> list[Feed]:
    """The inputs, in order."""
    found: defaultdict[int, Feed] = defaultdict(dict)
    for name, array in np.load(path).items():
        number, _, tensor = name.partition(".")
        found[int(number)][tensor] = array
    return [found[number] for number in sorted(found)]


def batches(feeds: list[Feed], rows: int) -> list[Feed]:
    """Those of equal shape together."""
    alike: defaultdict[Any, list[Feed]] = defaultdict(list)
    for feed in feeds:
        alike[tuple(array.shape[1:] for array in feed.values())].append(feed)
    made = []
    for group in alike.values():
        joined = {name: np.concatenate([feed[name] for feed in group]) for name in group[0]}
        count = len(next(iter(joined.values())))
        made += [{name: array[at : at + rows] for name, array in joined.items()} for at in range(0, count, rows)]
    return made


def main() -> None:
    """Run all inputs once for each size of batch."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    folder = Path("triton_models") / sys.argv[1] / "1"
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"])
    feeds = feeds_of(sys.argv[2])
    session.run(None, feeds[0])
    took = {}
    for rows in map(int, sys.argv[3:]):
        made = batches(feeds, rows)
        began = time.perf_counter()
        for batch in made:
            session.run(None, batch)
        took[rows] = time.perf_counter() - began
    print(json.dumps(took))


if __name__ == "__main__":
    main()
