"""NVIDIA's Triton server as it comes in a Python package, on the loopback address, without containers or GPUs."""

import hashlib
import os
import secrets
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from multimood.errors import DeadlineExceededError, MultimoodError, UnavailableError
from multimood.local.places import checkout
from multimood.local.ports import HOST
from multimood.local.process import Child
from multimood.local.triton_http import READY, AnswerError, TritonHttp
from multimood.local.triton_install import TritonInstall, models
from multimood.rollout.serving import TRIAL

EXIT_TIMEOUT_S: Final = 5
"""How long the server lets requests finish when it is told to stop."""
MISSES: Final = 2
"""Canaries in a row that a model may leave unanswered; a loaded machine can be slow, a dead process answers at once."""
_SHARED_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - where the server puts its tensors
_REGION_BYTES: Final = 64 << 20
"""Of a model's shared memory, which takes what is written to and no more. Large enough not to have
to grow: with 1 MB the process of a model once wrote beyond its region, and the server died with it."""


@dataclass(slots=True)
class TritonServer:
    """A server of the models in a repository, `triton_models/` by default, or of some of them."""

    log: Path
    ports: Mapping[str, int]
    repository: Path | None = None
    only: Collection[str] | None = None
    grace_s: float = EXIT_TIMEOUT_S + 5.0
    name: str = "triton"
    child: Child | None = field(default=None, init=False)
    _models: Sequence[str] = field(default=(), init=False)
    _misses: dict[str, int] = field(default_factory=dict, init=False)

    @property
    def url(self) -> str:
        """The host:port of its gRPC interface."""
        return f"{HOST}:{self.ports['triton.grpc']}"

    def start(self) -> None:
        """Lay out the backends and start the server; it then loads the models, which takes seconds.

        Raises:
            ConfigurationError: the server's environment or a model is missing or cannot work.
        """
        install = TritonInstall.find()
        repository = self.repository or checkout() / "triton_models"
        self._models = [name for name in models(repository) if self.only is None or name in self.only]
        self._misses = {}
        self._clear()
        install.lay_out_backends(self._backends)
        argv = [str(install.binary), *self._flags(install, repository)]
        env = {
            # The Python models' processes take their packages from the first python3 on the PATH.
            "PATH": f"{install.environment / 'bin'}:{os.environ.get('PATH', os.defpath)}",
            "LD_LIBRARY_PATH": install.library_path,
            "HOME": str(self._backends),
            "OMP_NUM_THREADS": "1",
            "CUDA_VISIBLE_DEVICES": "",
        }
        # It does not give way: its processes watch each other by the clock, and one that is late is taken for dead.
        self.child = Child(argv, log=self.log, env=env, cwd=self._backends)

    def ready(self) -> bool:
        """Ask whether the server takes requests, every model of the repository is loaded, and its metrics are there.

        It opens one interface after another, the metrics last.
        """
        try:
            states = self._http.states() if self._http.is_ready() else None
        except MultimoodError:
            return False
        is_loaded = states is not None and all(states.get(model) == "READY" for model in self._models)
        return is_loaded and self._metrics.serves_metrics()

    def alive(self) -> bool:
        """Ask whether the server answers; `heal` asks the models."""
        return self._http.is_live()

    def heal(self) -> Sequence[str]:
        """Reload every model whose process has died or hangs, which the server itself does not notice.

        Gives their names.

        Raises:
            UnavailableError: a model does not answer even after it was reloaded.
        """
        if not self.alive():
            return []
        try:
            every = [one for one in self._http.versions() if one.state == READY]
        except MultimoodError:  # a matter for whoever asks whether it is alive
            return []
        # What is tried is gone at any moment, and then answers nothing.
        loaded = [one for one in every if not one.model.endswith(TRIAL)]
        silent = [one.model for one in loaded if not self._answers(one.model, one.version)]
        gone = [model for model in self._models if model not in {one.model for one in loaded}]
        dead = list(dict.fromkeys([*silent, *gone]))
        for model in dead:
            try:
                self._http.reload(model)
                self._http.canary(model)
            except MultimoodError as error:
                raise UnavailableError(f"{model} does not come back: {error}") from None
        return dead

    def stop(self) -> None:
        """End it: orderly, but not for longer than the grace; an open stream would keep it for ever."""
        if self.child:
            self.child.stop(self.grace_s)
        self._clear()

    def _answers(self, model: str, version: str) -> bool:
        """Tell whether a version of the model is alive, as far as one can know now."""
        before = self._successes(model, version)
        which = f"{model}:{version}"
        try:
            self._http.canary(model, version)
        except AnswerError:
            return False
        except DeadlineExceededError:
            # A saturated model lets the canary wait, but answers others.
            is_busy = self._successes(model, version) > before
            self._misses[which] = 0 if is_busy else self._misses.get(which, 0) + 1
            return self._misses[which] < MISSES
        except UnavailableError:  # the server went down meanwhile: a matter for whoever watches the process
            return True
        self._misses[which] = 0
        return True

    def _successes(self, model: str, version: str) -> int:
        try:
            return self._http.successes(model, version)
        except MultimoodError:
            return 0

    def _flags(self, install: TritonInstall, repository: Path) -> list[str]:
        grpc, http, metrics = (self.ports[f"triton.{name}"] for name in ("grpc", "http", "metrics"))
        flags = {
            "model-repository": repository,
            "backend-directory": self._backends,
            "cache-directory": install.caches,
            "http-address": HOST,
            "http-port": http,
            "http-thread-count": 2,
            "grpc-address": HOST,
            "grpc-port": grpc,
            "metrics-address": HOST,
            "metrics-port": metrics,
            "allow-gpu-metrics": "false",
            "exit-timeout-secs": EXIT_TIMEOUT_S,
            "model-control-mode": "explicit",
            # Otherwise a single failed reload would make the server "not ready" for the rest of its life.
            "strict-readiness": "false",
        }
        backend = {
            "shm-region-prefix-name": f"{self._regions}{secrets.token_hex(4)}_",
            "shm-default-byte-size": _REGION_BYTES,
            "shm-growth-byte-size": _REGION_BYTES,
        }
        return [
            *(f"--{flag}={value}" for flag, value in flags.items()),
            "--disable-auto-complete-config",  # or every Python model would be started twice
            *(f"--backend-config=python,{key}={value}" for key, value in backend.items()),
            *(f"--load-model={model}" for model in self._models),
        ]

    def _clear(self) -> None:
        """Remove what a server of this log leaves behind when it is killed."""
        for region in _SHARED_MEMORY.glob(f"{self._regions}*"):
            region.unlink(missing_ok=True)
        shutil.rmtree(self._backends, ignore_errors=True)

    @property
    def _backends(self) -> Path:
        return self.log.absolute().with_name(f".{self.log.stem}-backends")

    @property
    def _regions(self) -> str:
        """Begin of the names of its shared memory: other servers on the machine have other logs."""
        return f"multimood_{hashlib.sha256(str(self.log.absolute()).encode()).hexdigest()[:12]}_"

    @property
    def _metrics(self) -> TritonHttp:
        return TritonHttp(f"http://{HOST}:{self.ports['triton.metrics']}")

    @property
    def _http(self) -> TritonHttp:
        return TritonHttp(f"http://{HOST}:{self.ports['triton.http']}")
