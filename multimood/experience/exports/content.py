"""The one place where exports read what was said. Pure."""

from typing import Any

from multimood.experience.schema import Row
from multimood.generation.dialogue import Said, messages_of

WORDLESS = "(no words)"
"""Stands for a turn that was only seen or heard, without words."""


def prompt_of(row: Row, most_chars: int) -> list[dict[str, str]] | None:
    """The dialogue as the responder would show it to a model: chat messages, the roles alternate, the person's last.

    None when the row does not hold it.
    """
    if not row["dialogue"]:
        return None
    turns = [Said("assistant" if turn["role"] == "system" else "user", turn["text"] or "") for turn in row["dialogue"]]
    return [{"role": one.role, "content": one.content} for one in messages_of(turns, most_chars, WORDLESS)]


def completion_of(row: Row) -> list[dict[str, str]] | None:
    """The reply as a chat message; None when a model did not write it, or the row does not hold it."""
    if row["reply_source"] != "generated" or not row["reply_text"]:
        return None
    return [{"role": "assistant", "content": row["reply_text"]}]


def without_content(row: Row, columns: tuple[str, ...]) -> dict[str, Any]:
    """The row without the columns that hold what was said."""
    return {name: value for name, value in row.items() if name not in columns}
