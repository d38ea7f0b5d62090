"""What is found about buckets that real accounts have, and that nothing is called allowed by guess."""

import json
from typing import Any

import pytest

from runbook.aws import s3
from runbook.aws.cloudformation import StackError, read_stack
from runbook.checks import Status
from runbook.environment import AccountError, Environment, load_environment
from runbook.sandbox import server
from runbook.sandbox.server import Sandbox
from tests.steps.way import Through, open_buckets, put_policy
from tests.world import bucket_policy


def deny(bucket: str, resource: str = "/*", action: str = "s3:GetObject", **condition: Any) -> dict[str, Any]:
    statement = {
        "Sid": "Guard",
        "Effect": "Deny",
        "Principal": "*",
        "Action": action,
        "Resource": f"arn:aws:s3:::{bucket}{resource}",
    }
    return statement | ({"Condition": condition} if condition else {})


CONDITIONS: dict[str, dict[str, Any]] = {
    "multi-factor authentication": {"BoolIfExists": {"aws:MultiFactorAuthPresent": "false"}},
    "the instance's role delivery": {"NumericLessThan": {"ec2:RoleDelivery": "2.0"}},
    "the VPC endpoint": {"StringNotEquals": {"aws:SourceVpce": "vpce-1"}},
    "the source address": {"NotIpAddress": {"aws:SourceIp": "10.0.0.0/8"}},
    "the time": {"DateGreaterThan": {"aws:CurrentTime": "2030-01-01T00:00:00Z"}},
    "an object's tag": {"StringEquals": {"s3:ExistingObjectTag/secret": "yes"}},
}


@pytest.mark.parametrize("condition", CONDITIONS.values(), ids=CONDITIONS)
def test_a_deny_that_turns_on_what_nobody_knows_is_not_called_harmless(
    condition: dict[str, Any], procedure: Through, environment: Environment
) -> None:
    put_policy(environment, "b", "uploads-b", deny("uploads-b", **condition))
    checks = procedure("one-bucket").check()
    (warning,) = [check for check in checks.with_status(Status.WARNING) if check.title == "The grant is of use"]
    assert "cannot be told" in warning.found
    assert "Guard" in warning.found


@pytest.mark.parametrize(
    "condition",
    [
        {"Bool": {"aws:SecureTransport": "false"}},
        {"NumericLessThan": {"s3:TlsVersion": "1.2"}},
        {"StringNotEquals": {"aws:PrincipalOrgID": "o-exampleorg"}},
        {"StringNotEquals": {"aws:PrincipalAccount": ["111111111111", "222222222222"]}},
    ],
    ids=json.dumps,
)
def test_the_denies_of_security_baselines_are_known_to_be_harmless(
    condition: dict[str, Any], procedure: Through, environment: Environment
) -> None:
    put_policy(environment, "b", "uploads-b", deny("uploads-b", **condition))
    assert procedure("one-bucket").check().summary == "9 ok"


def test_a_deny_for_a_part_of_the_objects_is_told(procedure: Through, environment: Environment) -> None:
    put_policy(environment, "b", "uploads-b", deny("uploads-b", "/private/*"))
    checks = procedure("one-bucket").check()
    (warning,) = checks.with_status(Status.WARNING)
    assert "Objects like arn:aws:s3:::uploads-b/private/* are an exception" in warning.found


def test_what_was_allowed_before_is_not_called_nothing_beyond(procedure: Through, environment: Environment) -> None:
    role = read_stack(environment).output("ScanRoleArn")
    grant = {
        "Effect": "Allow",
        "Principal": {"AWS": role},
        "Action": "s3:DeleteObject",
        "Resource": "arn:aws:s3:::uploads-b/*",
    }
    put_policy(environment, "b", "uploads-b", grant)
    applying = procedure("one-bucket", delete_infected_files="never")
    verification = applying.verify(applying.apply(applying.plan()))
    (warning,) = verification.checks.with_status(Status.WARNING)
    assert warning.found.startswith("s3:DeleteObject may be allowed as well, by what was there before")


def test_a_removal_is_said_in_the_summary(procedure: Through) -> None:
    open_buckets(procedure("one-bucket"))
    (change,) = procedure("one-bucket", delete_infected_files="never").plan().changes
    assert "list, read, tag, and no longer delete, in `uploads-b`" in change.summary


def test_credentials_that_are_not_account_a_s_open_nothing(
    sandbox: Sandbox, procedure: Through, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong role for `a` would open buckets to another installation's scan role."""
    monkeypatch.setenv(server.VARIABLE, sandbox.endpoint_url)
    environment = load_environment("sandbox")
    role = "arn:aws:iam::111111111111:role/OrganizationAccountAccessRole"
    wrong = environment.file.accounts["a"].model_copy(update={"account_id": "444444444444", "role_arn": role})
    environment.file.accounts["a"] = wrong
    with pytest.raises(AccountError, match="belong to account 111111111111"):
        procedure("one-bucket").step.observe(environment)


def test_a_scan_role_of_another_account_is_refused(
    procedure: Through, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    from runbook.aws.cloudformation import Stack

    monkeypatch.setattr(Stack, "output", lambda *_: "arn:aws:iam::444444444444:role/evil")
    with pytest.raises(StackError, match="Nothing is opened to a role of another account"):
        procedure("one-bucket").step.observe(environment)


def test_an_account_that_cannot_be_reached_does_not_hide_the_others(procedure: Through) -> None:
    plan = procedure(buckets=["b/uploads-b", "555555555555/elsewhere"]).plan()
    assert [change.name for change in plan.changes] == ["uploads-b"]
    assert plan.left_out == ("555555555555/elsewhere",)


def test_a_policy_that_cannot_be_understood_stands_against_its_own_bucket_only(
    procedure: Through, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = s3._policy

    def odd(client: Any, account: str, name: str) -> str | None:
        return '{"Statement": 1, "Statement": 2}' if name == "archive-c" else read(client, account, name)

    monkeypatch.setattr(s3, "_policy", odd)
    previewed = procedure(buckets=["b/uploads-b", "c/archive-c"])
    (failed,) = previewed.check().with_status(Status.FAILED)
    assert (failed.title, failed.subject) == ("Its policy can take the statements", "333333333333/archive-c")
    assert "stands twice" in failed.found
    previewed.verify(previewed.preview(previewed.plan()))


def test_a_former_scan_role_is_recognised_as_ours(procedure: Through, environment: Environment) -> None:
    """bucketAV was installed anew: the old role's statements show its id, and keep the policy from being stored."""
    open_buckets(procedure("one-bucket"))
    role = read_stack(environment).output("ScanRoleArn").rsplit("/", 1)[-1]
    old = bucket_policy(environment, "uploads-b").replace(
        f"arn:aws:iam::111111111111:role/{role}", "AROAQBVFORMERROLE123"
    )
    from moto.s3.models import s3_backends

    s3_backends["222222222222"]["aws"].buckets["uploads-b"].policy = old.encode()
    (failed,) = procedure("one-bucket").check().with_status(Status.FAILED)
    assert "AROAQBVFORMERROLE123" in failed.found
    assert "for a role that was replaced" in failed.remedy


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ("UPDATE_ROLLBACK_COMPLETE", Status.OK),
        ("UPDATE_IN_PROGRESS", Status.WARNING),
        ("UPDATE_ROLLBACK_FAILED", Status.WARNING),
        ("DELETE_IN_PROGRESS", Status.FAILED),
        ("ROLLBACK_COMPLETE", Status.FAILED),
    ],
)
def test_the_status_of_the_stack_counts(
    found: str, expected: Status, procedure: Through, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    monkeypatch.setattr(
        "runbook.steps.openings.read_stack", lambda environment: replace(read_stack(environment), status=found)
    )
    (check,) = [check for check in procedure("one-bucket").check() if check.title == "bucketAV is installed"]
    assert (check.status, found in check.found) == (expected, True)


def test_a_key_that_one_bucket_opens_is_open_for_the_other(procedure: Through, environment: Environment) -> None:
    client = environment.client("s3", "222222222222")
    rule = client.get_bucket_encryption(Bucket="documents-b")["ServerSideEncryptionConfiguration"]
    client.put_bucket_encryption(Bucket="uploads-b", ServerSideEncryptionConfiguration=rule)
    step = procedure(buckets=["b/documents-b", "b/uploads-b"], key_policy="change")
    assert [change.resource.kind for change in step.plan().changes] == [
        "kms.key-policy",
        "s3.bucket-policy",
        "s3.bucket-policy",
    ]


def test_a_plan_says_how_many_buckets_are_as_they_should_be_and_what_many_are_left_out_for(procedure: Through) -> None:
    open_buckets(procedure("one-bucket"))
    gone = [f"b/gone-{number}" for number in range(4)]
    plan = procedure(buckets=["b/uploads-b", "b/website-uploads-b", "b/legacy-b", *gone]).plan()
    assert [change.name for change in plan.changes] == ["website-uploads-b"]
    assert plan.notes[1:] == (
        "1 bucket more on the list: nothing to change there.",
        "Checks that failed, and for how many: "
        "Its policy can take the statements (1), The bucket is the account's (4).",
    )
