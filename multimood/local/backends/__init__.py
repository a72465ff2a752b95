"""Backends that the embedded Triton server loads in place of ones its package does not contain.

A model names its backend in its config.pbtxt; the official image has NVIDIA's own of the same name.
"""
