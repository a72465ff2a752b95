"""Group relative policy optimisation (Shao et al. 2024): several replies to one chat, each beside the group's mean."""

from collections.abc import Sequence
from typing import Any

from multimood.learning.replies.contexts import Asking, Context
from multimood.learning.replies.judging import Reward
from multimood.learning.replies.recipe import Recipe
from multimood.learning.replies.sampling import REPEAT_PENALTY, Sampler
from multimood.learning.replies.training import arguments, run_trainer
from multimood.training.runs import Run


def fit(
    model: Any, tokenizer: Any, contexts: Sequence[Context], asking: Asking, reward: Reward, recipe: Recipe, run: Run, seed: int
) -> dict[str, Any]:
    """Teach the model by the reward of what it writes itself, to contexts with or without a reference."""
    from datasets import Dataset  # noqa: PLC0415 - of the training environment
    from trl import GRPOConfig, GRPOTrainer  # noqa: PLC0415

    sampler = Sampler(model, tokenizer, asking)

    def rewards(completion_ids: list[list[int]], place: list[int], **_: Any) -> list[float]:
        return [
            reward.of(contexts[at], [sampler.sent(ids)])[0].reward for ids, at in zip(completion_ids, place, strict=True)
        ]

    trainer = GRPOTrainer(
        model=model,
        args=arguments(
            GRPOConfig, recipe, run, seed, beta=recipe.beta, num_generations=recipe.candidates,
            max_completion_length=recipe.reply_tokens, temperature=recipe.temperature, repetition_penalty=REPEAT_PENALTY,
        ),
        reward_funcs=rewards,
        train_dataset=Dataset.from_list(
            [{"prompt": asking.chat(context), "place": place} for place, context in enumerate(contexts)]
        ),
        processing_class=tokenizer,
    )  # fmt: skip
    return run_trainer(trainer, run)
