"""The store's key pair and other secrets: made once, kept where only the owner can read them."""

import json
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Credentials:
    """An S3 key pair. Its text form hides the secret."""

    access_key: str
    secret_key: str = field(repr=False)

    @classmethod
    def kept_in(cls, file: Path) -> "Credentials":
        """Read them from the file (mode 0600), making a random pair at the first call."""
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            made = {"access_key": secrets.token_hex(10), "secret_key": secrets.token_urlsafe(30)}
            write_private(file, json.dumps(made))
        return cls(**json.loads(file.read_text()))


def secret_kept_in(file: Path) -> str:
    """Read a secret from the file (mode 0600), making a random one at the first call."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_private(file, secrets.token_hex(32))
    return file.read_text().strip()


def write_private(file: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    part = file.with_suffix(".part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(text)
    part.replace(file)
