"""Direct preference optimisation (Rafailov et al., NeurIPS 2023), against the model as it was when the run began."""

from collections.abc import Sequence
from typing import Any

from multimood.learning.replies.pairs import Pair
from multimood.learning.replies.training import Lesson, arguments, run_trainer


def fit(lesson: Lesson, pairs: Sequence[Pair]) -> dict[str, Any]:
    """Teach the model to prefer the chosen replies. The adapter that it begins with is kept beside it as reference."""
    from datasets import Dataset  # noqa: PLC0415 - of the training environment
    from trl import DPOConfig, DPOTrainer  # noqa: PLC0415

    recipe = lesson.recipe
    trainer = DPOTrainer(
        model=lesson.model,
        args=arguments(DPOConfig, lesson, beta=recipe.beta, max_length=recipe.tokens),
        train_dataset=Dataset.from_list([pair.example() for pair in pairs]),
        processing_class=lesson.tokenizer,
    )
    return run_trainer(trainer, lesson.run)
