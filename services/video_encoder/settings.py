from pydantic_settings import BaseSettings, SettingsConfigDict


class VideoEncoderSettings(BaseSettings):
    """Of the video encoder alone."""

    model_config = SettingsConfigDict(env_prefix="MULTIMOOD_VIDEO_ENCODER_", use_attribute_docstrings=True)

    model: str = "video_encoder"
    """On the Triton server: frames uint8 [n,448,448,3] -> face fp32 [n,5], features fp32 [n,256], probs fp32 [n,7]."""
    frames_per_s: float = 4.0
    most_frames: int = 12
    """Frames of a clip that are looked at; Triton takes 16 in a request."""
    concurrency: int = 4
    decoders: int = 2
    """Files decoded at once, each in a process of its own."""
    retry_budget_s: float = 6.0
    """How long an utterance waits for a dependency before it goes on as "missing"; less than the joiner's deadline."""
