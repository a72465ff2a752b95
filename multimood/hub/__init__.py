"""Models of a hub behind the interface that the encoders' services speak: written as a folder that Triton serves.

`serving` is what goes into that folder; it runs in Triton's process and imports nothing of this project.
"""
