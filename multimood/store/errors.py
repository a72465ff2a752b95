"""What can go wrong with the store. `reason` is a stable label; neither keys nor content are in a message."""

from multimood.errors import InvalidMediaError, NotFoundError, UnavailableError


class RefusedReferenceError(InvalidMediaError):
    """A reference that may never be followed: another tenant's, another bucket's, or malformed."""

    code = "media_refused"

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason


class MissingObjectError(NotFoundError):
    """There is no such object, or what is there is not what the reference describes."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason


class StoreUnavailableError(UnavailableError):
    """The store did not answer, or not as it should; the same call may succeed later."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason


class ChangedObjectError(UnavailableError):
    """Somebody else wrote the object since it was read: read it again, and decide again."""

    code = "object_changed"

    def __init__(self) -> None:
        super().__init__("the object is no longer the one that was read")
