"""Triton's liveness, asked in its own container: every loaded model answers one small inference.

`python3 -m multimood.local.canary [URL]`, with this module, `triton_http.py` and `errors.py`, and no package besides
(k8s/components/triton). Exit code 0, or 1 with a line that names what does not answer.
"""

import sys
from typing import Final

from multimood.errors import DeadlineExceededError, MultimoodError
from multimood.local.triton_http import READY, AnswerError, TritonHttp

URL: Final = "http://127.0.0.1:8000"


def silent(server: TritonHttp) -> list[str]:
    """Name the loaded models that do not answer.

    Raises:
        MultimoodError: the server itself does not.
    """
    loaded = [one for one in server.versions() if one.state == READY]
    return [one.model for one in loaded if not _answers(server, one.model, one.version)]


def _answers(server: TritonHttp, model: str, version: str) -> bool:
    before = server.successes(model, version)
    try:
        server.canary(model, version)
    except AnswerError:
        return False
    except DeadlineExceededError:  # a saturated model lets the canary wait, and answers others meanwhile
        return server.successes(model, version) > before
    return True


def main(url: str = URL) -> int:
    """Ask the server; gives the exit code."""
    try:
        names = silent(TritonHttp(url))
    except MultimoodError as error:
        sys.stdout.write(f"the server at {url} does not answer: {error}\n")
        return 1
    if names:
        sys.stdout.write(f"no answer from {', '.join(names)}\n")
    return int(bool(names))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
