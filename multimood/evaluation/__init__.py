"""`multimood eval`: the models that serve, measured on labelled corpora. Needs the `eval` extra."""
