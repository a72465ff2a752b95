"""The model card of a learned policy. Pure."""

from collections.abc import Mapping
from typing import Any, Final

_ABOUT: Final = {
    "direct": "a clone of the policy that wrote the log, by multinomial logistic regression: the baseline",
    "bandit": "a linear softmax that maximises a doubly robust estimate of the mean reward, tied to the logged policy",
    "cql": "a softmax over action values of whole conversations, by discrete conservative Q-learning",
}


def card(config: Mapping[str, Any], data: Mapping[str, Any], metrics: Mapping[str, Any]) -> str:
    """Markdown: what it is, what it learned from and for, what it must not be used for."""
    own, wanted, near = data["parts"]["train"], config["wanted"], metrics["nearness"]
    rewards = ", ".join(own["reward_versions"]) or "none"
    return f"""# {metrics["policy"]}

A strategy policy for the state `{data["state_version"]}`, learner `{config["learner"]}`: {_ABOUT[config["learner"]]}.
`policy.onnx`, SHA-256 `{metrics["policy_sha256"]}`.

## Learned from

{metrics["decisions"]} decisions in {metrics["conversations"]} conversations (fingerprint `{data["fingerprint"]}`), made
by {len(own["policy_versions"])} version(s) of the policy between {own["first"] or "an unknown time"} and
{own["last"] or "an unknown time"}. A share of {wanted["held"]:g} of the conversations was held back by seed
{wanted["seed"]} and not seen. Only people who consented to learning are in the log.

Reward: `{wanted["reward"]}` (version {rewards}); the logged policy earned {metrics["logged_reward"]:.4f} a decision.
What this reward does not see, the policy does not care about.

## How far from the logged policy

| | |
|---|---|
| probability on what was hardly ever tried | {near["rare"]:.2%} |
| KL divergence from the logged policy | {near["divergence"]:.3f} nats |
| share of the log that effectively speaks for it | {near["ess_share"]:.1%} |
| mixed in of the fusion model's own distribution | {metrics["kept_of_the_fusion_model"]:.1%} |

## Not for

- Crises: the sentinel and the vetted replies decide there, and no policy is asked.
- Being served before `multimood rl evaluate` has let it pass: what is above says nothing of how good it is.
- People, languages or channels that the log has few of; another taxonomy; another fusion model than the log's.
- Judging counsellors or people: it chooses the manner of a reply, and knows nothing of who somebody is.
"""
