"""Asking a Triton server over HTTP how it and its models are, and reloading one."""

import base64
import json
import math
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from types import MappingProxyType
from typing import Any, Final

from multimood.errors import DeadlineExceededError, MultimoodError, UnavailableError

LOOK_S: Final = 2.0
CANARY_S: Final = 5.0
RELOAD_S: Final = 60.0
_BYTES: Final = MappingProxyType(
    {"TYPE_BOOL": 1, "TYPE_UINT8": 1, "TYPE_FP16": 2, "TYPE_INT32": 4, "TYPE_FP32": 4, "TYPE_INT64": 8}
)
LONGEST_REASON: Final = 300
_EMPTY_JSON: Final = b"[]"
_SMALLEST_DIM: Final = 2
"""For a dimension of any size."""


READY: Final = "READY"


@dataclass(frozen=True, slots=True)
class Version:
    """A version of a model as the server knows it; `reason` says why it could not be loaded."""

    model: str
    version: str
    state: str
    reason: str


class AnswerError(MultimoodError):
    """The server is there and says no."""

    code = "refused"


@dataclass(frozen=True, slots=True)
class TritonHttp:
    """One server's HTTP interface. Calls raise UnavailableError, DeadlineExceededError or AnswerError."""

    url: str

    def is_live(self) -> bool:
        """Tell whether it answers."""
        return self._is_ok("/v2/health/live")

    def is_ready(self) -> bool:
        """Tell whether it takes requests; says nothing of any model."""
        return self._is_ok("/v2/health/ready")

    def serves_metrics(self) -> bool:
        """Tell whether it gives its metrics; they have a port of their own, which it opens last."""
        return self._is_ok("/metrics")

    def states(self) -> dict[str, str]:
        """State by model name, as "READY"; models that were never loaded have none.

        Of several versions the best state counts: one that cannot be loaded takes none of the others away.
        """
        found: dict[str, str] = {}
        for one in self.versions():
            if found.get(one.model) != READY:
                found[one.model] = one.state
        return found

    def versions(self, model: str = "") -> list["Version"]:
        """The versions of a model, or of all, as the server knows them."""
        index = json.loads(self._call("/v2/repository/index", b"{}"))
        return [
            Version(one["name"], one.get("version", ""), one.get("state", ""), one.get("reason", ""))
            for one in index
            if model in {"", one["name"]}
        ]

    def successes(self, model: str, version: str = "") -> int:
        """Requests the model, or one version of it, has answered since it was loaded."""
        stats = json.loads(self._call(f"{_path_of(model, version)}/stats"))
        return sum(int(one["inference_stats"]["success"]["count"]) for one in stats["model_stats"])

    def config(self, model: str) -> dict[str, Any]:
        """A loaded model's configuration, as the server understood it."""
        found: dict[str, Any] = json.loads(self._call(f"/v2/models/{model}/config"))
        return found

    def canary(self, model: str, version: str = "") -> None:
        """Send the smallest request the model takes: zeros, and empty JSON lists; a stream of no tokens.

        A model's health check says nothing of the process it runs in; only an answer does.
        """
        config = self.config(model)
        if config.get("model_transaction_policy", {}).get("decoupled"):
            content = {
                one["name"]: _EMPTY_JSON.decode() if one["data_type"] == "TYPE_STRING" else 0
                for one in config["input"]
                if not one.get("optional")
            }
            path = f"{_path_of(model, version)}/generate_stream"
            answer = self._call(path, json.dumps(content).encode(), within_s=CANARY_S)
            if b'"error"' in answer:
                raise AnswerError(f"{model} answers the canary with an error")
            return
        head, body = canary_request(config)
        headers = {"Inference-Header-Content-Length": str(len(head)), "Content-Type": "application/octet-stream"}
        self._call(f"{_path_of(model, version)}/infer", head + body, headers, within_s=CANARY_S)

    def reload(self, model: str) -> None:
        """Unload and load a model; loading alone does nothing while the server believes it to be there."""
        self.unload(model)
        self.load(model)

    def unload(self, model: str) -> None:
        """Take a model out of service; it answers no more when this returns."""
        self._call(f"/v2/repository/models/{model}/unload", b"{}", within_s=RELOAD_S)

    def load(self, model: str, within_s: float = RELOAD_S) -> None:
        """Load a model, or versions that were added to it; it serves when this returns. Others are not touched."""
        self._call(f"/v2/repository/models/{model}/load", b"{}", within_s=within_s, quotes=True)

    def load_from(self, model: str, config: Mapping[str, Any], files: Mapping[str, bytes]) -> None:
        """Load a model that is in no repository, out of this call: its configuration and its files, by path."""
        content = {f"file:{path}": base64.b64encode(data).decode() for path, data in files.items()}
        parameters = {"config": json.dumps(config), **content}
        body = json.dumps({"parameters": parameters}).encode()
        self._call(f"/v2/repository/models/{model}/load", body, within_s=RELOAD_S, quotes=True)

    def infer(self, model: str, inputs: Mapping[str, Sequence[Sequence[float]]], version: str = "") -> dict[str, Any]:
        """Ask with rows of float32; gives each output's values, row after row in one list."""
        asked = [
            {
                "name": name,
                "datatype": "FP32",
                "shape": [len(rows), len(rows[0])],
                "data": [x for row in rows for x in row],
            }
            for name, rows in inputs.items()
        ]
        answer = self._call(
            f"{_path_of(model, version)}/infer", json.dumps({"inputs": asked}).encode(), within_s=CANARY_S
        )
        return {one["name"]: one["data"] for one in json.loads(answer)["outputs"]}

    def generate(
        self, model: str, inputs: Mapping[str, Any], version: str = "", within_s: float = RELOAD_S
    ) -> list[dict[str, Any]]:
        """Ask a decoupled model by the names of its inputs; gives every response's outputs, once all are there."""
        answer = self._call(
            f"{_path_of(model, version)}/generate_stream", json.dumps(inputs).encode(), within_s=within_s
        )
        lines = [line.removeprefix(b"data:") for line in answer.splitlines() if line.startswith(b"data:")]
        try:
            return [json.loads(line) for line in lines]
        except ValueError:
            raise AnswerError(f"{model} answers something that cannot be read") from None

    def _is_ok(self, path: str) -> bool:
        try:
            self._call(path)
        except MultimoodError:
            return False
        return True

    def _call(
        self,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        within_s: float = LOOK_S,
        quotes: bool = False,
    ) -> bytes:
        request = urllib.request.Request(self.url + path, body, dict(headers or {}))  # noqa: S310 - http, to ourselves
        try:
            with urllib.request.urlopen(request, timeout=within_s) as answer:  # noqa: S310
                content: bytes = answer.read()
                return content
        except urllib.error.HTTPError as error:
            why = f" ({_reason(error.read())})" if quotes else ""
            raise AnswerError(f"{path}: status {error.code}{why}") from None
        except TimeoutError:
            raise DeadlineExceededError(f"{path}: no answer within {within_s:.0f} s") from None
        except (OSError, HTTPException) as error:
            if isinstance(getattr(error, "reason", None), TimeoutError):
                raise DeadlineExceededError(f"{path}: no answer within {within_s:.0f} s") from None
            raise UnavailableError(f"{path}: {type(error).__name__}") from None


def _reason(answer: bytes) -> str:
    """The server's words on a model that it cannot load: of a file, of nobody's request."""
    try:
        text = str(json.loads(answer)["error"])
    except (ValueError, KeyError, TypeError):
        return "no reason"
    return " ".join(text.split())[:LONGEST_REASON]


def _path_of(model: str, version: str) -> str:
    return f"/v2/models/{model}/versions/{version}" if version else f"/v2/models/{model}"


def canary_request(config: Mapping[str, Any]) -> tuple[bytes, bytes]:
    """JSON header and binary tensors of the smallest inference request that fits a model's configuration."""
    batch = [1] if config.get("max_batch_size", 0) else []
    inputs, tensors = [], []
    for one in config["input"]:
        shape = batch + [_SMALLEST_DIM if int(dim) < 0 else int(dim) for dim in one["dims"]]
        count = math.prod(shape)
        if one["data_type"] == "TYPE_STRING":
            tensor = (len(_EMPTY_JSON).to_bytes(4, "little") + _EMPTY_JSON) * count
        else:
            tensor = bytes(count * _BYTES[one["data_type"]])
        tensors.append(tensor)
        datatype = "BYTES" if one["data_type"] == "TYPE_STRING" else one["data_type"].removeprefix("TYPE_")
        parameters = {"binary_data_size": len(tensor)}
        inputs.append({"name": one["name"], "shape": shape, "datatype": datatype, "parameters": parameters})
    head = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
    return head, b"".join(tensors)
