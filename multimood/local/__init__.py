"""The whole system on one machine without containers: real Kafka, a real S3 store, real Triton, the nine services.

`python -m multimood.local` runs the supervisor in the foreground; `multimood up`, `down` and `status` are the usual door;
tests use `multimood.local.stack.Stack`.
"""
