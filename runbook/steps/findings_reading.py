"""Findings in queues: read, typed and counted; acknowledged only when that is asked for; everything else left there."""

import json
import time
import uuid
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import TracebackType
from typing import Any, Self

from runbook import markdown
from runbook.aws.queue_messages import LONG_POLL_SECONDS, Look, Message
from runbook.aws.sns import publish
from runbook.aws.sns_messages import NOTIFICATION, Verifier, cut, read_envelope
from runbook.environment import Environment
from runbook.steps.findings_state import State
from runbook.untrusted import NOTHING, Untrusted, code, text

MOST = 1000
"""So many messages of a queue are read at most."""

SHOWN = 20
"""So many findings are shown; all are counted."""

LONGEST_BUCKET, LONGEST_KEY = 255, 1024
"""Maximum length of a bucket's name, in old buckets, and of an object's key in bytes. Source: Amazon S3 user guide."""

HIDDEN_SECONDS = 60
"""For how long others do not see a message that is read here, should this process end without a word."""

TEST_BUCKET = "bucketav-runbook-test"
"""The bucket that a test message names; there is none of that name behind it."""


class Result(StrEnum):
    """What came of a scan, as bucketAV calls it."""

    INFECTED = "infected"
    UNSCANNABLE = "no"
    CLEAN = "clean"

    @property
    def word(self) -> str:
        """The same for people."""
        return "unscannable" if self is Result.UNSCANNABLE else self.value


@dataclass(frozen=True)
class Finding:
    """One scan result. `queue` is where it was read (account and queue), `time` when it was published.

    `size` is in bytes. What the message does not say is None, or empty.
    """

    id: str
    queue: str
    status: Result
    bucket: Untrusted
    key: Untrusted
    finding: Untrusted = NOTHING
    size: int | None = None
    version: Untrusted = NOTHING
    time: Untrusted = NOTHING

    @property
    def address(self) -> Untrusted:
        """Bucket and key."""
        return Untrusted(f"{self.bucket.raw}/{self.key.raw}")

    @property
    def is_test(self) -> bool:
        """Whether it is a test message of this package."""
        return self.bucket.raw == TEST_BUCKET


@dataclass(frozen=True)
class Source:
    """A subscribed queue to read: its ARN, what people call it, its topic, and whether findings come in no envelope."""

    arn: str
    address: str
    topic_arn: str
    raw: bool


@dataclass(frozen=True)
class Findings:
    """What was read. `foreign` messages are no findings; `not_believed` says why, for those that claim to be one.

    `again` counts deliveries of the same finding, `acknowledged` findings that were deleted from their queue.
    `unread` are queues in which more may wait than were read, `skipped` those that are not subscribed.
    """

    items: tuple[Finding, ...] = ()
    foreign: int = 0
    again: int = 0
    acknowledged: int = 0
    not_believed: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()

    @property
    def counts(self) -> dict[Result, int]:
        """How many of each status; tests do not count."""
        counted = Counter(each.status for each in self.items if not each.is_test)
        return {status: counted[status] for status in Result}

    @property
    def summary(self) -> str:
        """`1 infected, 1 unscannable, 2 clean`, and what else there was."""
        if not self.sources:
            return "Nothing was read."
        told = [f"{number} {status.word}" for status, number in self.counts.items()] if self.items else ["No findings"]
        tests = sum(each.is_test for each in self.items)
        told += [markdown.count(tests, "test message")] if tests else []
        more = [f"{markdown.count(self.again, 'finding')} delivered again"] if self.again else []
        more += [f"{markdown.count(self.foreign, 'other message')} left alone"] if self.foreign else []
        more += [f"{markdown.count(len(self.not_believed), 'message')} not believed"] if self.not_believed else []
        more += [f"{self.acknowledged} acknowledged"] if self.acknowledged else []
        more += ["none acknowledged, so they are still there"] if self.items and not self.acknowledged else []
        return ". ".join([", ".join(told), *(["; ".join(more).capitalize()] if more else [])]) + "."

    def __repr__(self) -> str:
        lines = [
            f"{each.status.word} {text(f'{each.bucket.raw}/{each.key.raw}')} ({each.queue})" for each in self._latest()
        ]
        return "\n".join([*lines, self.summary, *self._notes()])

    def to_markdown(self) -> str:
        """A table of the latest, the counts, and what else there is to know."""
        head = ["Status", "Bucket", "Key", "Finding", "Size", "Version", "Published", "Queue"]
        rows = [_row(each) for each in self._latest()]
        parts = [markdown.table(head, rows)] if rows else []
        if len(self.items) > SHOWN:
            parts.append(f"… and {len(self.items) - SHOWN} more, counted below.")
        notes = "\n".join(f"- {markdown.plain(note)}" for note in self._notes())
        return "\n\n".join([*parts, f"**{self.summary}**", *([notes] if notes else [])])

    def _repr_markdown_(self) -> str:
        return markdown.gate(self.to_markdown())

    def _latest(self) -> Sequence[Finding]:
        return sorted(self.items, key=lambda each: (each.time, each.bucket, each.key), reverse=True)[:SHOWN]

    def _notes(self) -> list[str]:
        reasons = [f"A message was not believed, and left there. {reason}" for reason in self.not_believed]
        notes = markdown.first(reasons, SHOWN)
        notes += [f"More than {MOST:,} messages are in {name}; so many were read." for name in self.unread]
        if self.skipped:
            names = markdown.names(self.skipped, most=5)
            notes.append(f"Not subscribed and confirmed yet, so nothing was received from it: {names}.")
        return notes


def sources_of(state: State) -> tuple[Source, ...]:
    """The queues that findings are delivered to."""
    return tuple(
        Source(each.arn, each.address, state.topic_arn, each.subscription.raw_delivery)
        for each in state.usable
        if each.queue and each.subscription and each.confirmed
    )


def parse_finding(text: str, identifier: str, queue: str, published: str = "") -> Finding | None:
    """A scan result as bucketAV publishes it; None for what is none.

    Source: bucketAV's template: JSON with `bucket`, `key` and `status` at least, and `finding`, `size`, `version`.
    """
    try:
        found: Any = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    status, bucket, key = (found.get(name) for name in ("status", "bucket", "key"))
    if status not in list(Result) or not isinstance(bucket, str) or not isinstance(key, str):
        return None
    if len(bucket) > LONGEST_BUCKET or len(key.encode(errors="replace")) > LONGEST_KEY:
        return None  # S3 has no such thing
    size = found.get("size")
    return Finding(
        id=identifier,
        queue=queue,
        status=Result(status),
        bucket=Untrusted(bucket),
        key=Untrusted(key),
        finding=Untrusted(_text(found.get("finding"))),
        size=size if isinstance(size, int) and not isinstance(size, bool) else None,
        version=Untrusted(_text(found.get("version"))),
        time=Untrusted(_text(published)),
    )


def _text(value: object) -> str:
    return cut(_printable(str(value))) if value and isinstance(value, str | int | float) else ""


def _printable(text: str) -> str:
    """Replace halves of surrogate pairs, which JSON can hold and no file or page can, by their escapes."""
    return text.encode("utf-8", "backslashreplace").decode()


class Reading:
    """A queue being read, within `with`; at its end, others see again what was not acknowledged."""

    def __init__(self, environment: Environment, source: Source, seconds: int = HIDDEN_SECONDS) -> None:
        self.source = source
        self.foreign = self.again = 0
        self.not_believed: list[str] = []
        self._look = Look(environment, source.arn, seconds)
        self._verifier = Verifier(source.topic_arn, environment.fetch_once)
        self._messages: dict[str, list[Message]] = {}
        self._seen: set[str] = set()

    def __enter__(self) -> Self:
        self._look.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._look.__exit__(kind, error, trace)

    @property
    def looked_at(self) -> int:
        """How many messages have been seen, each once."""
        return len(self._seen)

    def more(self, wait: int = 0) -> list[Finding]:
        """The next findings that were not seen before, waiting up to `wait` seconds for a message."""
        found = []
        for message in self._look.receive(wait):
            finding = None if message.id in self._seen else self._finding(message)
            repeated = message.id in self._seen
            self._seen.add(message.id)
            if finding is None:
                continue
            if finding.id in self._messages:
                self.again += not repeated
                self._messages[finding.id].append(message)
                continue
            self._messages[finding.id] = [message]
            found.append(finding)
        return found

    def all(self) -> Iterator[Finding]:
        """What is in the queue now."""
        while self.looked_at < MOST:
            before = self.looked_at
            yield from self.more(wait=1)
            if self.looked_at == before:
                return

    def acknowledge(self, findings: Iterable[Finding]) -> int:
        """Delete findings from the queue, in every delivery of them; how many."""
        chosen = [each for each in findings if each.id in self._messages]
        self._look.delete([message for each in chosen for message in self._messages[each.id]])
        return len(chosen)

    def _finding(self, message: Message) -> Finding | None:
        """A message as a finding. With an envelope, only what its topic has signed is one."""
        envelope = read_envelope(message.body)
        if envelope is None:
            found = parse_finding(message.body, message.id, self.source.address) if self.source.raw else None
            self.foreign += found is None
            return found
        if envelope.kind != NOTIFICATION or envelope.topic_arn != self.source.topic_arn:
            self.foreign += 1
            return None
        found = parse_finding(envelope.text, envelope.message_id, self.source.address, envelope.timestamp)
        if found is None:
            self.foreign += 1
            return None
        if objection := self._verifier.objection(envelope):
            self.not_believed.append(objection)
            return None
        return found


def read(environment: Environment, sources: Iterable[Source], *, acknowledge: bool) -> Findings:
    """Read what is in the queues now; with `acknowledge`, delete the findings among it once they are read."""
    findings = Findings()
    for source in sources:
        with Reading(environment, source) as reading:
            found = tuple(reading.all())
            acknowledged = reading.acknowledge(found) if acknowledge else 0
        findings = _with(findings, reading, found, acknowledged)
    return findings


def listen(
    environment: Environment,
    sources: Sequence[Source],
    seconds: int,
    *,
    acknowledge: bool,
    clock: Callable[[], float] = time.monotonic,
) -> Generator[Findings, None, None]:
    """Follow the queues for so many seconds, and yield all that came so far whenever something did, and at the end.

    One call after the other, each waiting for a message (long polling), so that an interrupt is heeded at once.
    """
    ends = clock() + seconds
    readings = [Reading(environment, source, min(seconds + HIDDEN_SECONDS, 43_200)) for source in sources]
    heard = [Heard(reading) for reading in readings]
    try:
        yield _together(heard)
        while readings and (left := ends - clock()) > 0:
            for each in heard:
                wait = max(1, min(LONG_POLL_SECONDS // len(heard), round(left)))
                if each.listened(wait, acknowledge=acknowledge):
                    yield _together(heard)
        yield _together(heard)
    finally:
        for reading in readings:
            reading.__exit__(None, None, None)


@dataclass
class Heard:
    """What came from one queue so far."""

    reading: Reading
    found: list[Finding] = field(default_factory=list)
    acknowledged: int = 0

    def listened(self, wait: int, *, acknowledge: bool) -> bool:
        """Wait for messages; whether something new came."""
        before = self.reading.looked_at
        new = self.reading.more(wait)
        self.acknowledged += self.reading.acknowledge(new) if acknowledge else 0
        self.found += new
        return self.reading.looked_at > before


def publish_test(environment: Environment, state: State) -> str:
    """Publish a message that is marked as a test and passes filters by status, if there are any; the key it names."""
    filtered = any(each.subscription and each.subscription.filter_policy for each in state.usable)
    status = Result.INFECTED if filtered else Result.CLEAN
    key = f"this-is-a-test/{uuid.uuid4()}"
    told = {"bucket": TEST_BUCKET, "key": key, "status": status.value, "finding": "Test message. No file was scanned."}
    publish(
        environment,
        state.topic_arn,
        subject="TEST MESSAGE of the bucketAV runbook: no file was scanned",
        text=json.dumps(told),
        attributes={name: told[name] for name in ("bucket", "key", "status")},
    )
    return key


def _together(heard: Iterable[Heard]) -> Findings:
    findings = Findings()
    for each in heard:
        findings = _with(findings, each.reading, tuple(each.found), each.acknowledged)
    return findings


def _with(findings: Findings, reading: Reading, found: tuple[Finding, ...], acknowledged: int) -> Findings:
    full = reading.looked_at >= MOST
    return replace(
        findings,
        items=findings.items + found,
        foreign=findings.foreign + reading.foreign,
        again=findings.again + reading.again,
        acknowledged=findings.acknowledged + acknowledged,
        not_believed=(*findings.not_believed, *reading.not_believed),
        unread=(*findings.unread, *([reading.source.address] if full else [])),
        sources=(*findings.sources, reading.source.address),
    )


def _row(each: Finding) -> tuple[str, ...]:
    size = "" if each.size is None else f"{each.size:,}"
    status = "test" if each.is_test else each.status.word
    return (
        status,
        code(each.bucket),
        code(each.key),
        f"{each.finding}",
        size,
        f"{each.version}",
        f"{each.time}",
        each.queue,
    )
