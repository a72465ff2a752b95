"""A chat's reply in pieces, as they are made. Nothing of a conversation is logged."""

import json
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
from chat import RefusedError, read_chat
from engine import open_engine, weights_sha256

STALLED_S = 120
"""Chats at work that give nothing for so long: the engine hangs, not the machine."""


class OverloadError(Exception):
    """No chat can be taken on now."""


class EngineError(Exception):
    """The engine reports a failure of its own."""


class TritonPythonModel:
    """messages, max_tokens, temperature, seed -> a stream of text, finish, prompt_tokens, completion_tokens."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Load the weights."""
        config = json.loads(args["model_config"])
        parameters = {name: value["string_value"] for name, value in config["parameters"].items()}
        slots = int(parameters["slots"])
        self.sampling = {"top_p": float(parameters["top_p"]), "repeat_penalty": float(parameters["repeat_penalty"])}
        self.engine = open_engine(
            slots,
            int(parameters["context"]),
            int(parameters["threads"]),
            on_gpu=args["model_instance_kind"] == "GPU",
        )
        self.weights = weights_sha256()
        self.places = slots + int(parameters["waiting"])
        self.taken = 0
        self.lock = threading.Lock()
        self.pool = ThreadPoolExecutor(slots, thread_name_prefix="chat")
        self.heard = time.monotonic()
        self.ending = False

    def execute(self, requests: Sequence[Any]) -> None:
        """Accept the requests; each is answered from a thread of its own."""
        for request in requests:
            sender = request.get_response_sender()
            try:
                chat = read_chat(
                    first(request, "messages"),
                    int(first(request, "max_tokens")),
                    float(first(request, "temperature")),
                    int(first(request, "seed")),
                )
                chat["logprobs"] = wants_tokens(request)
                if chat["max_tokens"]:
                    self.take_place()
                    self.pool.submit(self.answer, request, chat, sender)
                    continue
                self.check()
                last = response("", "length", 0, 0, self.weights)
            except (RefusedError, OverloadError) as error:
                last = explained(error)
            sender.send(last, flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)

    def finalize(self) -> None:
        """End the chats that still run."""
        self.ending = True
        self.pool.shutdown(wait=True)

    def take_place(self) -> None:
        """Count a chat among those at work or waiting. Raises OverloadError."""
        with self.lock:
            if self.taken == self.places:
                raise OverloadError(f"{self.places} chats are at work or waiting")
            if not self.taken:
                self.heard = time.monotonic()
            self.taken += 1

    def check(self) -> None:
        """Raise OverloadError when the engine hangs. A request of no tokens asks this, without taking a place."""
        silent_s = time.monotonic() - self.heard
        if self.taken and silent_s > STALLED_S:
            raise OverloadError(f"no token for {silent_s:.0f} s")

    def answer(self, request: Any, chat: Mapping[str, Any], sender: Any) -> None:
        """Answer one request, whatever becomes of it."""
        try:
            last = Reply(self, request, sender).write(chat)
        except Exception as error:  # noqa: BLE001 - of any kind
            last = explained(error)
        with self.lock:
            self.taken -= 1
            self.heard = time.monotonic()
        sender.send(last, flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)


class Reply:
    """One reply on its way."""

    def __init__(self, model: TritonPythonModel, request: Any, sender: Any) -> None:
        self.model, self.request, self.sender = model, request, sender
        self.prompt_tokens = self.completion_tokens = 0
        self.finish = ""
        self.tokens: list[tuple[int, float]] = []
        self.tells = False
        # Not an exception: its traceback would keep the request alive, and with it the model when it is unloaded.
        self.failure: Any = None

    def write(self, chat: Mapping[str, Any]) -> Any:
        """Let the engine write, and send each piece; gives the last response."""
        self.tells = bool(chat["logprobs"])
        if not self.is_over():
            body = {**chat, **self.model.sampling, "stream": True, "timings_per_token": True}
            try:
                self.model.engine.handle_chat_completions(body, self.on_chunk)
            except ValueError:  # its text may quote the chat
                raise RefusedError("the engine does not accept these messages") from None
        return self.failure or self.response("", self.finish or "cancelled")

    def response(self, text: str, finish: str) -> Any:
        """Make a response with the tokens since the last one."""
        tokens, self.tokens = self.tokens, []
        told = tokens if self.tells else None
        return response(text, finish, self.prompt_tokens, self.completion_tokens, self.model.weights, told)

    def is_over(self) -> bool:
        """Tell whether nobody waits for the rest."""
        return bool(self.model.ending or self.request.is_cancelled())

    def on_chunk(self, chunk: Mapping[str, Any]) -> bool:
        """Take a piece from the engine; True ends the generation. An exception would get lost in the engine."""
        self.model.heard = time.monotonic()
        try:
            self.pass_on(chunk)
        except Exception as error:  # noqa: BLE001 - of any kind
            self.failure = explained(error)
        return self.failure is not None or self.is_over()

    def pass_on(self, chunk: Mapping[str, Any]) -> None:
        """Send a piece's text, and note what it says of the whole."""
        if "error" in chunk:  # not raised by the engine
            error = chunk["error"]
            if "n_ctx" in error:
                raise RefusedError(f"the chat takes {error['n_prompt_tokens']} tokens, at most {error['n_ctx']} fit")
            raise EngineError
        timings = chunk.get("timings")
        if timings:
            self.prompt_tokens = int(timings["cache_n"] + timings["prompt_n"])
            self.completion_tokens = int(timings["predicted_n"])
        for choice in chunk.get("choices", ()):
            for token in (choice.get("logprobs") or {}).get("content") or ():
                self.tokens.append((int(token["id"]), float(token["logprob"])))
            text = choice["delta"].get("content")
            if text:
                self.sender.send(self.response(text, ""))
            self.finish = choice["finish_reason"] or self.finish


def first(request: Any, name: str) -> Any:
    """Read the only element of an input. Raises RefusedError."""
    values = pb_utils.get_input_tensor_by_name(request, name).as_numpy().reshape(-1)
    if len(values) != 1:
        raise RefusedError(f"{name} has {len(values)} elements, expected 1")
    return values[0]


def wants_tokens(request: Any) -> bool:
    """Read the optional input."""
    given = pb_utils.get_input_tensor_by_name(request, "log_probs")
    return given is not None and bool(given.as_numpy().any())


def response(  # noqa: PLR0917 - one a tensor
    text: str,
    finish: str,
    prompt_tokens: int,
    completion_tokens: int,
    weights: str,
    tokens: Sequence[tuple[int, float]] | None = None,
) -> Any:
    """Make one response of the stream."""
    outputs = [
        pb_utils.Tensor("text", np.array([text.encode()], dtype=np.object_)),
        pb_utils.Tensor("finish", np.array([finish.encode()], dtype=np.object_)),
        pb_utils.Tensor("prompt_tokens", np.array([prompt_tokens], dtype=np.int32)),
        pb_utils.Tensor("completion_tokens", np.array([completion_tokens], dtype=np.int32)),
        # With every piece: whoever has enough of a reply does not wait for its end.
        pb_utils.Tensor("weights", np.array([weights.encode()], dtype=np.object_)),
    ]
    if tokens is not None:
        # Only where they were asked for: nobody else pays for them.
        outputs += [
            pb_utils.Tensor("token_ids", np.array([identity for identity, _ in tokens], dtype=np.int32)),
            pb_utils.Tensor("token_log_probs", np.array([log_prob for _, log_prob in tokens], dtype=np.float32)),
        ]
    return pb_utils.InferenceResponse(outputs)


def explained(error: Exception) -> Any:
    """Make the response that says why there is no other.

    The client of a stream gets the text alone, so it begins with the kind. Of a foreign exception it tells no more than
    the type: its text may quote the chat.
    """
    if isinstance(error, RefusedError):
        text, code = f"refused: {error}", pb_utils.TritonError.INVALID_ARG
    elif isinstance(error, OverloadError):
        text, code = f"busy: {error}", pb_utils.TritonError.UNAVAILABLE
    else:
        text, code = type(error).__name__, pb_utils.TritonError.INTERNAL
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(text, code))
