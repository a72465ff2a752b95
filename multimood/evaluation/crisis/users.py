"""Users labelled by clinicians, as the C-SSRS corpus has them: one a row, with a list of what they posted.

The corpus as it is published has the columns User, Post and Label, and the list as Python writes it; programs write
posts_json, with the list as JSON.
"""

import ast
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from multimood.errors import ConfigurationError
from multimood.evaluation.source import Source

LEVELS: Final = ("Supportive", "Indicator", "Ideation", "Behavior", "Attempt")
"""In rising order: `risk` 0 to 4 (Gaur et al., WWW 2019)."""
AT_RISK: Final = 2
"""From Ideation on."""
FILE: Final = "cssrs_reddit500.csv"
PUBLISHED: Final = "500_Reddit_users_posts_labels.csv"
_POSTS: Final = "posts_json"
_COLUMNS: Final = {_POSTS: ("Post", "Posts"), "label": ("Label",), "risk": ("Risk",), "split": ("Split",)}
_NOTHING: Final = frozenset(("", "null", "none", "nan"))
_SEPARATOR: Final = re.compile(r"""['"]\s*,\s*['"]""")
_SUICIDAL: Final = re.compile(r"suicid(e|al)[ _-]+")


@dataclass(frozen=True, slots=True)
class User:
    """One labelled user. The posts stay in memory and are never shown."""

    risk: int
    posts: tuple[str, ...]


def read_users(source: Source) -> list[User]:
    """Read the users of the wanted split. Rows without posts or label are left out and counted.

    Raises:
        NotFoundError: there is no such file, or no row of the split.
        ConfigurationError: it is no such file, or has no usable row.
    """
    file = source.file(FILE, f"text/{FILE}", PUBLISHED)
    rows = source.chosen(source.table(file, (_POSTS,), _COLUMNS), lambda row: row.get("split", ""))
    users = [user for user in (_user(source, row) for row in rows) if user is not None]
    if not users:
        raise ConfigurationError(
            f"{file} has no usable row: each needs risk (0-4) or label ({', '.join(LEVELS)}), "
            f"and {_POSTS} or Post with a list of texts, as JSON or Python"
        )
    return users


def _user(source: Source, row: Mapping[str, str]) -> User | None:
    risk = _risk(row)
    if risk is None:
        source.note("rows without a label of the scale, left out")
        return None
    posts = _posts(source, row[_POSTS])
    if not posts:
        source.note("rows without posts, left out")
        return None
    return User(risk, tuple(posts))


def _risk(row: Mapping[str, str]) -> int | None:
    number, label = row.get("risk", "").strip().removesuffix(".0"), row.get("label", "").strip().lower()
    if number:
        return int(number) if number in {str(level) for level in range(len(LEVELS))} else None
    name = _SUICIDAL.sub("", label).replace("behaviour", "behavior")
    return next((risk for risk, level in enumerate(LEVELS) if level.lower() == name), None)


def _posts(source: Source, cell: str) -> Sequence[str]:
    cell = cell.strip()
    posts = _listed(cell)
    if posts is None and cell.startswith("["):
        # Spreadsheets cut long cells off, and some files do not escape the quotes within a text.
        source.note("rows whose list of posts is broken, taken apart at its quotes")
        posts = _SEPARATOR.split(cell.removeprefix("[").removesuffix("]").strip(" '\""))
    elif posts is None and cell.lower() not in _NOTHING:
        source.note("rows whose posts are no list, taken as one post")
        posts = [cell]
    return [post for post in posts or () if isinstance(post, str) and post.strip()]


def _listed(cell: str) -> Sequence[object] | None:
    """The list that a cell holds, as JSON or as Python writes it; None when it is neither."""
    for read in (json.loads, ast.literal_eval):
        try:
            value = read(cell)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(value, list | tuple):
            return list(value)
    return None
