"""The family of exceptions. Each says whether trying again can help; none ever carries what a person said."""

from typing import ClassVar


class MultimoodError(Exception):
    """Base of everything raised on purpose. `code` is a stable, content-free label for metrics and dead letters."""

    retryable: ClassVar[bool] = False
    code: ClassVar[str] = "error"


class InvalidEventError(MultimoodError):
    """A record that cannot be what its topic promises: undecodable, unknown schema, no tenant."""

    code = "invalid_event"


class InvalidMediaError(MultimoodError):
    """Media that is corrupt, of an unaccepted type, or over a limit."""

    code = "invalid_media"


class ConfigurationError(MultimoodError):
    """A setting that cannot work; the message names the setting, its value and what would be right."""

    code = "configuration"


class NotFoundError(MultimoodError):
    """Something named does not exist (a media object, a model, a conversation)."""

    code = "not_found"


class UnavailableError(MultimoodError):
    """A dependency (broker, store, Triton, LLM) did not answer; the same call may succeed later."""

    retryable = True
    code = "unavailable"


class RefusedError(UnavailableError):
    """A dependency answered, and does not let us in: an operator has to do something, and then it succeeds."""

    code = "refused"


class AuthenticationError(RefusedError):
    """It does not know us by the credentials that we gave."""

    code = "authentication"


class AuthorizationError(RefusedError):
    """It knows us, and we may not do that."""

    code = "authorization"


class HandshakeError(RefusedError):
    """No encrypted connection came about, or the two ends do not speak the same protocol."""

    code = "handshake"


class DeadlineExceededError(UnavailableError):
    """A dependency took longer than the call was allowed."""

    code = "deadline_exceeded"


class UnsendableError(MultimoodError):
    """A record that the broker refuses for good, such as one over the topic's size limit."""

    code = "unsendable"
