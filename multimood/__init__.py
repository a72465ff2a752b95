"""MultiMood: trustworthy multimodal emotional support as streaming microservices."""

__version__ = "0.1.0"
