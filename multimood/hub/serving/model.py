"""Triton's side of a hub's model. Tensors go by DLPack: as numpy's arrays they would arrive as zeros with numpy 2."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import triton_python_backend_utils as pb_utils  # type: ignore[import-not-found]  # Triton's own, at run time
from hub_encoder import FACE, cut_faces, open_encoder  # type: ignore[import-not-found]  # it lies beside this file

WHOLE = (0.5, 0.5, 1.0, 1.0, 1.0)
"""The "face" of a frame that is looked at whole."""


class RefusedError(Exception):
    """Another model that is asked does not answer."""


class TritonPythonModel:
    """One instance of one model; what it is, is in the parameters of its configuration."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Load the weights."""
        config = json.loads(args["model_config"])
        parameters = {name: value["string_value"] for name, value in config["parameters"].items()}
        self.modality = parameters["modality"]
        self.faces = parameters.get("faces", "")
        is_gpu = args["model_instance_kind"] == "GPU"
        torch.set_num_threads(int(parameters["threads"]))
        self.encoder: Any = open_encoder(
            Path(args["model_repository"]) / args["model_version"] / "weights",
            self.modality,
            parameters["pooling"],
            device=f"cuda:{args['model_instance_device_id']}" if is_gpu else "cpu",
            normalize=parameters.get("normalize") == "true",
            layer=int(parameters.get("layer", "-1")),
        )
        self.widths = self.encoder.widths()
        declared = [int(size) for size in next(one for one in config["output"] if one["name"] != "face")["dims"]]
        if declared != self.widths:
            raise ValueError(
                f"config.pbtxt says {declared}, the weights give {self.widths}: write it anew (models use)"
            )

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answer each request; an error names its tensors, not what is in them."""
        return [self.one(request) for request in requests]

    def one(self, request: Any) -> Any:
        """Answer one request, whatever becomes of it."""
        inputs = {tensor.name(): torch.from_dlpack(tensor.to_dlpack()) for tensor in request.inputs()}
        try:
            outputs = getattr(self, self.modality)(**inputs)
        except RefusedError as error:
            return refusal(str(error))
        except Exception as error:  # noqa: BLE001 - of any kind; its text may quote what is in a tensor
            shapes = ", ".join(f"{name} {tensor.dtype} {list(tensor.shape)}" for name, tensor in inputs.items())
            return refusal(f"{type(error).__name__} on {shapes}")
        return pb_utils.InferenceResponse([as_tensor(name, value) for name, value in outputs.items()])

    def text(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Mapping[str, torch.Tensor]:
        """Embed words."""
        return {"embedding": self.encoder(input_ids, attention_mask)}

    def audio(self, wave: torch.Tensor) -> Mapping[str, torch.Tensor]:
        """Embed sound."""
        return {"embedding": self.encoder(wave)}

    def video(self, frames: torch.Tensor) -> Mapping[str, torch.Tensor]:
        """Embed the frames of one clip, or the faces in them; all 0 for a frame without one."""
        if not self.faces:
            return {"face": torch.tensor([WHOLE] * len(frames)), "features": self.encoder(list(frames))}
        faces = self.look(frames)
        found = (faces[:, FACE - 1] > 0).nonzero()[:, 0]
        seen = self.encoder(cut_faces(frames[found], faces[found])) if len(found) else None
        features = torch.zeros(len(frames), *self.widths)
        if seen is not None:
            features[found] = seen.cpu()
        return {"face": faces, "features": features}

    def look(self, frames: torch.Tensor) -> torch.Tensor:
        """Ask the model that finds faces: float32 [n, 5]."""
        question = pb_utils.InferenceRequest(
            model_name=self.faces, requested_output_names=["face"], inputs=[as_tensor("frames", frames)]
        )
        found = question.exec()
        if found.has_error():
            raise RefusedError(f"{self.faces}, which finds the faces, does not answer")
        return torch.from_dlpack(pb_utils.get_output_tensor_by_name(found, "face").to_dlpack()).clone()


def as_tensor(name: str, value: torch.Tensor) -> Any:
    """A tensor of Triton's, in the machine's memory."""
    return pb_utils.Tensor.from_dlpack(name, value.detach().cpu().contiguous())


def refusal(text: str) -> Any:
    """An error as the answer."""
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(text, pb_utils.TritonError.INVALID_ARG))
