"""The whole system on one machine without containers: real Kafka, a real S3 store, real Triton, the nine services.

`multimood up`, `down` and `status` are the usual door; tests and benchmarks use `multimood.local.stack.Stack`.
"""
