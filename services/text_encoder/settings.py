from pathlib import Path

from pydantic_settings import BaseSettings, SettingsConfigDict


class TextEncoderSettings(BaseSettings):
    """Of the text encoder alone."""

    model_config = SettingsConfigDict(env_prefix="MULTIMOOD_TEXT_ENCODER_", use_attribute_docstrings=True)

    tokenizer: Path = Path(".tools/text_encoder/tokenizer.json")
    """The model's own tokenizer.json."""
    model: str = "text_encoder"
    """Name of the model on the Triton server: input_ids, attention_mask int64 [b,t] -> embedding fp32 [b,d]."""
    concurrency: int = 64
    """Utterances in work at once, each of another conversation."""
    retry_budget_s: float = 6.0
    """How long an utterance waits for a dependency before it goes on as "missing"; less than the joiner's deadline."""
