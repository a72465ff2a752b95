"""Other settings of topics for a moment, by kafka-python: what the broker does in its own time, it does now."""

import contextlib
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from kafka.admin import ConfigResource
from kafka.errors import KafkaError

from multimood.bus.admin import wanted
from multimood.settings import KafkaSettings

logger = logging.getLogger(__name__)

WITHIN_S: Final = 15.0
PAUSE_S: Final = 0.1


class TopicSettings:
    """Changes settings of topics and takes them back."""

    def __init__(self, admin: Any, settings: KafkaSettings) -> None:
        self._admin = admin
        self._settings = settings
        self.ours = True
        """False: we may not change them, and what was to be hurried takes its time."""

    @contextlib.contextmanager
    def changed(self, names: Sequence[str], values: Mapping[str, str]) -> Iterator[None]:
        """Other settings of these topics while the block runs; where we may not change them, `ours` becomes false.

        Who was killed in here left them behind: what is there already is taken back to what the topics are made with.
        """
        contract = wanted(self._settings)
        before = {name: self._of(name) for name in names}
        back = {
            name: {
                key: contract[name].get(key) if before[name].get(key) == value else before[name].get(key)
                for key, value in values.items()
            }
            for name in names
        }
        try:
            self._alter({name: dict(values) for name in names})
            self._await(names, values)
            yield
        finally:
            self._alter(
                {
                    name: {key: ("DELETE", None) if value is None else value for key, value in back[name].items()}
                    for name in names
                }
            )

    def _alter(self, configurations: Mapping[str, Mapping[str, Any]]) -> None:
        try:
            self._admin.alter_configs([ConfigResource("TOPIC", name, dict(c)) for name, c in configurations.items()])
        except KafkaError as error:
            logger.warning("a topic's settings are not ours to change", extra={"cause": type(error).__name__})
            self.ours = False

    def _await(self, names: Sequence[str], values: Mapping[str, str]) -> None:
        until = time.monotonic() + WITHIN_S
        while any(self._of(name).get(key) != value for name in names for key, value in values.items()):
            if not self.ours or time.monotonic() > until:
                self.ours = False
                return
            time.sleep(PAUSE_S)

    def _of(self, name: str) -> dict[str, str]:
        """What is set for a topic itself."""
        found = self._admin.describe_configs([ConfigResource("TOPIC", name)])
        (values,) = (by_name[name] for by_name in found.values())
        return {key: str(one["value"]) for key, one in values.items()}
