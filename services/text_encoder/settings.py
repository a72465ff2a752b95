from multimood.perception.text import TextModelSettings


class TextEncoderSettings(TextModelSettings):
    """Of the text encoder alone."""

    concurrency: int = 64
    """Utterances in work at once, each of another conversation."""
    retry_budget_s: float = 6.0
    """How long an utterance waits for a dependency before it goes on as "missing"; less than the joiner's deadline."""
