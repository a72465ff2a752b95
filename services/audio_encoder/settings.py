from pydantic_settings import BaseSettings, SettingsConfigDict


class AudioEncoderSettings(BaseSettings):
    """Of the audio encoder alone."""

    model_config = SettingsConfigDict(env_prefix="MULTIMOOD_AUDIO_ENCODER_", use_attribute_docstrings=True)

    model: str = "audio_encoder"
    """On the Triton server: mel fp32 [b,80,t] -> pooled fp32 [b,layers,768]."""
    layer: int = 1
    """Which of the pooled layers is the embedding; the fusion model was trained on this one (see its card)."""
    transcriber: str = "transcriber"
    """On the Triton server: mel fp32 [80,t] -> text, no_speech."""
    no_speech_threshold: float = 0.6
    """Above this probability a transcript counts as silence: the model invents words for noise."""
    concurrency: int = 6
    decoders: int = 2
    """Files decoded at once, each in a process of its own."""
    retry_budget_s: float = 6.0
    """How long an utterance waits for a dependency before it goes on as "missing"; less than the joiner's deadline."""
