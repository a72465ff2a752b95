"""What set-up made for Triton: its environment, its binaries, its model repository."""

import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from multimood.errors import ConfigurationError
from multimood.local.places import checkout, installed

STAND_INS: Final = Path(__file__).with_name("backends")
_PROBE: Final = """\
import ctypes, importlib.metadata, json, os, sys, sysconfig
name = "libpython%d.%d.so.1.0" % sys.version_info[:2]
folders = [sysconfig.get_config_var("LIBDIR") or "", os.path.join(sys.base_prefix, "lib")]
found = next((folder for folder in folders if os.path.exists(os.path.join(folder, name))), "")
if not found:
    try:
        ctypes.CDLL(name)
    except OSError:
        found = None
try:
    ctypes.CDLL("libgomp.so.1")
    openmp = "there"
except OSError:
    openmp = None
print(json.dumps({
    "python": "%d.%d" % sys.version_info[:2],
    "packages": sysconfig.get_paths()["purelib"],
    "numpy": importlib.metadata.version("numpy"),
    "libpython": found,
    "openmp": openmp,
}))
"""


@dataclass(frozen=True, slots=True)
class TritonInstall:
    """The server's own Python environment and what is in it."""

    environment: Path
    python: str
    """Its version, such as "3.11": the server has one program per version that runs the Python models."""
    packages: Path
    libpython: str
    """Folder of the interpreter's shared library; empty when the system's loader finds it."""

    @classmethod
    def find(cls) -> "TritonInstall":
        """Look it over.

        Raises:
            ConfigurationError: something is missing, or would not work.
        """
        environment = installed(checkout() / ".venv-triton")
        argv = [str(installed(environment / "bin" / "python")), "-I", "-c", _PROBE]
        try:
            done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True)  # noqa: S603
        except (OSError, subprocess.SubprocessError) as error:
            raise ConfigurationError(
                f"{environment} does not work ({type(error).__name__}): run `make setup`"
            ) from None
        return cls.of(environment, json.loads(done.stdout))

    @classmethod
    def of(cls, environment: Path, facts: dict[str, str | None]) -> "TritonInstall":
        """Judge what the environment says of itself. Raises ConfigurationError like `find`."""
        python, numpy, libpython = str(facts["python"]), str(facts["numpy"]), facts["libpython"]
        if int(numpy.partition(".")[0]) > 1:
            raise ConfigurationError(
                f"{environment} has numpy {numpy}: Triton 24.10 would read zeros from its tensors; "
                "it needs 1.26 (requirements/triton.txt)"
            )
        if libpython is None:
            raise ConfigurationError(
                f"libpython{python}.so.1.0 is missing: apt-get install libpython{python}, or run `make setup`"
            )
        if facts["openmp"] is None:
            raise ConfigurationError(
                "libgomp.so.1, which the responder needs, is missing: apt-get install libgomp1, or run `make setup`"
            )
        return cls(environment, python, Path(str(facts["packages"])), libpython)

    @property
    def binary(self) -> Path:
        """The server."""
        return installed(self._server / "bin" / "tritonserver")

    @property
    def caches(self) -> Path:
        """Folder of its response caches."""
        return self._server / "caches"

    @property
    def library_path(self) -> str:
        """What LD_LIBRARY_PATH must hold. Without it the Python models' processes end at once, and the server hangs."""
        folders = (self.libpython, str(installed(self.packages / "nvidia_pytriton.libs")))
        return ":".join(folder for folder in folders if folder)

    def lay_out_backends(self, folder: Path) -> None:
        """Copy the backends into a folder as Triton wants it, one sub-folder each; it refuses links out of there."""
        shutil.rmtree(folder, ignore_errors=True)
        python = folder / "python"
        python.mkdir(parents=True)
        for source in (
            self._server / "backends" / "python" / "libtriton_python.so",
            self._server / "backends" / "python" / "triton_python_backend_utils.py",
            self._server / "python_backend_stubs" / self.python / "triton_python_backend_stub",
        ):
            shutil.copy2(installed(source), python / source.name)
        for stand_in in STAND_INS.glob("*/model.py"):
            target = folder / stand_in.parent.name
            target.mkdir()
            shutil.copy2(stand_in, target / stand_in.name)

    @property
    def _server(self) -> Path:
        return self.packages / "pytriton" / "tritonserver"


def models(repository: Path) -> Sequence[str]:
    """Name the models of a repository: every folder with a config.pbtxt.

    Raises:
        ConfigurationError: there is none, or one has no version yet that could be loaded.
    """
    names = sorted(config.parent.name for config in installed(repository).glob("*/config.pbtxt"))
    if not names:
        raise ConfigurationError(f"{repository} holds no models")
    for name in names:
        if not [*repository.glob(f"{name}/[0-9]*/model.onnx"), *repository.glob(f"{name}/[0-9]*/model.py")]:
            raise ConfigurationError(f"{repository / name} has no model.onnx in its version folder: run `make setup`")
    return names
