"""Strategy policies learned from the experience log, and the gate before anyone meets them: docs/offline-rl.md.

Learners need numpy and scipy alone, but for `cql` (torch, d3rlpy); writing and reading a policy's graph needs onnx.
"""
