"""A reply model on its way to the servers: the responder's program with other weights, tried as a model of its own.

Weights are too large for a request, so the trial is a folder in the repository, and is gone again whatever becomes of
it. What a version writes is not looked at here beyond that it writes: what it is worth the gate has said.
"""

import asyncio
import json
import math
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from multimood.errors import MultimoodError, UnavailableError
from multimood.local.triton_http import AnswerError, TritonHttp
from multimood.perception.strategy import SHIPPED
from multimood.rollout.candidate import ReplyCandidate
from multimood.rollout.errors import PromotionRefusedError
from multimood.rollout.repository import PROGRAM, WEIGHTS, Content, Repository
from multimood.rollout.serving import LOAD_S, TRIAL, Servers

NO_CACHE: Final = "__pycache__"
"""A file of this name keeps Python from making such a folder, which to Triton is a change of the version: it would load
a version anew that serves, with the next one that is added."""
CHAT: Final = [{"role": "user", "content": "Hello! How are you today?"}]
TOKENS: Final = 16
ASKED: Final = {
    "messages": json.dumps(CHAT), "max_tokens": TOKENS, "temperature": 0.0, "seed": 0, "log_probs": True,
}  # fmt: skip
ANSWERED_S: Final = 60.0
_ALL: Final = re.compile(r"^\s*version_policy\s*:?\s*\{\s*all\b", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class ReplyGoods:
    """See `multimood.rollout.bring.Goods`."""

    candidate: ReplyCandidate

    @property
    def sha256(self) -> bytes:
        """Of the weights."""
        return self.candidate.sha256

    async def try_out(self, model: str, repository: Repository, servers: Servers) -> None:
        """Serve the weights under another name, let them write on every server, and take them away again."""
        trial = f"{model}{TRIAL}"
        files, config = await self.parts(model, repository)
        await _gone(trial, repository, servers)  # of one that was killed
        try:
            await repository.write(trial, 1, files, renamed(config, model, trial))
            await asyncio.to_thread(self._ask_all, trial, servers)
        finally:
            await _gone(trial, repository, servers)

    async def parts(self, model: str, repository: Repository) -> tuple[Mapping[str, Content], str]:
        """The weights, and the program and configuration that the model has there.

        Raises:
            PromotionRefusedError: there is no responder, or a further version would take the place of the others.
        """
        config = await repository.config(model)
        if not _ALL.search(config):
            raise PromotionRefusedError(
                f"{model}/config.pbtxt in the repository serves the highest version alone: add the line "
                "`version_policy: { all { } }` to it, and load the model anew"
            )
        return await files_of(self.candidate, model, int(SHIPPED), repository), config

    def check(self, server: TritonHttp, model: str, version: str) -> None:
        """Let it write a few tokens, and see that it is these weights that write."""
        try:
            pieces = server.generate(model, ASKED, version, ANSWERED_S)
        except UnavailableError:
            raise
        except MultimoodError as error:
            raise PromotionRefusedError(f"{model} version {version} on {server.url} does not write: {error}") from None
        fault = fault_of(pieces, self.sha256.hex())
        if fault:
            raise PromotionRefusedError(f"{model} version {version} on {server.url} {fault}")

    def _ask_all(self, trial: str, servers: Servers) -> None:
        for server in servers.each:
            try:
                server.load(trial, LOAD_S)
            except AnswerError as error:
                raise PromotionRefusedError(f"Triton at {server.url} cannot load these weights: {error}") from None
            self.check(server, trial, "1")
            server.unload(trial)


async def files_of(candidate: ReplyCandidate, model: str, of: int, repository: Repository) -> Mapping[str, Content]:
    """The files of a version with these weights, the program being that of the version `of`."""
    program = {name: await repository.read(model, of, name) for name in PROGRAM}
    last = program.pop("model.py")  # without it there is no version yet
    return {WEIGHTS: candidate.weights, NO_CACHE: b"", **program, "model.py": last}


def fault_of(pieces: Sequence[Mapping[str, Any]], weights: str) -> str:
    """What is wrong with an answer in pieces, in words; empty: nothing. `weights`: their SHA-256 in hexadecimal."""
    if not pieces or any("error" in piece for piece in pieces):
        return "answers with an error"
    if (told := {str(piece.get("weights")) for piece in pieces}) != {weights}:
        return f"has other weights ({', '.join(sorted(one[:12] for one in told))}) than {weights[:12]}"
    if not "".join(str(piece.get("text", "")) for piece in pieces).strip():
        return "writes nothing"
    if (finish := pieces[-1].get("finish")) not in {"stop", "length"}:
        return f"comes to no end ({finish!r})"
    found = [number for piece in pieces for number in _numbers(piece.get("token_log_probs"))]
    return "" if found and all(map(math.isfinite, found)) else "gives tokens without finite probabilities"


def renamed(config: str, model: str, name: str) -> str:
    """A model's configuration for the same model under another name."""
    return re.sub(rf'^(\s*name\s*:\s*)"{re.escape(model)}"', rf'\g<1>"{name}"', config, count=1, flags=re.MULTILINE)


def _numbers(value: Any) -> list[float]:
    """Triton writes a list of one as the one."""
    several = value if isinstance(value, list) else [] if value is None else [value]
    return [float(one) for one in several]


async def _gone(trial: str, repository: Repository, servers: Servers) -> None:
    for server in servers.each:
        with suppress(MultimoodError):
            await asyncio.to_thread(server.unload, trial)
    await repository.remove(trial, 1)
