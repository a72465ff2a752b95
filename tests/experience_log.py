"""A log made by the strategist's own policy on perceptions by chance. All words are made up."""

import numpy as np
from reward_events import reply, row_of, trust

from multimood.contracts.v1 import events_pb2 as pb
from multimood.experience import Origin, Row
from multimood.perception.conversation import after_decision, after_reply
from multimood.perception.fusion import Perception, Sight
from multimood.taxonomy import EMOTIONS, MESC_STRATEGIES, STAGES
from services.strategist.decision import Kept, Policy, decide
from services.strategist.exploration import Exploration

POLICY = Policy("mesc", Exploration("epsilon", 0.2), "fusion", "ab" * 32)
BEGAN_US = 1_790_000_000_000_000
OPENERS = ("I could not sleep again.", "My sister will not talk to me.")


def perception(rng: np.random.Generator) -> Perception:
    emotion, system, strategy = (
        rng.dirichlet(np.ones(n)) for n in (len(EMOTIONS), len(EMOTIONS), len(MESC_STRATEGIES))
    )
    return Perception(
        dict(zip(EMOTIONS, map(float, emotion), strict=True)),
        {},
        float(rng.uniform()),
        STAGES[rng.integers(len(STAGES))],
        dict(zip(EMOTIONS, map(float, system), strict=True)),
        dict(zip(MESC_STRATEGIES, map(float, strategy), strict=True)),
        "1",
    )


def made_rows(conversations: int = 20, turns: int = 4, seed: int = 0) -> list[Row]:
    """Every conversation begins with one of two sentences; a reward is higher for approval."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(conversations):
        state: pb.Conversation | None = None
        for step in range(turns):
            said = pb.Context(
                tenant="acme", conversation_id=f"c{number}", utterance_id=f"c{number}-u{step}",
                occurred_at_us=BEGAN_US + (number * 100 + step) * 60_000_000,
                privacy=pb.Privacy(learning_consent=True),
            )  # fmt: skip
            text = OPENERS[number % 2] if step == 0 else f"And then, the {step}th thing happened to me."
            made = pb.Features(
                context=said, manifest=[pb.MODALITY_TEXT], text=text, has_language=True,
                screening=pb.Screening(context=said, level=pb.RISK_LEVEL_NONE, version="s-1"),
            )  # fmt: skip
            sight = Sight({pb.MODALITY_TEXT: np.zeros(384, np.float32)})
            decided = decide(made, sight, perception(rng), state, override=pb.OVERRIDE_NONE, policy=POLICY,
                             kept=Kept(12, 2_000))  # fmt: skip
            decided.hops.add(service="strategist", produced_at_us=said.occurred_at_us + 1_000)
            answer = reply(
                said, text=f"I hear you ({decided.chosen}, {number}).", strategy=decided.chosen,
                hops=[pb.Hop(service="responder", produced_at_us=said.occurred_at_us + 2_000)],
            )  # fmt: skip
            reward = float(np.clip(0.4 + 0.4 * (decided.chosen == "approval") + rng.normal(0, 0.1), 0, 1))
            score = trust(said, reward=reward)
            found.append(row_of(decided, answer, score, Origin(0, len(found), said.occurred_at_us // 1000)))
            state = after_reply(after_decision(state, decided, 12), answer, 12, 2_000)
    return found
