"""The fusion model: emotions by modality and fused, intensity, stage, strategy.

corpora, dialogues      the labelled data
samples                 moments of dialogues: what is known at each, and what is to be said there
context, teach          the dialogue network, and how it is taught (torch)
emotion, modalities     heads of single modalities, each row only over its corpus' own labels
evidence, attention     how much each modality counts
parameters, graph       all of it, and all of it as ONNX
served, run, card       how right the graph is, the whole way, its description
"""
