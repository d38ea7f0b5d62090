"""Stand-in for bucketAV's scanner: scans what buckets tell its queue of, and publishes what it finds.

It works before the call is answered that has put an object, so that whoever looks sees it done. Known: it reads with
the connection role of a connected account, and otherwise with the scan role's own credentials; deletes infected files,
tags the others and reports clean ones as the stack's parameters say. Assumed: that a file that it cannot read ends in
the dead-letter queue; that one that has a result already (an add-on has moved it with its tags) is not scanned again;
that one that it may not delete or tag is reported all the same; that the size limit depends on the scanner's disk.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

from moto.s3.exceptions import AccessDeniedByLock, S3ClientError
from moto.s3.models import FakeBucket, FakeDeleteMarker, FakeKey, s3_backends
from moto.sns.models import Topic, sns_backends
from moto.sqs.models import Message, Queue

from runbook.sandbox import s3, s3_events
from runbook.sandbox.authorization import find_bucket, find_role, require
from runbook.sandbox.bucketav import connection_session
from runbook.sandbox.callers import PARTITION, Caller, role_caller
from runbook.sandbox.cloudformation.stacks import Stack, all_stacks
from runbook.sandbox.deliveries import find_queue
from runbook.sandbox.errors import NotImplementedInSandbox, Refusal
from runbook.sandbox.findings import EICAR, HARMLESS_EICAR, SIZE_LIMIT, Finding, report
from runbook.sandbox.operations import Scope, needs

NAME = "Eicar-Signature"
INSTANCE = "i-0123456789abcdef0"
_QUEUE, _ROLE, _TOPIC = "ScanQueue", "ScanRole", "FindingsTopic"


def advance() -> None:
    """Scan what there is to scan."""
    while s3_events.delivered:
        try:
            queue_arn = s3_events.delivered.popleft()
        except IndexError:  # another thread was faster
            return
        _work_on(queue_arn)


def _work_on(queue_arn: str) -> None:
    """Take the messages out of a scan queue; other queues are left alone."""
    queue, stack = find_queue(queue_arn), _stack_of(queue_arn)
    if queue is None or stack is None:
        return
    for message in _taken(queue):
        for record in _records(message):
            about = record["s3"]["object"]
            file = _find(record["s3"]["bucket"]["name"], unquote_plus(about["key"]), about.get("versionId"))
            if file is not None and not _Scanner(stack).scan(file) and queue.dead_letter_queue is not None:
                queue.dead_letter_queue.add_message(message)


def _records(message: Message) -> list[Any]:
    """Of S3's events. There are none in a test event, or in what somebody has sent by hand."""
    try:
        content = json.loads(message.body)
    except ValueError:
        return []
    return list(content.get("Records", [])) if isinstance(content, dict) else []


@dataclass(frozen=True)
class _File:
    bucket: FakeBucket
    key: FakeKey

    @property
    def parameters(self) -> dict[str, str]:
        """Of a call about it."""
        version = {"VersionId": self.version} if self.version else {}
        return {"Bucket": self.bucket.name, "Key": self.key.name, **version}

    @property
    def tags(self) -> dict[str, str]:
        tagger = s3_backends[self.bucket.account_id][PARTITION].tagger
        return dict(tagger.get_tag_dict_for_resource(self.key.arn))

    @property
    def version(self) -> str:
        """Empty in a bucket without versions."""
        return str(self.key.version_id) if self.bucket.is_versioned else ""


class _Scanner:
    """An instance of one stack, which works as its role."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._texts = stack.target.texts

    def scan(self, file: _File) -> bool:
        """Answer whether the file could be read or needs no scan; do what is to be done about it."""
        if self._texts["TagKey"] in file.tags:
            return True
        session = next((each for each in self._sessions(file) if _may_read(each, file)), None)
        if session is None:
            return False
        finding = _look_at(file)
        if finding.status == "infected" and self._texts["DeleteInfectedFiles"] == "true":
            _delete(session, file)
        elif self._texts["TagFiles"] == "true":
            _tag(session, file, self._texts["TagKey"], finding.status)
        if finding.status != "clean" or self._texts["ReportCleanFiles"] == "true":
            self._report(finding)
        return True

    def _sessions(self, file: _File) -> list[Caller]:
        """The connection role where the bucket's account is connected, then the scan role."""
        own, connected = self._own(), None
        if own is not None:
            with _refusals():
                connected = connection_session(own, self._stack, file.bucket.account_id)
        return [session for session in (connected, own) if session is not None]

    def _own(self) -> Caller | None:
        name = self._stack.resources[_ROLE].physical_id
        role = find_role(f"arn:{PARTITION}:iam::{self._stack.account}:role/{name}")
        return role_caller(role, INSTANCE, self._stack.region) if role else None

    def _report(self, finding: Finding) -> None:
        arn, own = self._stack.resources[_TOPIC].physical_id, self._own()
        topic: Topic | None = sns_backends[self._stack.account][self._stack.region].topics.get(arn)
        if topic is not None and own is not None:
            with _refusals():
                require(own, "sns:Publish", arn, self._stack.account)
                report(topic, finding)


def _look_at(file: _File) -> Finding:
    about: dict[str, Any] = {
        "bucket": file.bucket.name,
        "key": file.key.name,
        "size": file.key.size,
        "version": file.version,
    }
    if file.key.size > SIZE_LIMIT:
        return Finding(status="no", **about)
    infected = file.key.value.decode(errors="replace").startswith((EICAR, HARMLESS_EICAR))
    return Finding(status="infected", finding=NAME, **about) if infected else Finding(status="clean", **about)


def _may_read(session: Caller, file: _File) -> bool:
    with _refusals() as refused:
        _require(session, "GetObject", file)
        s3.require_decryption(session, file.bucket, file.key)
    return not refused


def _delete(session: Caller, file: _File) -> None:
    with _refusals():
        _require(session, "DeleteObject", file)
        backend = s3_backends[file.bucket.account_id][PARTITION]
        backend.delete_object(file.bucket.name, file.key.name, version_id=file.version or None)


def _tag(session: Caller, file: _File, name: str, value: str) -> None:
    """Other tags stay."""
    with _refusals():
        _require(session, "GetObjectTagging", file)
        _require(session, "PutObjectTagging", file)
        backend = s3_backends[file.bucket.account_id][PARTITION]
        backend.put_object_tagging(file.key, {**file.tags, name: value})


@contextmanager
def _refusals() -> Iterator[list[S3ClientError]]:
    """What AWS refuses inside ends it, and is in the list; what the sandbox cannot tell is an error."""
    refused: list[S3ClientError] = []
    try:
        yield refused
    except NotImplementedInSandbox:
        raise
    except (Refusal, AccessDeniedByLock) as refusal:
        refused.append(refusal)


def _require(session: Caller, operation: str, file: _File) -> None:
    """Raise AccessDenied unless the session may do that with the file."""
    for need in needs("s3", operation, file.parameters, Scope(session, file.bucket.region_name)):
        require(session, need.action, need.resource, need.account, need.context)


def _find(bucket_name: str, key: str, version: str | None) -> _File | None:
    """The object that a message is about; None when it is gone by now."""
    bucket = find_bucket(bucket_name)
    versions = bucket.keys.getlist(key) if bucket is not None and key in bucket.keys else []
    found = next((each for each in versions if version in (None, each.version_id)), None)
    if bucket is None or found is None or isinstance(found, FakeDeleteMarker):
        return None
    return _File(bucket, found)


def _taken(queue: Queue) -> list[Message]:
    """All messages that nobody else works on."""
    with queue._messages_lock:
        taken = queue.messages
        queue._messages = [each for each in queue._messages if each not in taken]
    return taken


def _stack_of(queue_arn: str) -> Stack | None:
    """The stack of bucketAV whose scan queue that is."""
    for stack in all_stacks():
        queue = stack.resources.get(_QUEUE)
        there = {name for name, each in stack.resources.items() if not each.status.startswith("DELETE")}
        if queue is not None and {_QUEUE, _ROLE, _TOPIC} <= there and queue.model.queue_arn == queue_arn:
            return stack
    return None
