"""The way of a policy or a reply model into service, `multimood rl promote`: docs/offline-rl-rollout.md says it."""
