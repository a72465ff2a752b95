"""Replies written for approval by people: what is said when nothing may be generated.

A kind may have several texts. A conversation gets one that it has not had yet, then the one that it had longest ago, so
that a crisis that lasts is not answered by the same words over and over.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal, TypeAlias, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from multimood import assets
from multimood.errors import ConfigurationError

ASSET: Final = "vetted_replies.toml"
FALLBACK: Final = "en"
CONTACTS: Final = "{contacts}"
LENGTHS: Final = (60, 1_500)
"""Characters of a text, its contacts included: less says nothing, more is too much at once for somebody in distress."""

Kind: TypeAlias = Literal["low", "elevated", "imminent", "escalated", "unscreened", "unavailable"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
NAMES_CONTACTS: Final[tuple[Kind, ...]] = ("low", "elevated", "imminent", "escalated")
"""Kinds whose every text says whom to turn to."""
_PLACEHOLDER: Final = re.compile(r"\{[^{}]*\}|[{}]")


def _listed(value: object) -> object:
    return (value,) if isinstance(value, str) else value


Texts: TypeAlias = Annotated[tuple[str, ...], BeforeValidator(_listed), Field(max_length=16)]


class LocaleEntry(BaseModel):
    """One `[locales.<tag>]` table. A kind has one text or a list of them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    contacts: str = ""
    low: Texts = ()
    elevated: Texts = ()
    imminent: Texts = ()
    escalated: Texts = ()
    unscreened: Texts = ()
    unavailable: Texts = ()

    def texts(self, kind: Kind) -> tuple[str, ...]:
        """Those of a kind, in the order of the file."""
        found: tuple[str, ...] = getattr(self, kind)
        return found


class ReplyFile(BaseModel):
    """The whole file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    edition: str = Field(pattern=r"^\d{4}\.\d{2}(\.\d+)?$")
    locales: Mapping[str, LocaleEntry]


@dataclass(frozen=True, slots=True)
class VettedReply:
    """One text of the file."""

    text: str
    id: str
    """`<locale of the contacts>.<kind>`, e.g. `en-gb.imminent`; from the second text of a kind on, `.2` and so on."""
    version: str


class VettedReplies:
    """All texts of the file.

    A region ("en-GB") puts its contacts in its language's text; an unknown language gets English.
    """

    def __init__(self, content: ReplyFile, version: str) -> None:
        """Raise `ConfigurationError` when a language lacks a text or its contacts, or a text is not fit to be sent."""
        self.version: Final = version
        self._locales = {tag.lower(): entry for tag, entry in content.locales.items()}
        for tag, entry in self._locales.items():
            self._check(tag, entry)
        if FALLBACK not in self._locales:
            raise ConfigurationError(
                f"{version}: [locales.{FALLBACK}] is missing: it answers where no other locale does"
            )
        self._replies = {(tag, kind): self._of(tag, kind) for tag in self._locales for kind in KINDS}

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

    def all(self, kind: Kind, locale: str = FALLBACK) -> Sequence[VettedReply]:
        """Give every text for `kind`, in the nearest locale to `locale` (BCP 47), in the order of the file.

        Raises:
            ConfigurationError: no such kind.
        """
        if kind not in KINDS:
            raise ConfigurationError(f"no vetted reply is of kind {kind!r}: the kinds are {', '.join(KINDS)}")
        return self._replies[self._nearest(locale), kind]

    def reply(self, kind: Kind, locale: str = FALLBACK, told: Sequence[str] = ()) -> VettedReply:
        """Give the text for `kind` whose turn it is, in the nearest locale to `locale` (BCP 47).

        `told`: ids of the texts that the conversation has had, the oldest first. The same history gives the same text.

        Raises:
            ConfigurationError: no such kind.
        """
        last = {identity: place for place, identity in enumerate(told)}
        return min(self.all(kind, locale), key=lambda one: last.get(one.id, -1))

    def _of(self, tag: str, kind: Kind) -> tuple[VettedReply, ...]:
        region, language = self._locales[tag], self._locales[tag.split("-", maxsplit=1)[0]]
        contacts = region.contacts.strip()
        found = []
        for number, text in enumerate(region.texts(kind) or language.texts(kind), 1):
            whole, name = text.strip().replace(CONTACTS, contacts), f"{tag}.{kind}"
            least, most = LENGTHS
            if not least <= len(whole) <= most:
                raise ConfigurationError(
                    f"{self.version}: [locales.{tag}] {kind}, text {number}, has {len(whole)} characters: "
                    f"{least} to {most} are sent"
                )
            found.append(VettedReply(whole, name if number == 1 else f"{name}.{number}", self.version))
        return tuple(found)

    def _check(self, tag: str, entry: LocaleEntry) -> None:
        place, language = f"{self.version}: [locales.{tag}]", tag.split("-", maxsplit=1)[0]
        wanted: Sequence[Kind] = KINDS if tag == language else ()
        missing = [] if entry.contacts.strip() else ["contacts"]
        missing += [kind for kind in wanted if not entry.texts(kind)]
        if missing:
            raise ConfigurationError(f"{place} lacks {', '.join(missing)}: every one must be written")
        if language not in self._locales:
            raise ConfigurationError(f"{place} has no [locales.{language}] to take texts from")
        if found := _PLACEHOLDER.search(entry.contacts):
            raise ConfigurationError(f"{place} contacts hold {found[0]!r}: nothing is put in its place")
        for kind in KINDS:
            texts = entry.texts(kind)
            if len({" ".join(text.split()) for text in texts}) < len(texts):
                raise ConfigurationError(f"{place} {kind} has the same text twice: leave one out")
            for number, text in enumerate(texts, 1):
                if not text.strip():
                    raise ConfigurationError(f"{place} {kind}, text {number}, is empty: write it or leave it out")
                if unknown := set(_PLACEHOLDER.findall(text)) - {CONTACTS}:
                    raise ConfigurationError(
                        f"{place} {kind}, text {number}, holds {min(unknown)!r}: only {CONTACTS} is filled in"
                    )
                if kind in NAMES_CONTACTS and CONTACTS not in text:
                    raise ConfigurationError(f"{place} {kind}, text {number}, must hold {CONTACTS}: whom to turn to")

    def _nearest(self, locale: str) -> str:
        parts = locale.lower().replace("_", "-").split("-")
        # The region may stand behind a script: zh-Hant-TW.
        for tag in (*(f"{parts[0]}-{part}" for part in parts[1:]), parts[0]):
            if tag in self._locales:
                return tag
        return FALLBACK
