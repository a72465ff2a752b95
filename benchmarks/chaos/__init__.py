"""Chaos with a seed: everything is killed, paused and cut off at random instants while utterances flow."""
