"""Users labelled by clinicians, as the C-SSRS corpus has them: one a row, their posts as a JSON list of texts."""

import json
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
_POSTS: Final = "posts_json"


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
    file = source.file(FILE, f"text/{FILE}")
    rows = source.chosen(source.table(file, (_POSTS,)), lambda row: row.get("split", ""))
    users = [user for user in (_user(source, row) for row in rows) if user is not None]
    if not users:
        raise ConfigurationError(
            f"{file} has no usable row: each needs risk (0-4) or label ({', '.join(LEVELS)}), "
            f"and {_POSTS} with a JSON list of texts"
        )
    return users


def _user(source: Source, row: Mapping[str, str]) -> User | None:
    risk = _risk(row)
    if risk is None:
        source.note("rows without a label of the scale, left out")
        return None
    posts = _posts(row[_POSTS])
    if not posts:
        source.note("rows without posts, left out")
        return None
    return User(risk, tuple(posts))


def _risk(row: Mapping[str, str]) -> int | None:
    number, label = row.get("risk", "").strip(), row.get("label", "").strip().lower()
    if number:
        return int(number) if number in {str(level) for level in range(len(LEVELS))} else None
    return next((risk for risk, name in enumerate(LEVELS) if name.lower() == label), None)


def _posts(encoded: str) -> Sequence[str]:
    try:
        posts = json.loads(encoded)
    except ValueError:
        return ()
    return [post for post in posts if isinstance(post, str) and post.strip()] if isinstance(posts, list) else ()
