from multimood.errors import MultimoodError


class PromotionRefusedError(MultimoodError):
    """A policy or a reply model that must not be served, or not now; the message says why and what to do."""

    code = "promotion_refused"
