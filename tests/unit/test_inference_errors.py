"""What a failed call is taken for, and that nobody's words get into an exception."""

import numpy as np
import pytest

from multimood.errors import DeadlineExceededError, UnavailableError
from multimood.inference.errors import DeadModelError, InferenceError, failure, stream_failure
from multimood.inference.tensors import request_tensors

pytestmark = pytest.mark.unit

SECRET = "my grandmother died"
SHAPES = "[request id: <id_unknown>] unexpected shape for input 'mel' for model 'm'. Expected [-1,80,-1], got [3]. "


@pytest.mark.parametrize(
    ("status", "text", "kind"),
    [
        ("UNAVAILABLE", "failed to connect to all addresses", UnavailableError),
        ("NOT_FOUND", "Request for unknown model: 'm' is not found", UnavailableError),
        ("CANCELLED", "", UnavailableError),
        ("DEADLINE_EXCEEDED", "Deadline Exceeded", DeadlineExceededError),
        ("INTERNAL", "Failed to process the request(s), message: Stub process 'm_0_0' is not healthy.", DeadModelError),
        ("INVALID_ARGUMENT", SHAPES, InferenceError),
        ("INTERNAL", "ValueError: no", InferenceError),
        ("UNIMPLEMENTED", "doesn't support models with decoupled transaction policy", InferenceError),
        ("RESOURCE_EXHAUSTED", "message larger than max", InferenceError),
    ],
)
def test_each_status_is_retryable_or_not(status: str, text: str, kind: type[Exception]) -> None:
    error = failure(status, text, "m on host:1")
    assert type(error) is kind
    assert error.retryable == issubclass(kind, UnavailableError)
    assert "m on host:1" in str(error)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("refused: the chat takes 5000 tokens, at most 2048 fit", InferenceError),
        (SHAPES, InferenceError),
        ("[request id: 7] expected 4 inputs but got 3 inputs for model 'm'.", InferenceError),
        ("busy: 66 chats are at work or waiting", UnavailableError),
        ("Request for unknown model: 'm' is not found", UnavailableError),
        ("Request for unknown model: 'm' version 1 is not at ready state", UnavailableError),
        ("Failed to process the request(s), message: Stub process 'm_0_0' is not healthy.", DeadModelError),
        ("RuntimeError", InferenceError),
    ],
)
def test_a_failed_stream_tells_by_its_text_alone(text: str, kind: type[Exception]) -> None:
    assert type(stream_failure(text, "m")) is kind


def test_the_servers_words_are_passed_on_only_when_they_are_about_shapes() -> None:
    assert "Expected [-1,80,-1], got [3]" in str(failure("INVALID_ARGUMENT", SHAPES, "m"))
    assert "at most 2048 fit" in str(stream_failure("refused: 5000 tokens, at most 2048 fit", "m"))
    traceback = f"Failed to process: KeyError: '{SECRET}'\n\nAt: model.py(3): execute"
    for error in (failure("INTERNAL", traceback, "m"), failure("UNKNOWN", SECRET, "m"), stream_failure(SECRET, "m")):
        assert SECRET not in str(error)
        assert error.__cause__ is None


@pytest.mark.parametrize("array", [np.array([SECRET]), np.array(["2024-01-01"], dtype="datetime64[D]")])
def test_a_dtype_that_triton_does_not_know_is_refused_without_its_values(array: np.ndarray) -> None:
    with pytest.raises(InferenceError, match="input x has dtype") as refused:
        request_tensors("m", {"x": array})
    assert SECRET not in str(refused.value)
