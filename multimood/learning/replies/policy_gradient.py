"""Group relative policy optimisation (Shao et al. 2024): several replies to one chat, each beside the group's mean."""

from collections.abc import Sequence
from typing import Any

from multimood.learning.replies.contexts import Asking, Context
from multimood.learning.replies.judging import Reward
from multimood.learning.replies.sampling import REPEAT_PENALTY, Sampler
from multimood.learning.replies.training import Lesson, arguments, run_trainer


def fit(lesson: Lesson, contexts: Sequence[Context], asking: Asking, reward: Reward) -> dict[str, Any]:
    """Teach the model by the reward of what it writes itself, to contexts with or without a reference."""
    from datasets import Dataset  # noqa: PLC0415 - of the training environment
    from trl import GRPOConfig, GRPOTrainer  # noqa: PLC0415

    recipe, sampler = lesson.recipe, Sampler(lesson.model, lesson.tokenizer, asking)

    def rewards(completion_ids: list[list[int]], place: list[int], **_: Any) -> list[float]:
        return [
            reward.of(contexts[at], [sampler.sent(ids)])[0].reward
            for ids, at in zip(completion_ids, place, strict=True)
        ]

    own = {
        "beta": recipe.beta, "num_generations": recipe.candidates, "max_completion_length": recipe.reply_tokens,
        "temperature": recipe.temperature, "repetition_penalty": REPEAT_PENALTY,
    }  # fmt: skip
    trainer = GRPOTrainer(
        model=lesson.model,
        args=arguments(GRPOConfig, lesson, **own),
        reward_funcs=rewards,
        train_dataset=Dataset.from_list(
            [{"prompt": asking.chat(context), "place": place} for place, context in enumerate(contexts)]
        ),
        processing_class=lesson.tokenizer,
    )
    return run_trainer(trainer, lesson.run)
