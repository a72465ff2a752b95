from pathlib import Path
from typing import Literal

from pydantic import Field

from multimood.perception.settings import PerceptionSettings


class StrategistSettings(PerceptionSettings):
    """Of the strategist alone."""

    exploration: Literal["epsilon", "temperature", "none"] = "epsilon"
    """What is added to the model's own distribution, so that what was logged can teach. None of it at any risk, however
    low. With `none` the strategy is drawn from the model's own distribution."""
    epsilon: float = Field(default=0.1, gt=0, le=1)
    """Of EXPLORATION=epsilon: share of the choices that is spread evenly over all eligible strategies."""
    temperature: float = Field(default=1.5, ge=1, le=10)
    """Of EXPLORATION=temperature: the model's probabilities are raised to 1/TEMPERATURE, which levels them."""

    model_sha256: str = Field(default="", pattern="^([0-9a-f]{64})?$")
    """SHA-256 of that model's graph: part of the policy's version. Empty: that of the graph found at MODEL_FILE, else
    of the one this version ships. Restart the service when another model is served."""
    model_file: Path = Path("triton_models/fusion/1/model.onnx")
    """Where that graph lies, if it does here."""

    policy_model: str | None = None
    """The policy model on the Triton server: state, eligible -> strategy; which of its versions is asked is a matter of
    `multimood rl promote`. Unset: `policy` for the taxonomy mesc, none for esconv. Empty: none, the fusion model's own
    distribution is drawn from. One that is named must be served and fit the taxonomy, else the service is not ready."""
    policy_s: float = Field(default=0.25, gt=0)
    """Longest that model may take. Then a challenger's champion is asked, and then fusion's own distribution taken."""

    crisis_policy: Path | None = None
    """The operator's own crisis policy (TOML) in place of the shipped one; give the sentinel the same."""

    inference_s: float = Field(default=2.0, gt=0)
    """Longest a single attempt at the model may take."""
    retry_budget_s: float = Field(default=4.0, ge=0)
    """How long an utterance waits for the model; then the decision is a vetted reply."""
    vetted_inference_s: float = Field(default=0.15, gt=0)
    """The same where the reply is a vetted one anyway (a crisis, no verdict): the model gets one attempt, no more."""

    recall_s: float = Field(default=0.5, gt=0)
    """Longest the words of a reply may take to be embedded, for the turns after it; then they go without."""

    memory_mib: int = Field(default=128, ge=1)
    """Conversations held in memory; beyond it those longest silent are forgotten, and begin anew when they go on."""
    concurrency: int = Field(default=256, ge=1)
    """Utterances in work at once, each of another conversation; high, for when the model hangs, crises must pass."""
