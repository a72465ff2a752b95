"""The audio encoder's adapter and the voice heads on its embedding.

adapter     axes of the encoder's raw values, found inside the training speakers
voice       what is learned, and its file
learn       everything chosen by cross-validation over speakers, and fitted
run         the whole way, its scores and its card
"""
