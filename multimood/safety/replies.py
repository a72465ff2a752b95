"""Replies written and approved by people: what is said when nothing may be generated."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias, get_args

from pydantic import BaseModel, ConfigDict, Field

from multimood import assets
from multimood.errors import ConfigurationError

ASSET: Final = "vetted_replies.toml"
FALLBACK: Final = "en"
CONTACTS: Final = "{contacts}"

Kind: TypeAlias = Literal["elevated", "imminent", "escalated", "unscreened", "unavailable"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)


class LocaleEntry(BaseModel):
    """One `[locales.<tag>]` table."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    contacts: str = ""
    elevated: str = ""
    imminent: str = ""
    escalated: str = ""
    unscreened: str = ""
    unavailable: str = ""


class ReplyFile(BaseModel):
    """The whole file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    edition: str = Field(pattern=r"^\d{4}\.\d{2}(\.\d+)?$")
    locales: Mapping[str, LocaleEntry]


@dataclass(frozen=True, slots=True)
class VettedReply:
    """One approved text."""

    text: str
    id: str
    """`<locale of the contacts>.<kind>`, e.g. `en-gb.imminent`."""
    version: str


class VettedReplies:
    """All approved texts.

    A region ("en-GB") puts its contacts in its language's text; an unknown language gets English.
    """

    def __init__(self, content: ReplyFile, version: str) -> None:
        """Raise `ConfigurationError` when a language lacks a text or its contacts."""
        self.version: Final = version
        self._locales = {tag.lower(): entry for tag, entry in content.locales.items()}
        for tag, entry in self._locales.items():
            wanted = ("contacts",) if "-" in tag else ("contacts", *KINDS)
            if missing := [name for name in wanted if not getattr(entry, name).strip()]:
                raise ConfigurationError(
                    f"{version}: [locales.{tag}] lacks {', '.join(missing)}: every one must be written"
                )
            if "-" in tag and tag.split("-")[0] not in self._locales:
                raise ConfigurationError(
                    f"{version}: [locales.{tag}] has no [locales.{tag.split('-')[0]}] to take texts from"
                )
            for kind in ("elevated", "imminent", "escalated"):
                if getattr(entry, kind) and CONTACTS not in getattr(entry, kind):
                    raise ConfigurationError(f"{version}: [locales.{tag}] {kind} must hold {CONTACTS}: whom to turn to")
        if FALLBACK not in self._locales:
            raise ConfigurationError(
                f"{version}: [locales.{FALLBACK}] is missing: it answers where no other locale does"
            )

    @classmethod
    def load(cls, path: Path | None = None) -> "VettedReplies":
        """Read the shipped texts, or an operator's own file.

        Raises:
            ConfigurationError: the file cannot be read or is incomplete.
        """
        content, raw = assets.read_toml(ReplyFile, ASSET, path)
        return cls(content, assets.version("replies", content.edition, raw))

    @property
    def locales(self) -> tuple[str, ...]:
        """Languages and regions that have texts or contacts of their own."""
        return tuple(self._locales)

    def reply(self, kind: Kind, locale: str = FALLBACK) -> VettedReply:
        """Give the text for `kind`, in the nearest locale to `locale` (BCP 47).

        Raises:
            ConfigurationError: no such kind.
        """
        if kind not in KINDS:
            raise ConfigurationError(f"no vetted reply is of kind {kind!r}: the kinds are {', '.join(KINDS)}")
        tag = self._nearest(locale)
        region, language = self._locales[tag], self._locales[tag.split("-")[0]]
        text: str = getattr(region, kind) or getattr(language, kind)
        return VettedReply(text.strip().replace(CONTACTS, region.contacts.strip()), f"{tag}.{kind}", self.version)

    def _nearest(self, locale: str) -> str:
        parts = locale.lower().replace("_", "-").split("-")
        # The region may stand behind a script: zh-Hant-TW.
        for tag in (*(f"{parts[0]}-{part}" for part in parts[1:]), parts[0]):
            if tag in self._locales:
                return tag
        return FALLBACK
