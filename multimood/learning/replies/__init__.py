"""The reply model, taught: from the log or from dialogues, by SFT, DPO or GRPO, and graded by other judges.

Needs the training environment (`make train-env`); nothing of it is in a serving image. docs/offline-rl-replies.md.
"""
