"""The way through the bucket policy step, as the tests of it go."""

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from runbook.checks import Check, Status
from runbook.environment import Environment
from runbook.procedure import Procedure
from runbook.sandbox import clock
from tests.world import policies

Through = Callable[..., Procedure]


def open_buckets(procedure: Procedure) -> Path:
    """Check, plan, apply and verify; the run folder."""
    procedure.verify(procedure.apply(procedure.plan()))
    assert procedure.folder
    return procedure.folder


def put_policy(environment: Environment, account: str, bucket: str, statement: dict[str, Any]) -> None:
    """Somebody else adds a statement to a bucket's policy."""
    client = environment.client("s3", environment.account_id(account))
    present = policies(environment)[f"arn:aws:s3:::{bucket}"]
    body: dict[str, Any] = json.loads(present) if present else {"Version": "2012-10-17", "Statement": []}
    body["Statement"].append(statement)
    client.put_bucket_policy(Bucket=bucket, Policy=json.dumps(body))


def foreign_statement(bucket: str, account: str = "444444444444") -> dict[str, Any]:
    return {
        "Sid": "SomebodyElse",
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{account}:root"},
        "Action": "s3:GetObject",
        "Resource": f"arn:aws:s3:::{bucket}/*",
    }


def deny(environment: Environment, action: str, account: str = "111111111111") -> None:
    """Keep the role that the environment works with in an account (account a by default) from something."""
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": action, "Resource": "*"}]}
    environment.client("iam", account).put_role_policy(
        RoleName="OrganizationAccountAccessRole", PolicyName="deny", PolicyDocument=json.dumps(policy)
    )


def answer(checks: Iterable[Check], title: str, status: Status) -> str:
    """What the checks of a title that came out as `status` say, all together."""
    found = [f"{check.subject}: {check.answer}" for check in checks if check.title == title and check.status is status]
    assert found, f"{title} is not {status}: {checks!r}"
    return "\n".join(found)


def let_time_pass_by_what_is_told(monkeypatch: pytest.MonkeyPatch, told: Sequence[str]) -> None:
    """In the sandbox, a quarter of an operation with each line, and none by itself, however slow the machine is."""
    start = clock.now()
    monkeypatch.setattr(clock, "now", lambda: start + len(told) * clock.OPERATION_SECONDS / 4)
    monkeypatch.setattr(clock, "PLANNING_SECONDS", 0)
