"""How an utterance is perceived, as tensors: before and after each model. Pure; services and evaluation share it."""
