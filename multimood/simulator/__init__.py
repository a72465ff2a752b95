"""Seekers whose hidden state is known: what a policy is really worth, to measure estimators and learners against.

In memory (`converse`), or as a platform in front of a gateway (`multimood simulate`). docs/ope.md says what is in it
and what is not: it is no model of people.
"""

from multimood.simulator.behaviour import by_the_book, hasty, logging_world
from multimood.simulator.environment import Turn, World, converse
from multimood.simulator.records import rows
from multimood.simulator.truth import Truth, value_of_conversations, value_of_turns

__all__ = [
    "Truth",
    "Turn",
    "World",
    "by_the_book",
    "converse",
    "hasty",
    "logging_world",
    "rows",
    "value_of_conversations",
    "value_of_turns",
]
