"""The generated protobuf contract (protos/multimood/v1); `make protos` writes it."""
