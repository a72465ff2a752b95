"""A real language model behind a real OpenAI-compatible server: llama.cpp's, with the weights that set-up fetched.

For the interpreter that has `xllamacpp`, Triton's: `.venv-triton/bin/python tests/llamacpp_process.py KEY`. Prints its
address on one line when it answers, and goes on until its input ends: so it does not outlive who started it.
"""

import sys
from pathlib import Path

import xllamacpp

sys.path.insert(0, str(Path(__file__).parents[1] / "triton_models/responder/1"))

from engine import weights

CONTEXT = 8_192
SLOTS = 2


def serve(key: str) -> None:
    """Load the model, listen on a free loopback port, wait for the end of the input."""
    settings = xllamacpp.CommonParams()
    settings.model.path = str(weights())
    settings.n_parallel = SLOTS
    settings.n_ctx = CONTEXT * SLOTS
    settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = 1
    settings.cache_ram_mib = 0
    settings.api_keys = [key]
    settings.ui = False
    settings.n_threads_http = 4
    settings.verbosity = 0
    server = xllamacpp.Server(settings)
    print(server.listening_address, flush=True)  # noqa: T201
    sys.stdin.read()


if __name__ == "__main__":
    serve(sys.argv[1])
