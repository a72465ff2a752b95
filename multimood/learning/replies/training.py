"""What TRL's trainers are told, whichever learner it is; and how they tell how far they are."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from multimood.learning.replies.recipe import Recipe
from multimood.training.runs import Run

LOGGED_EVERY: Final = 5
TOLD: Final = (
    "loss", "grad_norm", "learning_rate", "mean_token_accuracy", "entropy", "rewards/margins", "rewards/accuracies",
    "reward", "reward_std", "kl", "completions/mean_length", "completions/clipped_ratio",
)  # fmt: skip
"""Of what a trainer logs."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """A model with its adapter, how it is taught, and where that is kept."""

    model: Any
    tokenizer: Any
    recipe: Recipe
    run: Run
    seed: int


def arguments(config: Callable[..., Any], lesson: Lesson, **own: Any) -> Any:
    """A trainer's configuration: seeded, saved every so often into the run's checkpoint, nothing reported elsewhere."""
    import torch  # noqa: PLC0415 - of the training environment

    recipe, on_gpu = lesson.recipe, torch.cuda.is_available()
    options: dict[str, Any] = {
        "output_dir": str(lesson.run.checkpoint),
        "max_steps": recipe.steps,
        "per_device_train_batch_size": recipe.batch,
        "gradient_accumulation_steps": recipe.gather,
        "learning_rate": recipe.rate,
        "lr_scheduler_type": "linear",
        "warmup_steps": max(1, recipe.steps // 20),
        "max_grad_norm": 1.0,
        "logging_steps": LOGGED_EVERY,
        "save_strategy": "steps",
        "save_steps": recipe.save_every,
        "save_total_limit": 1,
        "seed": lesson.seed,
        "data_seed": lesson.seed,
        "report_to": [],
        "use_cpu": not on_gpu,
        "bf16": on_gpu and recipe.dtype == "bfloat16",
        "fp16": False,
        # Recomputing saves memory that a small model does not need; a large one on a GPU does.
        "gradient_checkpointing": on_gpu,
        "dataloader_pin_memory": on_gpu,
    }
    return config(**(options | own))


def run_trainer(trainer: Any, run: Run) -> dict[str, Any]:
    """Train from the run's last checkpoint, or from the beginning; gives the trainer's figures of the whole run."""
    from transformers.trainer_utils import get_last_checkpoint  # noqa: PLC0415

    run.checkpoint.mkdir(parents=True, exist_ok=True)
    _quieten(trainer)
    trainer.add_callback(_noting(run))
    last = get_last_checkpoint(str(run.checkpoint))
    if last is not None:
        _load_adapter(trainer.model, last)
    trainer.train(resume_from_checkpoint=last)
    return figures_of(trainer.state.log_history, trainer.state.global_step)


def _load_adapter(model: Any, checkpoint: str) -> None:
    """Load the adapter that is taught. Beside one of reference transformers loads that one alone (5.17)."""
    from peft import load_peft_weights, set_peft_model_state_dict  # noqa: PLC0415

    set_peft_model_state_dict(model, load_peft_weights(checkpoint, device=str(model.device)), adapter_name="default")


def figures_of(history: list[Mapping[str, Any]], steps: int) -> dict[str, Any]:
    """First, last and mean of what was logged, by its name."""
    found: dict[str, Any] = {"steps": steps}
    for name in TOLD:
        values = [float(entry[name]) for entry in history if name in entry]
        if values:
            found[name] = {"first": values[0], "last": values[-1], "mean": sum(values) / len(values)}
    return found


def _quieten(trainer: Any) -> None:
    """Keep the bar on the error stream, and off the output what it would write there: that is for programs."""
    from transformers.trainer_callback import PrinterCallback, ProgressCallback  # noqa: PLC0415

    class Bar(ProgressCallback):  # type: ignore[misc]
        """A bar, no words."""

        def on_log(self, *_args: Any, **_: Any) -> None:
            pass

    trainer.remove_callback(PrinterCallback)
    if trainer.pop_callback(ProgressCallback) is not None:
        trainer.add_callback(Bar())


def _noting(run: Run) -> Any:
    from transformers import TrainerCallback  # noqa: PLC0415

    class Noting(TrainerCallback):  # type: ignore[misc]
        """Writes what is logged into the run's progress; one process does."""

        def on_log(self, _args: Any, state: Any, _control: Any, logs: Any = None, **_: Any) -> None:
            told = {name: logs[name] for name in TOLD if logs and name in logs}
            if told and state.is_world_process_zero:
                run.note(step=state.global_step, **told)

    return Noting()
