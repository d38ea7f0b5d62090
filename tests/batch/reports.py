"""A batch of 300 jobs as it may have ended, with what its jobs left in their folders, for tests of its report."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from runbook.batch.record import Batch, JobRecord, State
from runbook.execute import NOTEBOOK, REPORT
from runbook.journal import Journal
from runbook.plan import Change, Plan, Resource

REGION = "eu-west-1"
ROLE = "arn:aws:iam::111111111111:role/bucketav-ScanRole-EXAMPLE"
ACTIONS = ("s3:ListBucket", "s3:GetObject", "s3:PutObjectTagging")
CONNECT = "connect the account to bucketAV: create stack `bucketav-account-connection`, version 2.0.0"
NOT_THERE = "ChecksFailed: Nothing was changed, because checks failed (7 ok, 1 failed):\n✗ The bucket is there: {}: There is no such bucket in account {}. Correct `buckets`."  # noqa: E501 (as it is said)
DENIED = "ApplyFailed: cloudformation.stack of {}: Not allowed: cloudformation:CreateStack in {} (request {}).\nThe change was not made."  # noqa: E501 (as it is said)


def account_number(number: int) -> str:
    return f"{200_000_000_000 + 37 * number}"


def a_batch(folder: Path, accounts: int = 150, *, apply: bool = True) -> Batch:
    """Accounts that are each connected and then open a bucket; some of them meet what accounts meet."""
    jobs = [job for number in range(accounts) for job in _of_account(folder, number, apply=apply)]
    return Batch(
        fleet="accounts",
        folder=str(folder),
        apply=apply,
        workers=4,
        started="2026-11-24T16:00:00.545+00:00",
        seconds=1443.2,
        jobs=tuple(jobs),
    )


def a_job(name: str = "connect[222222222222]", state: State = "done", **values: Any) -> JobRecord:
    """One job; what is not given is as in most."""
    given: dict[str, Any] = {
        "notebook": "02-iam-role",
        "scenario": "",
        "account": "222222222222",
        "seconds": 4.25,
        "cell": "",
        "error": "",
        "result": {},
        "folder": f"jobs/{name}",
        "attempts": 1,
    }
    return JobRecord(name=name, state=state, **(given | values))


def _of_account(folder: Path, number: int, *, apply: bool) -> Iterator[JobRecord]:
    account, bucket = account_number(number), f"data-{number:04}"
    connect, policy = f"connect[{account}]", f"policy[{account}]"
    common: dict[str, Any] = {"account": account, "seconds": 3 + number % 7 / 3}
    opens = common | {"notebook": "05-bucket-policy"}
    if apply and number == 60:
        arn = f"arn:aws:cloudformation:{REGION}:{account}:stack/bucketav-account-connection"
        error = DENIED.format(arn, account, "5b2a6a2e-0000-4000-8000-1c9d2f3a4b5c")
        result = _left(folder, connect, "02-iam-role", [_connection(account)], "apply-failed", done=0)
        yield a_job(connect, "failed", **common, cell="apply", error=error, result=result)
        error = f"It needs {connect}, which has failed."
        yield a_job(policy, "not-started", **(opens | {"attempts": 0, "seconds": 0.0}), error=error)
        return
    result = _left(folder, connect, "02-iam-role", [_connection(account)], "done" if apply else "checked")
    yield a_job(connect, **common, result=result)
    change = _opened(account, bucket, number)
    if apply and number % 50 == 7:
        error = NOT_THERE.format(bucket, account)
        result = _left(folder, policy, "05-bucket-policy", [], "checks-failed", subject=bucket)
        yield a_job(policy, "failed", **opens, cell="check", error=error, result=result)
    elif apply and number == 100:
        error = "The cell took longer than the 600 s that it may take."
        changes = [change, _opened(account, f"{bucket}-more", number)]
        result = _left(folder, policy, "05-bucket-policy", changes, "applying", done=1, started=1)
        yield a_job(policy, "timed-out", **(opens | {"seconds": 612.0}), cell="apply", error=error, result=result)
    elif apply and number == 120:
        yield a_job(policy, "crashed", **opens, cell="plan", error="The notebook's kernel died.")
    else:
        result = _left(folder, policy, "05-bucket-policy", [change], "done" if apply else "checked", subject=bucket)
        yield a_job(policy, **opens, result=result)


def _left(
    batch: Path,
    name: str,
    notebook: str,
    changes: list[Change],
    status: str,
    *,
    done: int | None = None,
    started: int = 0,
    subject: str = "an account",
) -> dict[str, Any]:
    """Put a plan, notebooks and, of a run that came not to its end, a journal into the job's folder; its result."""
    folder = batch / "jobs" / name
    folder.mkdir(parents=True)
    for file in (NOTEBOOK, REPORT):
        (folder / file).write_text("an executed notebook")
    plan = Plan(step=notebook, scenario="", environment="sandbox", parameters={}, changes=tuple(changes))
    (folder / "plan.json").write_text(plan.to_json())
    if done is not None:
        events = [("done", index) for index in range(done)] + [("started", done + index) for index in range(started)]
        for event, index in events:
            Journal(folder).write(event, index=index)
    ok = {"title": "Is it?", "status": "ok", "found": "Yes.", "remedy": "", "subjects": [subject] * 7}
    bad = {"title": "The bucket is there", "status": "failed", "found": "No.", "remedy": "Do.", "subjects": [subject]}
    preview = status == "checked"
    result: dict[str, Any] = {
        "mode": "preview" if preview else "apply",
        "status": status,
        "checks": [ok, bad] if status == "checks-failed" else [ok],
    }
    if status != "checks-failed":
        listed = [{"resource": str(change.resource), "summary": change.summary} for change in changes]
        result |= {"plan": plan.summary, "changes": listed}
    if status in ("done", "checked"):
        answers = [{"action": action, "before": "denied", "after": "allowed"} for action in ACTIONS]
        resources = [f"{change.resource.account}/{change.name}" for change in changes]
        access = [{"principal": ROLE, "resources": resources, "answers": answers}]
        result |= {"verification": [ok], "access": access if notebook == "05-bucket-policy" else []}
    return result


def _connection(account: str) -> Change:
    arn = f"arn:aws:cloudformation:{REGION}:{account}:stack/bucketav-account-connection"
    after = {
        "Parameters": {"BucketAVAccountId": "111111111111", "BucketAVStackName": "bucketav"},
        "TemplateURL": "https://bucketav-add-ons.s3.eu-west-1.amazonaws.com/account-connection/v2.0.0/template.yaml",
    }
    resource = Resource(kind="cloudformation.stack", account=account, region=REGION, arn=arn)
    return Change(resource=resource, summary=CONNECT, before=None, after=json.dumps(after))


def _opened(account: str, bucket: str, number: int) -> Change:
    """What 05-bucket-policy does to a bucket, of which some have a policy already, and one in 15 one of its own."""
    arn = f"arn:aws:s3:::{bucket}"
    tls = {"Sid": "TLS", "Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": [arn, f"{arn}/*"]}
    own = {"Sid": f"Partner{number}", "Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": arn}
    present = [tls] * (number % 3 == 1) + [own] * (number % 15 == 2)
    granted = [
        {"Sid": sid, "Effect": "Allow", "Principal": {"AWS": ROLE}, "Action": action, "Resource": resource}
        for sid, action, resource in (
            ("bucketAVRequired1", "s3:ListBucket*", arn),
            ("bucketAVRequired2", "s3:GetObject*", f"{arn}/*"),
        )
    ]
    before, after = ({"Version": "2012-10-17", "Statement": each} for each in (present, present + granted))
    return Change(
        resource=Resource(kind="s3.bucket-policy", account=account, region=REGION, arn=arn),
        summary=f"let bucketAV's scan role list, read and tag in `{bucket}`",
        before=json.dumps(before) if present else None,
        after=json.dumps(after),
    )
