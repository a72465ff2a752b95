"""Off-policy evaluation: what another policy would earn, told from the experience log alone. docs/ope.md says how far.

```python
reading = read(rows(Folder(Path("experience")), feedback=True), reward="rating")
for answer in evaluate(reading.log, Question(Uniform(), ("mean", "snips", "dr"))):
    ...  # an Estimate, or a Refusal with its reason
```
"""

from multimood.ope.evaluate import NAIVE, OF_CONVERSATIONS, OF_TURNS, Estimate, evaluate
from multimood.ope.log import FORCED, Log
from multimood.ope.policy import (
    Greedy,
    Logged,
    Mixed,
    OneStrategy,
    Policy,
    Turns,
    Uniform,
    epsilon_soft,
    near_logged,
    target,
)
from multimood.ope.read import REWARDS, SLICES, Reading, read
from multimood.ope.softmax import LinearSoftmax, load, save
from multimood.ope.support import Limits, Refusal, Support
from multimood.ope.views import Question

__all__ = [
    "FORCED",
    "NAIVE",
    "OF_CONVERSATIONS",
    "OF_TURNS",
    "REWARDS",
    "SLICES",
    "Estimate",
    "Greedy",
    "Limits",
    "LinearSoftmax",
    "Log",
    "Logged",
    "Mixed",
    "OneStrategy",
    "Policy",
    "Question",
    "Reading",
    "Refusal",
    "Support",
    "Turns",
    "Uniform",
    "epsilon_soft",
    "evaluate",
    "load",
    "near_logged",
    "read",
    "save",
    "target",
]
