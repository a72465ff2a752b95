"""Copied beside the weights of a hub's model: `model.py` is Triton's side of it, `hub_encoder.py` the model's."""
