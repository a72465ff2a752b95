"""The Triton servers on the way of a version: tried out of the call, loaded from the repository, asked what it says.

A graph is tried under another name first, out of the request itself: one that cannot be loaded would keep a server that
starts later from serving any version of the model, so it must not get into the repository at all.
"""

import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from multimood.errors import MultimoodError, UnavailableError
from multimood.local.triton_http import READY, AnswerError, TritonHttp
from multimood.perception.fusion import Taxonomy
from multimood.perception.state import STATE, STRATEGIES, names_of
from multimood.perception.strategy import OUTPUT, policy_answer
from multimood.rollout.errors import PromotionRefusedError

ROWS: Final = 32
CLOSE: Final = 1e-5
READY_S: Final = 30.0
PAUSE_S: Final = 0.1
_THREADS: Final = {"intra_op_thread_count": "1", "inter_op_thread_count": "1"}


@dataclass(frozen=True, slots=True)
class Servers:
    """Every Triton server behind an address: each has to load a version by itself."""

    each: Sequence[TritonHttp]

    @classmethod
    def at(cls, address: str) -> "Servers":
        """Those behind a host:port, one for each of the name's addresses.

        Raises:
            UnavailableError: the name is not known.
        """
        host, _, port = address.removeprefix("http://").rpartition(":")
        found: dict[str, None] = {}
        for family, form in ((socket.AF_INET, "{}"), (socket.AF_INET6, "[{}]")):
            with suppress(OSError, ValueError):
                answers = socket.getaddrinfo(host.strip("[]"), int(port), family, socket.SOCK_STREAM)
                found = found or dict.fromkeys(form.format(one[4][0]) for one in answers)
        if not found:
            raise UnavailableError(f"{address} is no address of Triton's HTTP port: say --triton HOST:8000")
        return cls([TritonHttp(f"http://{one}:{port}") for one in found])

    def check_alive(self) -> None:
        """Raises UnavailableError when one of them does not answer."""
        for server in self.each:
            if not server.is_ready():
                raise UnavailableError(f"Triton at {server.url} does not answer: start it, or say --triton HOST:8000")

    def try_out(self, model: str, graph: bytes, taxonomy: Taxonomy) -> NDArray[np.float64]:
        """Load a graph under another name, ask it, and unload it again; gives its answers to the probes.

        Raises:
            PromotionRefusedError: it cannot be loaded, or gives no distributions over what may be chosen.
        """
        trial, answers = f"{model}_trial", []
        for server in self.each:
            try:
                server.load_from(trial, config_of(trial, taxonomy), {"1/model.onnx": graph})
            except AnswerError as error:
                raise PromotionRefusedError(f"Triton at {server.url} cannot load this graph: {error}") from None
            try:
                answers.append(asked(server, trial, "1", taxonomy))
            finally:
                server.unload(trial)
        return answers[0]

    def load(self, model: str, version: str) -> None:
        """Load the versions that were added to a model, and wait until this one is ready everywhere.

        Raises:
            PromotionRefusedError: a server cannot load it. UnavailableError: it does not become ready.
        """
        for server in self.each:
            try:
                server.load(model)
            except AnswerError as error:
                raise PromotionRefusedError(f"Triton at {server.url} cannot load {model}: {error}") from None
        self.await_ready(model, version)

    def await_ready(self, model: str, version: str, within_s: float = READY_S) -> None:
        """Wait until a version is ready on every server. Raises UnavailableError."""
        until = time.monotonic() + within_s
        for server in self.each:
            while not any(one.version == version and one.state == READY for one in _versions(server, model)):
                if time.monotonic() > until:
                    raise UnavailableError(f"{model} version {version} is not ready on {server.url}")
                time.sleep(PAUSE_S)

    def check_answers(self, model: str, version: str, taxonomy: Taxonomy, wanted: NDArray[np.float64] | None) -> None:
        """Ask a version on every server. Raises PromotionRefusedError when it says something else than `wanted`."""
        for server in self.each:
            found = asked(server, model, version, taxonomy)
            if wanted is not None and not np.allclose(found, wanted, atol=CLOSE):
                raise PromotionRefusedError(f"{model} version {version} on {server.url} answers as another graph does")

    def forget_removed(self, model: str) -> None:
        """Load anew after a version was taken away: the servers unload it. What fails is left for the next time."""
        for server in self.each:
            try:
                server.load(model)
            except MultimoodError:
                continue


def asked(server: TritonHttp, model: str, version: str, taxonomy: Taxonomy) -> NDArray[np.float64]:
    """A version's answers to the probes.

    Raises:
        PromotionRefusedError: it does not answer, or not with distributions over what may be chosen.
    """
    labels = STRATEGIES[taxonomy]
    state, eligible = probes(taxonomy)
    inputs = {"state": state.tolist(), "eligible": eligible.tolist()}
    try:
        values = np.array(server.infer(model, inputs, version)[OUTPUT], np.float32).reshape(len(state), -1)
        rows = [
            policy_answer(
                {OUTPUT: row[None]}, [label for label, may in zip(labels, mask, strict=True) if may], taxonomy
            )
            for row, mask in zip(values, eligible, strict=True)
        ]
    except UnavailableError:
        raise
    except (MultimoodError, KeyError, TypeError, ValueError) as error:
        raise PromotionRefusedError(f"{model} version {version} on {server.url} is no policy: {error}") from None
    return np.array([[row[label] for label in labels] for row in rows])


@cache
def probes(taxonomy: Taxonomy) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """States, some of them far from any that is met, and what may be chosen: all, one alone, and in between."""
    chance = np.random.default_rng(0)
    width, many = len(names_of(f"{STATE}:{taxonomy}")), len(STRATEGIES[taxonomy])
    state = chance.random((ROWS, width))
    state[0], state[1], state[2] = 0, 1, 50
    eligible = (chance.random((ROWS, many)) < 0.6).astype(np.float32)  # noqa: PLR2004 - about half
    eligible[0] = 1
    eligible[range(ROWS), np.arange(ROWS) % many] = 1
    eligible[1] = np.eye(many)[0]
    return state.astype(np.float32), eligible


def config_of(model: str, taxonomy: Taxonomy) -> dict[str, Any]:
    """Triton's configuration of a policy model."""
    width, many = len(names_of(f"{STATE}:{taxonomy}")), len(STRATEGIES[taxonomy])
    return {
        "name": model,
        "backend": "onnxruntime",
        "max_batch_size": 64,
        "input": [_tensor("state", width), _tensor("eligible", many)],
        "output": [_tensor(OUTPUT, many)],
        "version_policy": {"all": {}},
        "instance_group": [{"kind": "KIND_AUTO", "count": 1}],
        "dynamic_batching": {},
        "parameters": {key: {"string_value": value} for key, value in _THREADS.items()},
    }


def pbtxt_of(config: Mapping[str, Any]) -> str:
    """A configuration as Triton reads it from a file."""
    tensor = '{{ name: "{name}" data_type: {data_type} dims: {dims} }}'
    inputs, outputs = (", ".join(tensor.format(**one) for one in config[side]) for side in ("input", "output"))
    parameters = [
        f'parameters {{ key: "{key}" value: {{ string_value: "{value["string_value"]}" }} }}'
        for key, value in config["parameters"].items()
    ]
    lines = [
        f'name: "{config["name"]}"',
        f'backend: "{config["backend"]}"',
        f"max_batch_size: {config['max_batch_size']}",
        f"input [ {inputs} ]",
        f"output [ {outputs} ]",
        "version_policy: { all { } }",
        "instance_group [ { kind: KIND_AUTO count: 1 } ]",
        "dynamic_batching { }",
        *parameters,
    ]
    return "\n".join(lines) + "\n"


def _tensor(name: str, width: int) -> dict[str, Any]:
    return {"name": name, "data_type": "TYPE_FP32", "dims": [width]}


def _versions(server: TritonHttp, model: str) -> Sequence[Any]:
    try:
        return server.versions(model)
    except UnavailableError:
        return ()
