from multimood.perception.picture import VideoModelSettings


class VideoEncoderSettings(VideoModelSettings):
    """Of the video encoder alone."""

    concurrency: int = 4
    decoders: int = 2
    """Files decoded at once, each in a process of its own."""
    retry_budget_s: float = 6.0
    """How long an utterance waits for a dependency before it goes on as "missing"; less than the joiner's deadline."""
