"""Supervised fine-tuning: the loss is over the reply alone, given the responder's own chat."""

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from multimood.learning.replies.contexts import Message
from multimood.learning.replies.training import Lesson, arguments, run_trainer

Example: TypeAlias = dict[str, list[Message]]
"""`prompt` and `completion`, in TRL's conversational form."""
Examples: TypeAlias = Callable[[], Iterator[Example]]


def example(chat: list[Message], reply: str) -> Example:
    """One reply to be learned."""
    return {"prompt": chat, "completion": [{"role": "assistant", "content": reply}]}


def fit(lesson: Lesson, examples: Examples) -> dict[str, Any]:
    """Teach the model the examples, read as a stream from the beginning as often as is needed: never all in memory."""
    from datasets import IterableDataset  # noqa: PLC0415 - of the training environment
    from trl import SFTConfig, SFTTrainer  # noqa: PLC0415

    trainer = SFTTrainer(
        model=lesson.model,
        args=arguments(SFTConfig, lesson, max_length=lesson.recipe.tokens),
        train_dataset=IterableDataset.from_generator(examples),
        processing_class=lesson.tokenizer,
    )
    return run_trainer(trainer, lesson.run)
