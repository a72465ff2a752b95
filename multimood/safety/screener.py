"""Crisis screening of one utterance: rules for what is known, a classifier for what nobody foresaw."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from multimood.safety.classifier import HIDDEN, Classifier
from multimood.safety.rules import Reading, RuleSet
from multimood.safety.verdict import Level, Verdict, higher

WINDOW: Final = 4_096
"""Characters read at once; a longer text is read in windows, cut between words."""
OVERLAP: Final = 512
"""Characters that neighbouring windows share: more than any phrase of the rules and its context are long."""
MOST_CHARACTERS: Final = 262_144
"""Of a longer text the first and the last half of this are screened, and the verdict says so."""
TRUNCATED: Final = "screen.truncated"
_SPACE: Final = re.compile(r"\s")


class Screener:
    """Pure and immutable: may be shared by threads. Time is linear in the text, at most about 6 µs a character."""

    def __init__(self, rules: RuleSet, classifier: Classifier) -> None:
        """See `load`."""
        self.rules: Final = rules
        self._classifier = classifier
        self.version: Final = f"{rules.version}+{classifier.version}"

    @classmethod
    def load(cls, rules: Path | None = None, weights: Path | None = None) -> "Screener":
        """Read the shipped rules and weights, or an operator's own files in their place.

        Raises:
            ConfigurationError: a file that cannot be read or is not what it should be.
        """
        return cls(RuleSet.load(rules), Classifier.load(weights))

    def screen(self, text: str, locale: str = "en") -> Verdict:
        """Give the verdict on `text`; never raises.

        `locale` (BCP 47) does not narrow the search: people in distress fall back to another language than the
        platform's, so all languages' rules are always applied.
        """
        del locale
        level: Level = "none"
        rules: set[str] = set()
        groups: set[str] = set()
        score = 0.0
        if len(text) > MOST_CHARACTERS:
            text = f"{text[: MOST_CHARACTERS // 2]}\n{text[-MOST_CHARACTERS // 2 :]}"
            rules.add(TRUNCATED)
            level = "low"
        for window in _windows(text):
            for tokens in self.rules.read(window):
                finding, reading = self.rules.find(tokens)
                level = higher(level, finding.level)
                rules |= finding.rules
                groups |= finding.groups
                score = max(score, self._classifier.score(_unexplained(reading)))
        level, raised = self.rules.escalate(level, frozenset(groups))
        rules |= raised
        if score >= self._classifier.thresholds.elevated:
            level = higher(level, "elevated")
            rules.add("classifier")
        elif score >= self._classifier.thresholds.low:
            level = higher(level, "low")
        return Verdict(level, tuple(sorted(rules)), score, self.version)


def _windows(text: str) -> Iterator[str]:
    start = 0
    while True:
        end = start + WINDOW
        if end < len(text):
            space = next(_SPACE.finditer(text, end - OVERLAP // 2, end), None)
            end = space.start() if space else end
        yield text[start:end]
        if end >= len(text):
            return
        start = end - OVERLAP


def _unexplained(reading: Reading) -> list[str]:
    tokens = list(reading.tokens)
    for span in reading.harmless:
        tokens[span.start : span.end] = [HIDDEN] * (span.end - span.start)
    return tokens
