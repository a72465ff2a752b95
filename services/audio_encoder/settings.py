from multimood.perception.sound import AudioModelSettings


class AudioEncoderSettings(AudioModelSettings):
    """Of the audio encoder alone."""

    transcriber: str = "transcriber"
    """On the Triton server: mel fp32 [80,t] -> text, no_speech."""
    no_speech_threshold: float = 0.6
    """Above this probability a transcript counts as silence: the model invents words for noise."""
    concurrency: int = 6
    decoders: int = 2
    """Files decoded at once, each in a process of its own."""
    retry_budget_s: float = 6.0
    """How long an utterance waits for a dependency before it goes on as "missing"; less than the joiner's deadline."""
