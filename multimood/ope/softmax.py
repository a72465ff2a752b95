"""A policy in a file: a linear softmax over named features, which any learner can write.

```json
{"format": "multimood-policy/1", "name": "mine", "actions": ["approval", "restatement"],
 "features": ["intensity", "step"], "weights": [[0.5, 0.0], [-0.5, 0.1]], "bias": [0.0, 0.0], "temperature": 1.0}
```

An action that the file does not name is never chosen, except where no named one is eligible: there as it was logged.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, model_validator

from multimood.errors import ConfigurationError, NotFoundError
from multimood.ope.log import Floats
from multimood.ope.policy import Turns, over


@dataclass(frozen=True, slots=True)
class LinearSoftmax:
    """P(a | x) over the eligible actions in proportion to exp((weights[a] x + bias[a]) / temperature)."""

    name: str
    actions: tuple[str, ...]
    features: tuple[str, ...]
    weights: Floats
    """[actions, features]."""
    bias: Floats
    """[actions]."""
    temperature: float = 1.0

    def probabilities(self, turns: Turns) -> Floats:
        """[n, k]. Raises ConfigurationError when the turns lack a feature or have none of the actions."""
        lacking = [name for name in self.features if name not in turns.features]
        if lacking:
            raise ConfigurationError(
                f"policy {self.name} needs the feature {lacking[0]!r}, which this log lacks: it has "
                f"{', '.join(turns.features[:8])}, ... ({len(turns.features)} in all)"
            )
        known = [name for name in self.actions if name in turns.actions]
        if not known:
            raise ConfigurationError(
                f"policy {self.name} knows none of this log's actions ({', '.join(turns.actions)})"
            )
        columns = [turns.features.index(name) for name in self.features]
        own = [self.actions.index(name) for name in known]
        places = [turns.actions.index(name) for name in known]
        scores = np.full(turns.eligible.shape, -np.inf)
        scores[:, places] = (turns.contexts[:, columns] @ self.weights[own].T + self.bias[own]) / self.temperature
        scores = np.where(turns.eligible, scores, -np.inf)
        best = scores.max(axis=1, keepdims=True)
        somebody = np.isfinite(best)
        shares = np.exp(scores - np.where(somebody, best, 0.0))
        return np.where(somebody, over(shares, turns.eligible), turns.behaviour)


class PolicyFile(BaseModel):
    """The file's content."""

    model_config = ConfigDict(extra="forbid")

    format: Literal["multimood-policy/1"]
    name: Annotated[str, Field(min_length=1, max_length=80)]
    actions: Annotated[list[str], Field(min_length=1)]
    features: list[str]
    weights: list[list[FiniteFloat]]
    """One list for each action, one number for each feature."""
    bias: list[FiniteFloat]
    temperature: Annotated[FiniteFloat, Field(gt=0)] = 1.0

    @model_validator(mode="after")
    def _sizes(self) -> "PolicyFile":
        if len(set(self.actions)) < len(self.actions) or len(set(self.features)) < len(self.features):
            raise ValueError("an action or a feature is named twice")
        if len(self.bias) != len(self.actions) or len(self.weights) != len(self.actions):
            raise ValueError(f"weights and bias must have {len(self.actions)} entries, one for each action")
        if any(len(row) != len(self.features) for row in self.weights):
            raise ValueError(f"each row of weights must have {len(self.features)} numbers, one for each feature")
        return self


def load(path: Path) -> LinearSoftmax:
    """Read a policy. Raises NotFoundError, ConfigurationError."""
    try:
        found = PolicyFile.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise NotFoundError(f"{path} does not exist: give a policy's file, or one of the policies by name") from None
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise ConfigurationError(f"{path} is no policy: {place}: {first['msg']}") from None
    weights = np.array(found.weights, float).reshape(len(found.actions), len(found.features))
    return LinearSoftmax(
        found.name, tuple(found.actions), tuple(found.features), weights, np.array(found.bias), found.temperature
    )


def save(policy: LinearSoftmax, path: Path) -> None:
    """Write a policy."""
    content = PolicyFile(
        format="multimood-policy/1", name=policy.name, actions=list(policy.actions), features=list(policy.features),
        weights=policy.weights.tolist(), bias=policy.bias.tolist(), temperature=policy.temperature,
    )  # fmt: skip
    path.write_text(content.model_dump_json(indent=1) + "\n", encoding="utf-8")
