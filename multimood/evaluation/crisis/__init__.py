"""How well crises are detected: people labelled by clinicians through the code that serves."""
