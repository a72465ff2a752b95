"""Many phrases searched at once: per word of the text one look-up, per candidate one bounded match."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from multimood.errors import ConfigurationError
from multimood.safety.normalise import MARKS
from multimood.safety.phrase import Phrase, compile_phrase
from multimood.safety.span import Span


class PhraseIndex:
    """Phrases by the word they begin with. `owner` is whatever number the caller knows a phrase by."""

    def __init__(self) -> None:
        self._by_word: dict[str, list[tuple[int, Phrase]]] = {}
        self._by_stem: dict[str, list[tuple[int, Phrase]]] = {}
        self._lengths: tuple[int, ...] = ()

    def add(self, owner: int, phrases: Iterable[str], sets: Mapping[str, Sequence[str]], rule: str) -> None:
        """Make the phrases of a rule known. `rule` is what the rule is called in errors.

        Raises:
            ConfigurationError: a phrase cannot be compiled.
        """
        for source in phrases:
            try:
                phrase = compile_phrase(source, sets)
            except ValueError as error:
                raise ConfigurationError(f"{rule}, phrase {source!r}: {error}") from error
            for first in phrase.first:
                table, key = (self._by_stem, first[:-1]) if first.endswith("*") else (self._by_word, first)
                table.setdefault(key, []).append((owner, phrase))
        self._lengths = tuple(sorted({len(stem) for stem in self._by_stem}))

    def spans(self, tokens: Sequence[str]) -> Iterator[tuple[int, Phrase, Span]]:
        """Find every match: owner, phrase, and the tokens it covers."""
        joined = " ".join(tokens) + " "
        offset = 0
        for number, token in enumerate(tokens):
            for owner, phrase in self._starting_with(token):
                match = phrase.expression.match(joined, offset)
                if match is not None:
                    yield owner, phrase, Span(number, number + match[0].count(" "))
            offset += len(token) + 1

    def _starting_with(self, token: str) -> Iterator[tuple[int, Phrase]]:
        if token in MARKS:
            return
        yield from self._by_word.get(token, ())
        for length in self._lengths:
            if length > len(token):
                return
            yield from self._by_stem.get(token[:length], ())
