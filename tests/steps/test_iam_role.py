"""Connecting accounts by role in the sandbox: the way through, what goes wrong on it, and who really gets in."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from runbook.aws import cloudformation
from runbook.aws.cloudformation import read_stack
from runbook.by_hand import by_hand
from runbook.checks import ChecksFailed, Status
from runbook.environment import AccountError, Environment, load_environment
from runbook.parameters import ParameterError
from runbook.plan import Plan
from runbook.policy.evaluate import Verdict
from runbook.procedure import Procedure
from runbook.progress import silent
from runbook.run import ApplyFailed, StalePlan, apply, undo
from runbook.sandbox import clock
from runbook.steps.iam_role import IamRole
from runbook.steps.iam_role_plan import changes_of
from runbook.steps.iam_role_state import Wish, observe
from runbook.steps.scenarios import make_step, scenario_names
from tests.steps.way import Through, answer, deny, let_time_pass_by_what_is_told, open_buckets
from tests.world import connections

A, B, C, D, E, F = (digit * 12 for digit in "123457")
PILOT, SEALED = "888888888888", "121212121212"
NAME, ROLE = "bucketav-account-connection", "bucketav-AccountConnection"
URL = "https://{}.s3.eu-west-1.amazonaws.com/template.yaml"

FREE, TAKES = "The role's name is free", "The connection stack takes the change"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stacks take a moment instead of a fifth of a second, and are looked at as often."""
    monkeypatch.setattr(clock, "OPERATION_SECONDS", 0.04)
    monkeypatch.setattr(clock, "PLANNING_SECONDS", 0.01)
    monkeypatch.setattr(clock, "CUSTOM_RESOURCE_SECONDS", 0.1)
    monkeypatch.setattr(cloudformation, "PAUSES", (0.01,))


@pytest.fixture
def procedure(environment: Environment, tmp_path: Path) -> Through:
    """Make a procedure from a scenario and values; each has a run folder of its own."""

    def make(scenario: str = "", *, apply: bool = False, within: Environment = environment, **given: Any) -> Procedure:
        step = make_step(IamRole, scenario, given)
        step.examine(within)
        folder = tmp_path / f"run-{len(list(tmp_path.iterdir()))}"
        return Procedure(step, within, scenario=scenario, apply=apply, folder=str(folder))

    return make


@pytest.fixture
def unchecked(environment: Environment, tmp_path: Path) -> Callable[..., Path]:
    """Apply what a plan would be if no check stood against it; the run folder is there even if that failed."""

    def go(folder: str = "unchecked", **given: Any) -> Path:
        step = make_step(IamRole, "", given)
        wish = step.wish(environment) if A not in given.get("accounts", ()) else _with_account_a(environment)
        state = observe(environment, wish, silent)
        changes = tuple(changes_of(environment, state, ()))
        plan = Plan(step="test", scenario="", environment="sandbox", parameters={}, changes=changes)
        assert changes
        apply(plan, environment, tmp_path / folder)
        return tmp_path / folder

    return go


def _with_account_a(environment: Environment) -> Wish:
    return replace(make_step(IamRole, "", {"accounts": ["b"]}).wish(environment), connect=(A,))


def finish(environment: Environment, account: str, name: str = NAME, region: str = "eu-west-1") -> str:
    """The status of a stack once no operation goes on."""
    client = environment.client("cloudformation", account, region)
    while (found := client.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"]).endswith("_IN_PROGRESS"):
        pass
    return str(found)


def template(environment: Environment, version: str = "2.0.0") -> str:
    """The template as the sandbox publishes it."""
    body: str = (
        environment.client("s3", A)
        .get_object(
            Bucket="bucketav-add-ons", Key=f"account-connection/v{version}/bucketav-add-on-account-connection.yaml"
        )["Body"]
        .read()
        .decode()
    )
    return body


def by_somebody(
    environment: Environment, account: str, name: str = NAME, body: str = "", region: str = "eu-west-1", **options: Any
) -> str:
    """Somebody else creates a connection stack; its final status."""
    environment.client("cloudformation", account, region).create_stack(
        StackName=name,
        TemplateBody=body or template(environment),
        Capabilities=["CAPABILITY_NAMED_IAM"],
        Parameters=[{"ParameterKey": "BucketAVAccountId", "ParameterValue": A}],
        **options,
    )
    return finish(environment, account, name, region)


def make_role(environment: Environment, account: str = B, name: str = ROLE) -> None:
    statement = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
    trust = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    environment.client("iam", account).create_role(RoleName=name, AssumeRolePolicyDocument=trust)


def allowlist(environment: Environment, *accounts: str, organizations: str = "") -> None:
    """Set the two lists of bucketAV's stack."""
    client = environment.client("cloudformation", A)
    values = {"AWSAccountRestriction": ",".join(accounts), "AWSOrganizationRestriction": organizations}
    client.update_stack(
        StackName="bucketav",
        UsePreviousTemplate=True,
        Capabilities=["CAPABILITY_IAM"],
        Parameters=[
            {"ParameterKey": name, "ParameterValue": values[name]}
            if name in values
            else {"ParameterKey": name, "UsePreviousValue": True}
            for name in read_stack(environment).parameters
        ],
    )
    assert finish(environment, A, "bucketav") == "UPDATE_COMPLETE"


def publish(environment: Environment, body: str, bucket: str = "public-assets-b") -> str:
    """Put a template where anybody may read it; its address."""
    environment.client("s3", B).put_object(Bucket=bucket, Key="template.yaml", Body=body.encode())
    return URL.format(bucket)


def stacks(environment: Environment, account: str) -> set[str]:
    client = environment.client("cloudformation", account)
    return {each["StackName"] for each in client.describe_stacks()["Stacks"]}


def has_role(environment: Environment, account: str) -> bool:
    return ROLE in {each["RoleName"] for each in environment.client("iam", account).list_roles()["Roles"]}


# --- the way through -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scenario", scenario_names("02-iam-role"))
def test_every_scenario_applies_once_and_is_taken_back(
    scenario: str, procedure: Through, environment: Environment
) -> None:
    before = connections()
    folder = open_buckets(procedure(scenario, apply=True))
    after = connections()
    assert after != before
    assert procedure(scenario).plan().changes == ()
    undo(folder, environment)
    assert connections() == before


def test_an_account_is_connected_with_stack_role_and_item(procedure: Through, environment: Environment) -> None:
    open_buckets(procedure("one-account"))
    found = connections()
    assert f"{B} {NAME}" in found.stacks
    assert B in found.roles
    (item,) = [json.loads(each) for each in found.items if B in each]
    assert item["stack_name"]["S"] == NAME
    assert item["role_name"]["S"] == ROLE
    assert item["stack_version"]["S"] == "2.0.0"


def test_an_update_keeps_what_is_not_given_and_changes_what_is(procedure: Through, environment: Environment) -> None:
    bucket = "arn:aws:s3:::uploads-b"
    open_buckets(
        procedure(accounts=["b"], template_version="1.0.0", template_parameters={"S3BucketRestriction": bucket})
    )
    updating = procedure(accounts=["b"], template_parameters={"KMSKeyRestriction": "arn:aws:kms:eu-west-1:1:key/x"})
    plan = updating.plan()
    assert plan.changes[0].summary == f"update stack `{NAME}` from version 1.0.0 to 2.0.0"
    assert "An update keeps the values of parameters that are not given." in plan.notes
    updating.verify(updating.apply(plan))
    parameters = cloudformation.read_stack_at(environment, B, "eu-west-1", NAME).parameters
    assert parameters["S3BucketRestriction"] == bucket
    assert parameters["KMSKeyRestriction"] == "arn:aws:kms:eu-west-1:1:key/x"


def test_the_plan_shows_the_template_and_in_short_what_it_makes(procedure: Through, environment: Environment) -> None:
    plan = procedure("one-account").plan()
    shown = plan.to_markdown()
    for line in template(environment).splitlines():
        assert line in shown
    assert "| `Role` | `AWS::IAM::Role` |" in shown
    assert "`sts:ExternalId` StringEquals `UNIQUE-ID-OF-THE-STACK`" in shown
    assert "| Allow | `s3:GetObject*` | `*` |  |" in shown
    assert "- add Connection (Custom::AccountConnection)" in shown
    assert {entry for change in plan.changes for entry in change.outline} == {
        "iam-role.connect",
        "iam-role.connect-account",
    }


def test_accounts_that_are_alike_are_told_once(procedure: Through) -> None:
    shown = procedure("several-accounts").plan().to_markdown()
    assert shown.count("```diff") == 1
    assert f"… and the same in account {F}." in shown


def test_progress_and_the_run_tell_what_cloudformation_does(
    environment: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    let_time_pass_by_what_is_told(monkeypatch, told)
    applying = Procedure(
        make_step(IamRole, "one-account", {}),
        environment,
        folder=str(tmp_path / "run"),
        progress=lambda _done, _of, what: told.append(what),
    )
    run = applying.apply(applying.plan())
    assert f"Stack `{NAME}`: creating it." in told
    assert any("CREATE_IN_PROGRESS" in line and "of 2 resources done" in line for line in told), told
    assert f"CloudFormation: {NAME} in {B}: CREATE_COMPLETE after" in repr(run)


def test_an_account_of_an_allowlisted_organization_is_connected(procedure: Through, environment: Environment) -> None:
    allowlist(environment, B, C, PILOT, organizations="o-exampleorg")
    connecting = procedure(accounts=["d"])
    assert "Yes, with o-exampleorg." in answer(connecting.check(), "The account is on bucketAV's allowlist", Status.OK)
    open_buckets(connecting)
    assert has_role(environment, D)


# --- who really gets in ----------------------------------------------------------------------------------------------


def test_the_scan_role_reads_plain_and_encrypted_objects_through_the_connection_and_nobody_else_does(
    procedure: Through, environment: Environment
) -> None:
    """Without the package's own probe: what the sandbox, as AWS would, answers to each caller."""
    open_buckets(procedure("one-account"))
    stack_id = cloudformation.read_stack_at(environment, B, "eu-west-1", NAME).arn
    role, external_id = f"arn:aws:iam::{B}:role/{ROLE}", stack_id.split("/")[2]
    scan = environment.assume(read_stack(environment).output("ScanRoleArn"), A)
    inside = environment.client_as(
        environment.assume(role, A, credentials=scan, external_id=external_id), "s3", "eu-west-1"
    )
    for bucket, key in (("uploads-b", "readme.txt"), ("documents-b", "contracts/acme.txt")):
        assert inside.get_object(Bucket=bucket, Key=key)["Body"].read()
        with pytest.raises(ClientError, match="AccessDenied"):
            environment.client_as(scan, "s3", "eu-west-1").get_object(Bucket=bucket, Key=key)
    for given in ("", "00000000-0000-0000-0000-000000000000"):
        with pytest.raises(AccountError, match="AccessDenied"):
            environment.assume(role, A, credentials=scan, external_id=given)
    with pytest.raises(AccountError, match="AccessDenied"):
        environment.assume(role, A, external_id=external_id)  # another role of account a
    with pytest.raises(AccountError, match="AccessDenied"):
        environment.assume(role, D, external_id=external_id)


def test_the_matrix_predicts_what_an_apply_then_proves(procedure: Through) -> None:
    connecting = procedure("several-accounts")
    plan = connecting.plan()
    predicted = connecting.verify(connecting.preview(plan))
    proved = connecting.verify(connecting.apply(plan))
    assert predicted.access.predicted
    assert [(row.principal, row.action, row.resource, row.after.verdict) for row in predicted.access.rows] == [
        (row.principal, row.action, row.resource, row.after.verdict) for row in proved.access.rows
    ]
    assert not proved.access.not_as_wanted
    asked = {row.resource for row in proved.access.rows if row.action == "kms:Decrypt"}
    assert asked == {f"{B}/documents-b"}
    told = answer(proved.checks, "bucketAV really gets in", Status.OK)
    assert "Yes, with the ExternalId only: an object of" in told
    assert f"{B}/documents-b (encrypted) read." in told


def test_what_the_template_keeps_it_from_is_not_promised(procedure: Through) -> None:
    connecting = procedure(
        accounts=["b"],
        template_parameters={
            "S3BucketRestriction": "arn:aws:s3:::uploads-b",
            "S3ObjectRestriction": "arn:aws:s3:::uploads-b/*",
        },
    )
    verification = connecting.verify(connecting.preview(connecting.plan()))
    rows = [row for row in verification.access.rows if row.resource == f"{B}/documents-b"]
    assert {row.after.verdict for row in rows if row.action.startswith("s3:")} == {Verdict.DENIED}
    assert not any(row.granted for row in rows if row.action.startswith("s3:"))


def test_what_awss_own_key_encrypts_is_open_to_the_role_too(procedure: Through, environment: Environment) -> None:
    s3 = environment.client("s3", F)
    s3.create_bucket(Bucket="managed-f", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}}
    s3.put_bucket_encryption(Bucket="managed-f", ServerSideEncryptionConfiguration={"Rules": [rule]})
    connecting = procedure(accounts=["f"])
    rows = connecting.verify(connecting.apply(connecting.plan())).access.rows
    (decrypting,) = [row for row in rows if row.action == "kms:Decrypt"]
    assert (decrypting.resource, decrypting.after.verdict) == (f"{F}/managed-f", Verdict.ALLOWED)


def test_nothing_is_tried_where_the_environment_says_so(
    procedure: Through, elsewhere: Callable[..., Environment]
) -> None:
    connecting = procedure("one-account", within=elsewhere(probe=False))
    verification = connecting.verify(connecting.apply(connecting.plan()))
    assert not [check for check in verification.checks if check.title == "bucketAV really gets in"]


def test_buckets_that_may_not_be_looked_at_are_said_to_be_so(procedure: Through, environment: Environment) -> None:
    deny(environment, "s3:ListAllMyBuckets", B)
    connecting = procedure("one-account")
    verification = connecting.verify(connecting.apply(connecting.plan()))
    told = answer(verification.checks, "Access can be worked out", Status.WARNING)
    assert "No bucket of it was asked about." in told
    assert "AccessDenied (ListBuckets)" in told


def test_control_policies_count_for_what_the_role_may_do(procedure: Through, environment: Environment) -> None:
    organizations = environment.client("organizations", "999999999999")
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "s3:GetObject", "Resource": "*"}]}
    made = organizations.create_policy(
        Content=json.dumps(policy), Description="x", Name="no-reading", Type="SERVICE_CONTROL_POLICY"
    )["Policy"]["PolicySummary"]["Id"]
    organizations.attach_policy(PolicyId=made, TargetId=B)
    connecting = procedure("one-account")
    verification = connecting.verify(connecting.preview(connecting.plan()))
    told = answer(verification.checks, "The role would open the account's buckets", Status.WARNING)
    assert "Not for s3:GetObject on" in told
    assert "service control policy" in told


def test_a_trust_that_was_opened_wide_is_noticed(procedure: Through, environment: Environment) -> None:
    connecting = procedure("one-account")
    run = connecting.apply(connecting.plan())
    statement = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{A}:root"}, "Action": "sts:AssumeRole"}
    environment.client("iam", B).update_assume_role_policy(
        RoleName=ROLE, PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    )
    with pytest.raises(ChecksFailed) as failed:
        connecting.verify(run)
    told = answer(failed.value.checks, "Only the scan role, with the ExternalId, gets in", Status.FAILED)
    assert "can as well (sts:AssumeRole without it)" in told
    assert "another role of account a can as well" in told
    assert "without an ExternalId: anybody who misleads bucketAV could" in answer(
        failed.value.checks, "bucketAV really gets in", Status.FAILED
    )


def test_a_scan_role_that_cannot_get_in_is_noticed(procedure: Through, environment: Environment) -> None:
    connecting = procedure("one-account")
    run = connecting.apply(connecting.plan())
    environment.client("iam", A).put_role_policy(
        RoleName=read_stack(environment).output("ScanRoleArn").rsplit("/", 1)[-1],
        PolicyName="deny",
        PolicyDocument=json.dumps(
            {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "sts:AssumeRole", "Resource": "*"}]}
        ),
    )
    with pytest.raises(ChecksFailed) as failed:
        connecting.verify(run)
    told = answer(failed.value.checks, "Only the scan role, with the ExternalId, gets in", Status.FAILED)
    assert "The scan role cannot: " in told
    assert "cannot be assumed" in answer(failed.value.checks, "bucketAV really gets in", Status.FAILED)


def test_a_table_that_says_something_else_is_noticed(procedure: Through, environment: Environment) -> None:
    connecting = procedure("one-account")
    run = connecting.apply(connecting.plan())
    table, key = "bucketav-AccountConnection", {"account_connection_id": {"S": f"aws:eu-west-1:{B}"}}
    client = environment.client("dynamodb", A)
    client.update_item(
        TableName=table,
        Key=key,
        UpdateExpression="SET stack_version = :v, role_name = :r, stack_id = :s",
        ExpressionAttributeValues={":v": {"S": "0.9.0"}, ":r": {"S": "other"}, ":s": {"S": "a/b/c"}},
    )
    with pytest.raises(ChecksFailed) as failed:
        connecting.verify(run)
    told = answer(failed.value.checks, "bucketAV knows of the connection", Status.FAILED)
    assert "its table names another stack, a/b/c; its table names another role, `other`; its table says version" in told
    client.delete_item(TableName=table, Key=key)
    with pytest.raises(ChecksFailed, match="Its table of connections does not have the account"):
        connecting.verify(run)


def test_what_is_left_after_a_disconnection_is_noticed(procedure: Through, environment: Environment) -> None:
    disconnecting = procedure("disconnect")
    run = disconnecting.apply(disconnecting.plan())
    make_role(environment, C)
    client = environment.client("dynamodb", A)
    client.put_item(
        TableName="bucketav-AccountConnection",
        Item={
            "account_connection_id": {"S": f"aws:eu-west-1:{C}"},
            "account_id": {"S": C},
            "region": {"S": "eu-west-1"},
            "stack_name": {"S": "other"},
            "stack_id": {"S": "arn:aws:cloudformation:eu-west-1:333333333333:stack/other/1"},
        },
    )
    with pytest.raises(ChecksFailed) as failed:
        disconnecting.verify(run)
    told = answer(failed.value.checks, "The account is disconnected", Status.FAILED)
    assert "bucketAV's table still has it, by stack `other`. Role `bucketav-AccountConnection` is still there." in told


# --- checks that fail ------------------------------------------------------------------------------------------------


def test_an_older_version_is_told_to_update(
    procedure: Through, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runbook.steps.connection_checks.LEAST_VERSIONS", {"clamav": (2, 20, 0)})
    connecting = procedure("one-account")
    told = answer(connecting.check(), "The version can connect accounts by IAM role", Status.FAILED)
    assert "Powered by ClamAV, version 2.19.3: it cannot, 2.20.0 is needed." in told
    assert "follow the Update Guide" in told
    plan = connecting.plan()
    assert plan.changes == ()
    assert plan.left_out == ("bucketav",)
    with pytest.raises(ChecksFailed):
        connecting.apply(plan)


def test_accounts_that_are_not_let_in_get_the_command_and_are_left_out(procedure: Through) -> None:
    connecting = procedure(accounts=["b", "d", "e"])
    told = answer(connecting.check(), "The account is on bucketAV's allowlist", Status.FAILED)
    assert told.startswith(f"{D} (d): No. Its connection stack could not report to bucketAV, and would fail.")
    assert f"""`runbook run 01-allowlist --environment sandbox -p accounts '["{D}", "{E}"]' --apply`""" in told
    plan = connecting.plan()
    assert [change.resource.account for change in plan.changes] == [B]
    assert plan.left_out == (f"{D} (d)", f"{E} (e)")


def test_account_a_is_refused(procedure: Through) -> None:
    for given in ("a", A):
        with pytest.raises(ParameterError, match=r"`accounts`: `111111111111 \(a\)` runs bucketAV"):
            procedure(accounts=[given])


def test_a_role_that_nobodys_stack_has_made_is_named(procedure: Through, environment: Environment) -> None:
    make_role(environment)
    told = answer(procedure("one-account").check(), FREE, Status.FAILED)
    assert f"There is a role `{ROLE}` that no stack in eu-west-1 has made. See in IAM who made it" in told
    assert procedure("one-account").plan().changes == ()


def test_a_connection_from_another_region_is_named(procedure: Through, environment: Environment) -> None:
    """Its stack there cannot report, because the topic is in bucketAV's Region; so the item is put there by hand."""
    make_role(environment)
    environment.client("dynamodb", A).put_item(
        TableName="bucketav-AccountConnection",
        Item={
            "account_connection_id": {"S": f"aws:eu-central-1:{B}"},
            "account_id": {"S": B},
            "region": {"S": "eu-central-1"},
            "stack_name": {"S": "frankfurt"},
            "stack_id": {"S": f"arn:aws:cloudformation:eu-central-1:{B}:stack/frankfurt/1"},
        },
    )
    told = answer(procedure("one-account").check(), FREE, Status.FAILED)
    assert "The account is connected from eu-central-1 by stack `frankfurt`" in told
    assert "Delete that stack in eu-central-1 first" in told


def test_an_account_that_another_stack_connects_needs_nothing(procedure: Through, environment: Environment) -> None:
    assert by_somebody(environment, B, "theirs") == "CREATE_COMPLETE"
    connecting = procedure("one-account")
    told = answer(connecting.check(), FREE, Status.OK)
    assert "The account is connected already, by stack `theirs`, version 2.0.0. Nothing to do." in told
    plan = connecting.plan()
    assert plan.changes == ()
    assert f"{B} (b) stays as it is: stack `theirs` connects it." in plan.notes
    connecting.verify(connecting.apply(plan))


def test_one_that_another_stack_connects_with_an_older_version_says_where_to_update(
    procedure: Through, environment: Environment
) -> None:
    by_somebody(environment, B, "theirs", template(environment, "1.0.0"))
    told = answer(procedure("one-account").check(), FREE, Status.WARNING)
    assert "version 1.0.0; version 2.0.0 is wanted. It is left as it is." in told
    assert "`connection_stack_name = theirs`" in told
    named = procedure(accounts=["b"], connection_stack_name="theirs").plan()
    assert [change.name for change in named.changes] == ["theirs"]
    by_a_stack_set = answer(procedure(accounts=[PILOT]).check(), FREE, Status.WARNING)
    assert "StackSet-" in by_a_stack_set
    assert "Update the stack set that made it (03-stack-sets)." in by_a_stack_set


def test_a_stack_that_has_the_role_but_never_reported_is_named(procedure: Through, environment: Environment) -> None:
    role_only = template(environment).split("\n  Connection:")[0]
    by_somebody(environment, B, "theirs", role_only)
    told = answer(procedure("one-account").check(), FREE, Status.FAILED)
    assert "Stack `theirs` in eu-west-1 has made the role" in told
    assert "bucketAV does not know of that connection" in told


def test_a_role_that_may_not_be_looked_at_is_a_warning(procedure: Through, environment: Environment) -> None:
    deny(environment, "iam:GetRole", B)
    told = answer(procedure("one-account").check(), FREE, Status.WARNING)
    assert "That cannot be told. Role" in told
    assert "call iam:GetRole" in told


def test_a_stack_that_bucketav_has_forgotten_is_named(procedure: Through, environment: Environment) -> None:
    """Emptying the allowlist takes the table with it."""
    open_buckets(procedure("one-account"))
    environment.client("dynamodb", A).delete_item(
        TableName="bucketav-AccountConnection", Key={"account_connection_id": {"S": f"aws:eu-west-1:{B}"}}
    )
    told = answer(procedure("one-account").check(), TAKES, Status.FAILED)
    assert "as it should be, but bucketAV's table of connections does not have the account." in told
    assert "Disconnect the account, then connect it again." in told
    open_buckets(procedure(disconnect=["b"]))
    open_buckets(procedure("one-account"))
    assert not procedure("one-account").check().failed


def test_what_a_failed_attempt_has_left_is_planned_shown_and_deleted(
    procedure: Through, environment: Environment
) -> None:
    make_role(environment)
    assert by_somebody(environment, B) == "ROLLBACK_COMPLETE"
    environment.client("iam", B).delete_role(RoleName=ROLE)
    connecting = procedure("one-account", apply=True)
    told = answer(connecting.check(), TAKES, Status.OK)
    assert "is in ROLLBACK_COMPLETE: a failed attempt has left its name and nothing else. The plan deletes it" in told
    plan = connecting.plan()
    assert f"- remove {NAME} (AWS::CloudFormation::Stack)" in plan.to_markdown()
    assert plan.changes[0].summary.endswith(", after what a failed attempt has left of it is deleted")
    assert by_hand(plan).to_markdown().count("First delete what a failed attempt has left") == 1
    open_buckets(connecting)
    assert finish(environment, B) == "CREATE_COMPLETE"


def test_a_change_set_that_nobody_executed_is_in_the_way(procedure: Through, environment: Environment) -> None:
    environment.client("cloudformation", B).create_change_set(
        StackName=NAME,
        ChangeSetName="theirs",
        ChangeSetType="CREATE",
        TemplateBody=template(environment),
        Parameters=[{"ParameterKey": "BucketAVAccountId", "ParameterValue": A}],
        Capabilities=["CAPABILITY_NAMED_IAM"],
    )
    told = answer(procedure("one-account").check(), TAKES, Status.FAILED)
    assert "is in REVIEW_IN_PROGRESS: somebody made a change set that would create it" in told
    assert f"Delete stack `{NAME}`" in told


def test_a_stack_of_another_bucketav_is_left_alone(procedure: Through, environment: Environment) -> None:
    client = environment.client("cloudformation", B)
    client.create_stack(
        StackName=NAME,
        TemplateBody=template(environment).split("\n  Connection:")[0],
        Capabilities=["CAPABILITY_NAMED_IAM"],
        Parameters=[
            {"ParameterKey": "BucketAVAccountId", "ParameterValue": D},
            {"ParameterKey": "BucketAVStackName", "ParameterValue": "other"},
        ],
    )
    finish(environment, B)
    told = answer(procedure("one-account").check(), TAKES, Status.FAILED)
    assert f"connects the account to another bucketAV: BucketAVStackName `other`, BucketAVAccountId `{D}`." in told
    assert "Choose another `connection_stack_name`." in told


@pytest.mark.parametrize(
    ("status", "remedy"),
    [
        ("DELETE_FAILED", "`disconnect` names accounts for that. Then connect them."),
        ("ROLLBACK_FAILED", "`disconnect` names accounts for that. Then connect them."),
        ("UPDATE_ROLLBACK_FAILED", "Stack actions › Continue update rollback"),
    ],
)
def test_a_broken_stack_has_its_way_out(status: str, remedy: str, procedure: Through, environment: Environment) -> None:
    from runbook.sandbox.cloudformation.stacks import find  # imports moto, which only the sandbox knows how to do

    by_somebody(environment, B, body=template(environment, "1.0.0"))
    found = find(B, "eu-west-1", NAME)
    assert found is not None
    found.status = status
    told = answer(procedure("one-account").check(), TAKES, Status.FAILED)
    assert f"Stack `{NAME}` is in {status}" in told
    assert remedy in told


def test_the_dashboard_and_its_tile_are_found_and_linked(procedure: Through, environment: Environment) -> None:
    title, connecting = "bucketAV's dashboard shows the accounts", procedure("one-account")
    assert (
        "[bucketav-eu-west-1](https://eu-west-1.console.aws.amazon.com/cloudwatch/home?region=eu-west-1"
        "#dashboards/dashboard/bucketav-eu-west-1)"
    ) in answer(connecting.check(), title, Status.OK)
    client = environment.client("cloudwatch", A)
    body = client.get_dashboard(DashboardName="bucketav-eu-west-1")["DashboardBody"]
    client.put_dashboard(DashboardName="bucketav-eu-west-1", DashboardBody=body.replace("AWS accounts", "Accounts"))
    told = answer(connecting.check(), title, Status.WARNING)
    assert "It has no tile `AWS accounts`; there is `Scan queue`, `Accounts`." in told
    client.delete_dashboards(DashboardNames=["bucketav-eu-west-1"])
    assert "It cannot be read: ResourceNotFound" in answer(connecting.check(), title, Status.WARNING)


def test_a_template_that_is_not_there_is_named(procedure: Through) -> None:
    connecting = procedure(accounts=["b"], template_version="9.9.9")
    told = answer(connecting.check(), "The template can be used", Status.FAILED)
    assert told.startswith("version 9.9.9: The template https://bucketav-add-ons.s3.eu-west-1.amazonaws.com/")
    assert "Compare `template_version` and `template_url`" in told
    assert connecting.plan().changes == ()


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("Resources: {T: {Type: AWS::SNS::Topic}}", "It has no parameter `BucketAVStackName`."),
        ("just text", "is no CloudFormation template"),
        ("PADDED", "CloudFormation takes 51,200 with the call."),
        ("MORE", "Its parameter `Extra` has no default and is not given. Add `Extra` to `template_parameters`."),
    ],
)
def test_a_template_that_cannot_be_used_is_not(
    body: str, found: str, procedure: Through, environment: Environment
) -> None:
    own = template(environment)
    bodies = {
        "PADDED": own + "# padding\n" * 5000,
        "MORE": own.replace("Parameters:", "Parameters:\n  Extra: {Type: String}", 1),
    }
    url = publish(environment, bodies.get(body, body))
    assert found in answer(
        procedure(accounts=["b"], template_url=url).check(), "The template can be used", Status.FAILED
    )


def test_a_parameter_that_the_template_does_not_have_is_named(procedure: Through) -> None:
    connecting = procedure(accounts=["b"], template_parameters={"S3BucketRestrictions": "x"})
    told = answer(connecting.check(), "The template can be used", Status.FAILED)
    assert "It has no parameter `S3BucketRestrictions`. Correct `template_parameters`." in told
    assert "Did you mean `S3BucketRestriction`?" in told


def test_a_service_control_policy_that_stands_against_it_is_found_before(
    procedure: Through, environment: Environment
) -> None:
    allowlist(environment, B, C, F, PILOT, SEALED)
    connecting = procedure(accounts=["b", SEALED])
    told = answer(connecting.check(), "The organization's policies let the role be made", Status.FAILED)
    assert told.startswith(f"{SEALED}: iam:CreateRole may not be called there: ")
    assert "service control policy" in told
    assert "make an exception for it, or leave the account out" in told
    assert [change.resource.account for change in connecting.plan().changes] == [B]


def test_policies_that_cannot_be_read_are_a_warning(procedure: Through, elsewhere: Callable[..., Environment]) -> None:
    checks = procedure("one-account", within=elsewhere(without="management")).check()
    told = answer(checks, "The organization's policies let the role be made", Status.WARNING)
    assert "cannot be read from here. Name its `management` account in " in told


def test_an_account_that_cannot_be_reached_gets_a_link_for_its_owner(
    procedure: Through, environment: Environment
) -> None:
    iam = environment.client("iam", F)
    trust = json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
            ],
        }
    )
    iam.update_assume_role_policy(RoleName="OrganizationAccountAccessRole", PolicyDocument=trust)
    connecting = procedure(accounts=["b", "f"], within=load_environment("sandbox"))
    told = answer(connecting.check(), "The account can be looked at", Status.FAILED)
    assert told.startswith(f"{F} (f): ")
    assert "cannot be reached" in told
    plan = connecting.plan()
    assert [change.resource.account for change in plan.changes] == [B]
    (note,) = [note for note in plan.notes if F in note]
    assert "Whoever may create stacks there follows [this link](https://eu-west-1.console.aws.amazon.com/" in note
    assert "param_BucketAVAccountId=111111111111" in note


# --- disconnecting ---------------------------------------------------------------------------------------------------


def test_disconnecting_what_is_not_connected_is_nothing_to_do(procedure: Through) -> None:
    disconnecting = procedure(disconnect=["b"])
    told = answer(disconnecting.check(), "There is a connection to take away", Status.OK)
    assert f"No: there is no stack `{NAME}`, and bucketAV knows of none." in told
    assert disconnecting.plan().changes == ()


def test_disconnecting_names_the_stack_that_connects_the_account(procedure: Through, environment: Environment) -> None:
    by_somebody(environment, B, "theirs")
    title = "There is a connection to take away"
    told = answer(procedure(disconnect=["b"]).check(), title, Status.FAILED)
    assert "the account is connected by stack `theirs`. `connection_stack_name = theirs`." in told
    assert "(03-stack-sets)" in answer(procedure(disconnect=[PILOT]).check(), title, Status.FAILED)


def test_a_protected_stack_is_named(procedure: Through, environment: Environment) -> None:
    client = environment.client("cloudformation", C)
    client.update_termination_protection(StackName=NAME, EnableTerminationProtection=True)
    told = answer(procedure("disconnect").check(), "The stack may be deleted", Status.FAILED)
    assert "Termination protection is on" in told
    assert "Edit termination protection" in told


def test_an_account_that_was_taken_off_the_list_cannot_be_disconnected(
    procedure: Through, environment: Environment
) -> None:
    allowlist(environment, B)
    disconnecting = procedure("disconnect")
    told = answer(disconnecting.check(), "bucketAV can be told of it", Status.FAILED)
    assert "its stack could not report its deletion, which would fail." in told
    assert f"""`runbook run 01-allowlist --environment sandbox -p accounts '["{C}"]' --apply`""" in told
    assert disconnecting.plan().changes == ()


def test_a_policy_against_deleting_roles_is_found_before(procedure: Through, environment: Environment) -> None:
    organizations = environment.client("organizations", "999999999999")
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "iam:Delete*", "Resource": "*"}]}
    made = organizations.create_policy(
        Content=json.dumps(policy), Description="x", Name="keep", Type="SERVICE_CONTROL_POLICY"
    )["Policy"]["PolicySummary"]["Id"]
    organizations.attach_policy(PolicyId=made, TargetId=C)
    told = answer(procedure("disconnect").check(), "The organization's policies let the role be deleted", Status.FAILED)
    assert "iam:DeleteRolePolicy may not be called there" in told


# --- when it fails ---------------------------------------------------------------------------------------------------


def test_without_the_allowlist_it_fails_as_on_aws_and_leaves_nothing(
    unchecked: Callable[..., Path], environment: Environment
) -> None:
    """What the check prevents: CloudFormation cannot publish to the topic for an account that is not on the list."""
    before = connections()
    with pytest.raises(ApplyFailed) as failed:
        unchecked(accounts=["d"])
    told = str(failed.value)
    assert f"could not create stack `{NAME}`. What failed: Connection (Custom::AccountConnection): " in told
    assert "Nothing of it is left. Likely: bucketAV does not let the account in." in told
    assert connections() == before
    assert NAME not in stacks(environment, D)
    assert not has_role(environment, D)


def test_a_control_policy_fails_it_as_on_aws(unchecked: Callable[..., Path], environment: Environment) -> None:
    allowlist(environment, B, C, F, PILOT, SEALED)
    with pytest.raises(ApplyFailed) as failed:
        unchecked(accounts=[SEALED])
    told = str(failed.value)
    assert "What failed: Role (AWS::IAM::Role): " in told
    assert "Likely: a service control policy of the organization forbids it there." in told
    assert NAME not in stacks(environment, SEALED)


def test_bucketav_refuses_to_be_connected_to_itself(unchecked: Callable[..., Path], environment: Environment) -> None:
    allowlist(environment, A, B, C, F, PILOT)
    with pytest.raises(ApplyFailed) as failed:
        unchecked(accounts=[A])
    assert "Account a runs bucketAV and cannot be connected to itself. Leave it out." in str(failed.value)
    assert NAME not in stacks(environment, A)


def test_one_account_that_fails_does_not_stop_the_others_and_is_tried_again_alone(
    procedure: Through, environment: Environment, tmp_path: Path
) -> None:
    """The role appears after the checks: they would have left the account out."""
    plan, folder = procedure("several-accounts").plan(), tmp_path / "run"
    make_role(environment)
    with pytest.raises(ApplyFailed) as failed:
        apply(plan, environment, folder)
    told = str(failed.value)
    assert "What failed: Role (AWS::IAM::Role): " in told
    assert "Likely: the account is connected in another way" in told
    assert "Changes made: 1. `runbook apply " in told
    assert NAME not in stacks(environment, B)
    assert has_role(environment, F)
    environment.client("iam", B).delete_role(RoleName=ROLE)
    again = apply(plan, environment, folder)
    assert [change.resource.account for change in again.changed] == [B]
    checked = procedure("several-accounts")
    assert checked.plan().changes == ()
    undo(folder, environment)
    assert not has_role(environment, B)
    assert not has_role(environment, F)


def test_a_failed_deletion_is_gone_on_with_or_taken_back(
    unchecked: Callable[..., Path], environment: Environment, tmp_path: Path
) -> None:
    before = connections()
    allowlist(environment, B)
    with pytest.raises(ApplyFailed) as failed:
        unchecked(disconnect=["c"])
    told = str(failed.value)
    assert f"could not delete stack `{NAME}`: DELETE_FAILED." in told
    assert "The change was made in part." in told
    allowlist(environment, B, C, F, "666666666666", PILOT)
    undo(tmp_path / "unchecked", environment)
    assert connections() == before


# --- other people ----------------------------------------------------------------------------------------------------


def test_a_stack_that_somebody_made_since_the_plan_is_not_run_over(
    procedure: Through, environment: Environment
) -> None:
    connecting = procedure("one-account")
    plan = connecting.plan()
    by_somebody(environment, B)
    with pytest.raises(StalePlan):
        connecting.apply(plan)


# --- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({}, "which accounts\\? Give `accounts` to connect, or `disconnect`"),
        (
            {"accounts": ["b"], "disconnect": ["b"]},
            r"222222222222 \(b\) is both to be connected and to be disconnected",
        ),
        ({"accounts": ["x"]}, "`accounts`: .* there is no account `x`"),
        ({"accounts": ["b"], "template_version": "2"}, "which is not a version such as `2.0.0`"),
        ({"accounts": ["b"], "template_url": "http://x"}, "the address of an object in S3 was expected"),
        ({"accounts": ["b"], "connection_stack_name": "1x"}, "which is not a stack name"),
        (
            {"accounts": ["b"], "template_parameters": {"BucketAVAccountId": A}},
            "follows from the environment",
        ),
        ({"accounts": [222222222222]}, "is the number 222222222222, not an account id"),
    ],
)
def test_what_cannot_be_meant_is_refused(given: dict[str, Any], found: str, procedure: Through) -> None:
    with pytest.raises(ParameterError, match=found):
        procedure(**given)


def test_by_hand_the_owner_of_the_account_gets_link_and_command(procedure: Through) -> None:
    told = by_hand(procedure("one-account").plan()).to_markdown()
    assert f"Whoever may create stacks in account {B} follows [this link](https://" in told
    assert "param_BucketAVStackName=bucketav&param_BucketAVAccountId=111111111111" in told
    assert f"aws cloudformation create-stack --region eu-west-1 --stack-name {NAME} --template-url https://" in told
