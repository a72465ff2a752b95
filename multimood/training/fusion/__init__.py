"""The fusion model: emotions by modality and fused, intensity, stage, strategy. Trained with numpy and scikit-learn.

corpora, dialogues     the labelled data
material               the same, embedded by the encoders that serve (multimood.training.encoders)
network, emotion       heads per modality, each row only over its corpus' own labels
combine, inertia       how modalities combine, and what the turn before says
support                strategy, stage, the system's emotion, intensity
learn, parameters      all of it fitted
graph                  all of it as ONNX
metrics, evaluate      how right the graph is, beside what knows only what is most frequent
run, card              the whole way, and its description
"""
