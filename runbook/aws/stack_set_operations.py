"""Operations of stack sets: one at a time, followed account by account, and told with what failed where and why."""

import re
import time
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from runbook import aws_errors, markdown
from runbook.aws.cloudformation import Pauses
from runbook.aws.kinds import Report
from runbook.aws.likely_causes import likely_cause
from runbook.aws.organizations import read_organization
from runbook.aws.stack_sets import (
    Administrator,
    Operation,
    StackSetError,
    client_of,
    running_operation,
)
from runbook.environment import Environment
from runbook.untrusted import NOTHING, Untrusted, code

HOURS = 12
"""How long an operation is followed. Five hundred accounts, ten at a time and two minutes each, take under two."""

NAMED = 10
"""So many accounts are named for each reason."""


class OperationFailed(StackSetError):
    """An operation did not reach every account: which, and why."""


@dataclass(frozen=True)
class Result:
    """What became of one account in an operation."""

    account: str
    status: str
    reason: Untrusted = NOTHING


class Operations:
    """What is done to one stack set, one operation after the other."""

    def __init__(self, environment: Environment, administrator: Administrator, name: str, report: Report) -> None:
        self._environment = environment
        self._administrator = administrator
        self._name = name
        self._report = report
        self._client: Any = client_of(environment, administrator)

    def run(self, call: str, arguments: Mapping[str, Any], what: str) -> str:
        """Begin an operation by `call` (`create_stack_instances`), follow it, and say how it went.

        Raises OperationFailed when an account failed, or was not come to because too many had.
        """
        began = time.monotonic()
        identifier = self._begin(call, arguments)
        status, why = self._follow(identifier)
        results = self._results(identifier)
        failed = [each for each in results if each.status in ("FAILED", "CANCELLED")]
        if failed or status != "SUCCEEDED":
            raise OperationFailed(self._told(what, status, why, results, failed))
        seconds = round(time.monotonic() - began)
        return f"Stack set {code(self._name)}: {what} in {markdown.count(len(results), 'account')} after {seconds} s."

    def wait_until_idle(self) -> None:
        """Let an operation that somebody else has begun come to its end. Raises StackSetError when it never does."""
        wait_until_idle(self._environment, self._administrator, self._name, self._report)

    def _begin(self, call: str, arguments: Mapping[str, Any]) -> str:
        """The id of the operation. It is the same however often the call is repeated, so that none is begun twice."""
        identifier = f"bucketav-runbook-{uuid.uuid4()}"
        pauses = Pauses()
        while True:
            self.wait_until_idle()
            try:
                getattr(self._client, call)(
                    StackSetName=self._name, OperationId=identifier, CallAs=self._administrator.call_as, **arguments
                )
            except ClientError as error:
                if aws_errors.code(error).startswith("OperationIdAlreadyExists"):
                    return identifier  # it was begun by a call whose answer was lost
                if not aws_errors.code(error).startswith("OperationInProgress"):
                    raise
                _refuse_endless(pauses, self._name)
                pauses.sleep()  # somebody was quicker
                continue
            return identifier

    def _follow(self, identifier: str) -> tuple[str, Untrusted]:
        """The status that the operation ended with, and the reason if there is one."""
        pauses = Pauses()
        while True:
            answer = self._client.describe_stack_set_operation(
                StackSetName=self._name, OperationId=identifier, CallAs=self._administrator.call_as
            )["StackSetOperation"]
            operation = Operation(identifier, answer["Action"], answer["Status"])
            if not operation.running:
                return operation.status, Untrusted(str(answer.get("StatusReason", "")).rstrip("."))
            _refuse_endless(pauses, self._name)
            self._report(progress_line(self._name, self._results(identifier)))
            pauses.sleep()

    def _results(self, identifier: str) -> list[Result]:
        return read_results(self._environment, self._administrator, self._name, identifier)

    def _told(self, what: str, status: str, why: Untrusted, results: Sequence[Result], failed: Sequence[Result]) -> str:
        done = [each for each in results if each.status == "SUCCEEDED"]
        head = f"Stack set {code(self._name)}: {what} in {len(done)} of {markdown.count(len(results), 'account')}."
        if status != "SUCCEEDED":
            head += f" The operation ended {status}" + (f": {why}." if why else ".")
        return "\n".join([head, *grouped(failed, self._names())])

    def _names(self) -> Mapping[str, Untrusted]:
        """What the organization calls its accounts; nothing where that cannot be asked any more."""
        organization = read_organization(self._environment, self._administrator.account)
        return {each: name for each, (name, _) in ((organization and organization.members) or {}).items()}


def wait_until_idle(environment: Environment, administrator: Administrator, name: str, report: Report) -> None:
    """Wait until nothing goes on in a stack set. Raises StackSetError when that takes more than HOURS."""
    pauses = Pauses()
    while operation := running_operation(environment, administrator, name):
        _refuse_endless(pauses, name)
        results = read_results(environment, administrator, name, operation.id)
        line = progress_line(name, results)
        report(f"{line}. That is operation {operation.action} {operation.id}: waiting until it is over.")
        pauses.sleep()


def read_results(environment: Environment, administrator: Administrator, name: str, operation: str) -> list[Result]:
    """What became of each account in an operation so far."""
    client = client_of(environment, administrator)
    pages = client.get_paginator("list_stack_set_operation_results").paginate(
        StackSetName=name, OperationId=operation, CallAs=administrator.call_as
    )
    return [
        Result(each["Account"], each["Status"], Untrusted(each.get("StatusReason", "").rstrip(".")))
        for page in pages
        for each in page["Summaries"]
    ]


def progress_line(name: str, results: Sequence[Result]) -> str:
    """`Stack set bucketav-account-connection: 120 of 200 accounts, 3 failed`."""
    statuses = Counter(each.status for each in results)
    over = len(results) - statuses["PENDING"] - statuses["RUNNING"]
    failed = f", {statuses['FAILED']} failed" if statuses["FAILED"] else ""
    return f"Stack set {code(name)}: {over} of {markdown.count(len(results), 'account')}{failed}"


def grouped(failed: Sequence[Result], names: Mapping[str, Untrusted]) -> list[str]:
    """The accounts that failed, those together that did so for the same reason, and what is likely behind it."""
    reasons: dict[tuple[str, str], list[Result]] = {}
    for each in failed:
        reasons.setdefault((each.status, _without_ids(each)), []).append(each)
    lines = []
    for (status, _), alike in reasons.items():
        accounts = sorted(each.account for each in alike)
        shown = [f"{each} ({names[each]})" if each in names else each for each in accounts]
        reason = alike[0].reason or Untrusted("no reason is given")
        of_whom = "" if len(alike) == 1 else f", of {alike[0].account} for example"
        what = "not come to" if status == "CANCELLED" else "failed"
        likely = likely_cause(reason.raw)
        lines.append(f"- {markdown.joined(shown, NAMED)} {what}{of_whom}: {reason}.{f' {likely}' if likely else ''}")
    return lines


def _without_ids(result: Result) -> str:
    """The reason without what is another one for each account: its id, and ids of requests and sessions."""
    return re.sub(r"\b(?=\w*[0-9])[0-9a-f-]{12,}\b", "…", result.reason.raw.replace(result.account, "…"))


def _refuse_endless(pauses: Pauses, name: str) -> None:
    if pauses.seconds > HOURS * 3600:
        raise StackSetError(
            f"An operation of stack set {code(name)} is not over after {HOURS} hours. See in CloudFormation what it "
            "waits for, and run this again when it is through."
        )
