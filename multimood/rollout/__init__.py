"""A policy's way into service: `multimood rl promote`, `rollback`, `status` (docs/offline-rl-rollout.md)."""
