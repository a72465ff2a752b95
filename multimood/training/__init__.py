"""Training from labelled data: each module is one model, one command, one model card. Needs the `train` extra."""
