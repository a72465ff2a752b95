"""One erasure, from the first look to the audit record.

In this order: the key first, so that nothing more is written or read with it; then the broker, once everything said
before has been handled and the rows of it are written; then media, log and exports. Each place is tried whatever became
of the others, and all of it can be done again.
"""

import asyncio
import json
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from multimood import topics
from multimood.bus.purge import PURGED, BrokerPurge
from multimood.bus.traces import Traces
from multimood.clock import now_us
from multimood.contracts.v1 import events_pb2 as pb
from multimood.erasure.exports import erase_from_export, exports_below, rows_in_export
from multimood.erasure.log import conversations_of, erase_rows
from multimood.erasure.media import media_of, remove
from multimood.erasure.places import Outcome, Place, Report
from multimood.errors import MultimoodError
from multimood.experience.reader import Advance
from multimood.experience.sources import Bucket
from multimood.privacy.keyring import CACHE_S, destroy, has_key
from multimood.privacy.pseudonyms import Pseudonyms, Subject
from multimood.settings import KafkaSettings, StoreSettings
from multimood.store import Store

logger = logging.getLogger(__name__)

AUDIT: Final = "audit/erasures/"
"""Where the records of erasures lie in the experience bucket."""
LISTING_S: Final = 300.0
MEDIA_TYPE: Final = "application/json"
_LARGEST_AUDIT: Final = 16 << 20
LOOKING: Final = "looking through the log"

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Person:
    """Who is to be erased: a person by name, or one conversation."""

    tenant: str
    subject: str = ""
    conversation: str = ""

    def known_as(self, pseudonyms: Pseudonyms) -> Subject:
        """The same as store and log know it."""
        if self.subject:
            return pseudonyms.person(self.tenant, self.subject)
        return Subject(self.tenant, pseudonyms.conversation(self.tenant, self.conversation))

    def said(self, context: pb.Context) -> bool:
        """Whether an utterance is theirs."""
        if context.tenant != self.tenant:
            return False
        return context.subject == self.subject if self.subject else context.conversation_id == self.conversation


@dataclass(frozen=True, slots=True)
class Systems:
    """Where the person's data are."""

    kafka: KafkaSettings
    s3: StoreSettings
    pseudonyms: Pseudonyms
    exports: Sequence[Path] = ()
    cache_s: float = CACHE_S
    """How long services may go on with a key that they have read."""


class Erasing:
    """Erases one person. `wait_s`: how long services may take to read what was said before, and the broker to compact.

    `tell` is told what is being done.
    """

    def __init__(self, person: Person, systems: Systems, *, by: str, wait_s: float, tell: Tell) -> None:
        self._person = person
        self._systems = systems
        self._wait_s = wait_s
        self._tell = tell
        self._subject = person.known_as(systems.pseudonyms)
        self._conversations: set[str] = set()
        self._media: dict[tuple[str, str], None] = {}
        self._report = Report(person.tenant, self._subject.pseudonym, by, now_us())
        if person.conversation:
            self._conversations.add(systems.pseudonyms.conversation(person.tenant, person.conversation))

    def look(self) -> Report:
        """Find what there is, and change nothing."""
        self._report.dry_run = True
        with asyncio.Runner() as runner, self._store(runner) as store:
            with self._place("keys") as outcome:
                there = runner.run(has_key(store, self._systems.s3.keys_bucket, self._subject))
                outcome.found["keys"] = int(there)
            with self._place("topics") as outcome, BrokerPurge(self._systems.kafka) as broker:
                self._found(outcome, broker.find(self._person.said, self._tell))
            with self._place("media") as outcome:
                outcome.found["objects"] = len(runner.run(media_of(store, self._subject, self._media)))
        with self._place("log") as outcome, Bucket(self._systems.s3) as bucket:
            _, outcome.found["rows"] = conversations_of(bucket, self._subject, self._progress(LOOKING))
        with self._place("exports") as outcome:
            for folder in self._exports():
                outcome.found[str(folder)] = len(rows_in_export(folder, self._subject, self._conversations))
        return self._report

    def run(self) -> Report:
        """Erase; raises nothing of a place: what could not be reached is in the report."""
        at_us, ready_at = self._report.erased_at_us, time.monotonic() + self._systems.cache_s
        with asyncio.Runner() as runner, self._store(runner) as store:
            with self._place("audit"):
                self._conversations.update(runner.run(self._earlier(store)))
                runner.run(self._record(store))
            with self._place("keys") as outcome:
                self._tell("destroying the key")
                there = runner.run(destroy(store, self._systems.s3.keys_bucket, self._subject, at_us))
                outcome.found["keys"] = outcome.removed["keys"] = int(there)
            with self._place("topics") as outcome, BrokerPurge(self._systems.kafka) as broker:
                self._topics(broker, outcome)
            self._tell("waiting until every service has forgotten the key")
            time.sleep(max(0.0, ready_at - time.monotonic()))
            with self._place("media") as outcome:
                self._tell("removing media")
                names = runner.run(media_of(store, self._subject, self._media))
                outcome.found["objects"] = len(names)
                outcome.removed["objects"] = runner.run(remove(store, names))
            with self._place("log") as outcome:
                self._log(outcome)
            with self._place("exports") as outcome:
                self._from_exports(outcome)
            self._report.conversations = sorted(self._conversations)
            self._report.finished_at_us = now_us()
            with self._place("audit"):
                runner.run(self._record(store))
        return self._report

    # --- places ----------------------------------------------------------------------------------------------------

    def _topics(self, broker: BrokerPurge, outcome: Outcome) -> None:
        self._tell("looking through the topics")
        traces = broker.find(self._person.said)
        self._found(outcome, traces)
        if not (traces.conversations or traces.dead):
            return
        partitions = sorted(traces.partitions)
        self._tell("waiting until what was said has been handled")
        broker.unread(broker.ends(partitions), self._wait_s)
        broker.tell(traces.conversations, self._report.erased_at_us)
        self._tell("waiting until it is forgotten")
        broker.unread(broker.ends(partitions), self._wait_s)
        places = [(topic.name, partition) for topic in PURGED for partition in partitions]
        begins = broker.roll([*places, *((topics.CONVERSATION.name, partition) for partition in partitions)])
        lag = broker.unread(broker.ends(partitions), self._wait_s)
        if lag:
            longest = max(topic.retention_ms for topic in PURGED) + topics.SEGMENT_MS
            behind = ", ".join(f"{service} {count}" for service, count in sorted(lag.items()))
            outcome.left.append(
                f"nothing was purged, since records are still to be read ({behind}): erase again when they are; else "
                f"they are gone by their retention, {_in(longest)} at the latest"
            )
        else:
            self._tell("purging the topics")
            broker.purge({place: end for place, end in begins.items() if place.topic != topics.CONVERSATION.name})
            outcome.removed["records"] = traces.records
            outcome.notes.append("what was purged leaves the broker's disks with its next checks, minutes later")
        if not broker.settings.ours:
            outcome.notes.append(
                f"the topics' settings could not be changed, so the broker closes its files in its own time: what was "
                f"purged leaves its disks {_in(topics.SEGMENT_MS)} where the topics have our segment.ms"
            )
        if traces.dead:
            kept = broker.rewrite_letters(traces)
            outcome.removed["dead_letters"] = traces.letters
            outcome.notes.append(f"{kept} dead letters of others were written again")
        self._tell("waiting until the states are compacted")
        if broker.compacted(traces.conversations, partitions, self._wait_s):
            outcome.removed["states"] = traces.states
        else:
            outcome.left.append(
                f"states are not compacted yet: {_in(topics.SEGMENT_MS + topics.COMPACTION_LAG_MS)} if the strategist "
                "works; erase again to see"
            )

    def _found(self, outcome: Outcome, traces: Traces) -> None:
        outcome.found |= {
            "conversations": len(traces.conversations), "records": traces.records, "dead_letters": traces.letters,
            "states": traces.states,
        }  # fmt: skip
        name = self._systems.pseudonyms.conversation
        self._conversations.update(name(one.tenant, one.conversation_id) for one in traces.conversations.values())
        self._media.update(traces.media)

    def _log(self, outcome: Outcome) -> None:
        with Bucket(self._systems.s3) as bucket:
            known, count = conversations_of(bucket, self._subject, self._progress(LOOKING))
            self._conversations.update(known)
            outcome.found["rows"] = count
            progress = self._progress("writing the log without the rows")
            removed = erase_rows(bucket, self._subject, self._conversations, progress)
        outcome.removed |= {"rows": removed.rows, "feedback": removed.feedback, "objects": len(removed.objects)}
        outcome.left += [f"{name} cannot be read: repair or delete it, and erase again" for name in removed.damaged]

    def _from_exports(self, outcome: Outcome) -> None:
        for folder in self._exports():
            self._tell(f"export {folder}")
            try:
                done = erase_from_export(folder, self._subject, self._conversations)
            except MultimoodError as error:
                outcome.left.append(f"{folder}: {error}: delete it and export again")
                continue
            outcome.removed[str(folder)] = done.items
            if done.deleted:
                outcome.notes.append(f"{folder} was deleted, since nothing can be taken out of its form: export again")
        if not self._systems.exports:
            outcome.notes.append("no export was named: name their folders by --exports if there are any")

    def _exports(self) -> list[Path]:
        return [export for folder in self._systems.exports for export in exports_below(folder)]

    # --- the record ------------------------------------------------------------------------------------------------

    async def _record(self, store: Store) -> None:
        name = f"{AUDIT}{self._subject.name}/{self._report.erased_at_us}.json"
        data = json.dumps(self._report.as_json(), indent=1).encode()
        await store.put(self._systems.s3.experience_bucket, name, data, MEDIA_TYPE)

    async def _earlier(self, store: Store) -> list[str]:
        """Conversations that an earlier erasure of the person found, when their rows may be gone but not all else."""
        bucket, found = self._systems.s3.experience_bucket, list[str]()
        for one in await store.list(bucket, f"{AUDIT}{self._subject.name}/"):
            data = await store.read(bucket, one.key, limit=_LARGEST_AUDIT)
            try:
                found += Report.conversations_of(json.loads(data))
            except (ValueError, AttributeError):
                logger.warning("an earlier record cannot be read", extra={"object": one.key})
        return found

    # --- below -----------------------------------------------------------------------------------------------------

    def _progress(self, what: str) -> Advance:
        self._tell(what)
        return lambda done, of: self._tell(f"{what}: {done} of {of} objects")

    @contextmanager
    def _place(self, name: Place) -> Iterator[Outcome]:
        outcome = self._report.places[name] = Outcome()
        try:
            yield outcome
        except (MultimoodError, OSError) as error:
            outcome.fault = str(error) if isinstance(error, MultimoodError) else f"{type(error).__name__}: {error}"

    @contextmanager
    def _store(self, runner: asyncio.Runner) -> Iterator[Store]:
        store = Store(self._systems.s3, deadline_s=LISTING_S)
        try:
            yield store
        finally:
            runner.run(store.close())


def _in(milliseconds: int) -> str:
    when = datetime.now(UTC) + timedelta(milliseconds=milliseconds)
    return f"by {when.strftime('%Y-%m-%d %H:%M')} UTC"
