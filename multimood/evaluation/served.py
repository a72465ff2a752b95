"""The Triton server that is measured: one that runs, or one started for the purpose and ended with it."""

import hashlib
import os
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from multimood.inference import InferenceClient, Together
from multimood.inference.tensors import Arrays
from multimood.local.parts import TRITON_PORTS
from multimood.local.places import checkout
from multimood.local.ports import assign
from multimood.local.server import start_and_wait
from multimood.settings import TritonSettings

START_WITHIN_S: Final = 240.0
DEADLINE_S: Final = 120.0
"""Nobody waits for these answers: a loaded machine is no failure."""
URL_VARIABLE: Final = "MULTIMOOD_TRITON_URL"


class Served:
    """A connection to the server, and which models answered over it."""

    def __init__(self, url: str, *, is_ours: bool) -> None:
        self.client: Final = InferenceClient(TritonSettings(url=url, deadline_s=DEADLINE_S))
        self.home: Final = checkout()
        self._together = Together(self.client)
        self._is_ours = is_ours
        self._versions: dict[str, str] = {}

    async def row(self, model: str, inputs: Arrays) -> Arrays:
        """Ask for one row; rows that wait at one time go together."""
        return self._noted(model, await self._together.infer(model, inputs))

    async def ask(self, model: str, inputs: Arrays) -> Arrays:
        """Ask for all of it in a call of its own."""
        return self._noted(model, await self.client.infer(model, inputs))

    def note(self, model: str, version: str) -> None:
        """Note that a version of a model answered."""
        self._versions[model] = version

    def models(self) -> dict[str, dict[str, str | None]]:
        """Version of every model that answered, and SHA-256 of its file where the server is ours, else None."""
        return {
            name: {"version": version, "sha256": self._digest(name, version) if self._is_ours else None}
            for name, version in sorted(self._versions.items())
        }

    def _noted(self, model: str, found: Any) -> Arrays:
        self.note(model, found.model_version)
        outputs: Arrays = found.outputs
        return outputs

    def _digest(self, name: str, version: str) -> str | None:
        folder = self.home / "triton_models" / name / version
        file = next((folder / one for one in ("model.onnx", "model.py") if (folder / one).is_file()), None)
        return hashlib.sha256(file.read_bytes()).hexdigest() if file else None


@contextmanager
def server(url: str | None, needed: Collection[str]) -> Iterator[tuple[str, bool]]:
    """The address of a server, and whether it is ours.

    It is `url`, else that of the environment, else a new one that serves the `needed` models and ends with this.

    Raises:
        ConfigurationError: set-up has not made what the new one needs.
        UnavailableError: it does not start.
    """
    known = url or os.environ.get(URL_VARIABLE)
    if known:
        yield known, False
        return
    from multimood.local.triton import TritonServer  # noqa: PLC0415 - needs what only Triton's own set-up made

    with tempfile.TemporaryDirectory(prefix="multimood-eval-") as folder:
        log = Path(folder) / "triton.log"
        ours = TritonServer(log=log, ports=assign(TRITON_PORTS), only=frozenset(needed))
        try:
            start_and_wait(ours, log, START_WITHIN_S)
            yield ours.url, True
        finally:
            ours.stop()
