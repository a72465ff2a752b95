"""The Triton servers on the way of a version: each has to load it, and each is asked.

What is to be served is tried as another model first: a version that cannot be loaded would keep a server that starts
later from serving any version of the model, so it must not get into the model's folder at all.
"""

import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from multimood.errors import MultimoodError, UnavailableError
from multimood.local.triton_http import READY, AnswerError, TritonHttp
from multimood.rollout.errors import PromotionRefusedError

TRIAL: Final = "_trial"
"""With it the name ends under which a model is tried."""
LOAD_S: Final = 300.0
"""Longest that a server may take: a reply model has gigabytes."""
READY_S: Final = 30.0
PAUSE_S: Final = 0.1


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

    def load(self, model: str, version: str) -> None:
        """Load the versions that were added to a model, and wait until this one is ready everywhere.

        Raises:
            PromotionRefusedError: a server cannot load it. UnavailableError: it does not become ready.
        """
        for server in self.each:
            try:
                server.load(model, LOAD_S)
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

    def forget_removed(self, model: str) -> None:
        """Load anew after a version was taken away: the servers unload it. What fails is left for the next time."""
        for server in self.each:
            try:
                server.load(model, LOAD_S)
            except MultimoodError:
                continue


def _versions(server: TritonHttp, model: str) -> Sequence[Any]:
    try:
        return server.versions(model)
    except UnavailableError:
        return ()
