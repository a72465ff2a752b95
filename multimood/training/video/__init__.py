"""Heads on faces: on the video encoder's embedding, and on facial action units beside the voice.

units       action units, relative to what is usual of a person
face        what is learned, and its file
rule        how a voice and a face that are there together count
pictures    the head on embeddings
takes       real pairs of voice and action units, and the head on the latter
run         the whole way, its scores and its card
"""
