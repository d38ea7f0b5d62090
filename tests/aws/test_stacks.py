"""Stacks as something to change: created from exactly the planned template, updated, deleted, and cleaned up after."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runbook.aws import cloudformation
from runbook.aws.cloudformation import read_stack_at
from runbook.aws.kinds import kind_of, same_json
from runbook.aws.stacks import as_text, leftover, resource_of
from runbook.environment import Environment
from runbook.plan import Change, Effect, Plan
from runbook.run import ApplyFailed, StalePlan, UndoRefused, apply, undo
from runbook.sandbox import clock

B, C, REGION, NAME = "222222222222", "333333333333", "eu-west-1", "roles"

TEMPLATE = """
Parameters:
  Name: {Type: String, Default: made-here}
Resources:
  Role:
    Type: AWS::IAM::Role
    Properties:
      RoleName: !Ref Name
      AssumeRolePolicyDocument:
        Version: "2012-10-17"
        Statement: [{Effect: Allow, Principal: {Service: ec2.amazonaws.com}, Action: "sts:AssumeRole"}]
"""
WITH_TOPIC = f"{TEMPLATE}  Topic: {{Type: AWS::SNS::Topic}}\n"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "OPERATION_SECONDS", 0.04)
    monkeypatch.setattr(clock, "PLANNING_SECONDS", 0.01)
    monkeypatch.setattr(cloudformation, "PAUSES", (0.01,))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "run"


def value(body: str = TEMPLATE, name: str = "made-here", **more: Any) -> str:
    return as_text(body, {"Name": name}, ("CAPABILITY_NAMED_IAM",), **more)


def change(account: str = B, before: str | None = None, after: str | None = None, *effects: Effect) -> Change:
    resource = resource_of("aws", account, REGION, NAME)
    return Change(resource=resource, summary="a stack", before=before, after=after, effects=effects)


def plan_of(*changes: Change) -> Plan:
    return Plan(step="test", scenario="", environment="sandbox", parameters={}, changes=changes)


def present(environment: Environment, account: str = B) -> str | None:
    resource = resource_of("aws", account, REGION, NAME)
    return kind_of(resource).read(environment, resource)


def role_names(environment: Environment, account: str = B) -> set[str]:
    return {each["RoleName"] for each in environment.client("iam", account).list_roles()["Roles"]}


def make_role(environment: Environment, name: str = "made-here", account: str = B) -> None:
    statement = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
    trust = {"Version": "2012-10-17", "Statement": [statement]}
    environment.client("iam", account).create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))


def statuses(environment: Environment, account: str = B) -> list[str]:
    """Of all stacks of that name there have been, but for those that were deleted."""
    client = environment.client("cloudformation", account)
    found = client.list_stacks()["StackSummaries"]
    return [
        each["StackStatus"] for each in found if each["StackName"] == NAME and each["StackStatus"] != "DELETE_COMPLETE"
    ]


@pytest.fixture
def create(environment: Environment) -> Callable[..., None]:
    """Somebody creates the stack by hand, and waits."""

    def make(body: str = TEMPLATE, account: str = B, **options: Any) -> None:
        client = environment.client("cloudformation", account)
        client.create_stack(StackName=NAME, TemplateBody=body, Capabilities=["CAPABILITY_NAMED_IAM"], **options)
        while client.describe_stacks(StackName=NAME)["Stacks"][0]["StackStatus"].endswith("_IN_PROGRESS"):
            pass

    return make


# --- there and back --------------------------------------------------------------------------------------------------


def test_a_stack_is_created_from_exactly_the_planned_template_and_taken_back(
    environment: Environment, folder: Path
) -> None:
    run = apply(plan_of(change(after=value(TemplateURL="https://example"))), environment, folder)
    assert present(environment) == value(), "where the template came from is not to be seen in a stack"
    assert "made-here" in role_names(environment)
    (told,) = run.told
    assert told.startswith(f"CloudFormation: roles in {B}: CREATE_COMPLETE after")
    undo(folder, environment)
    assert present(environment) is None
    assert "made-here" not in role_names(environment)
    assert statuses(environment) == []


def test_a_stack_is_deleted_and_undo_creates_it_as_it_was(
    environment: Environment, folder: Path, create: Callable[..., None]
) -> None:
    create(Parameters=[{"ParameterKey": "Name", "ParameterValue": "theirs"}], Tags=[{"Key": "team", "Value": "x"}])
    before = present(environment)
    assert before == value(name="theirs", Tags={"team": "x"})
    apply(plan_of(change(before=before)), environment, folder)
    assert statuses(environment) == []
    undo(folder, environment)
    assert present(environment) == before


def test_a_stack_is_updated_by_a_change_set_and_undo_brings_its_template_back(
    environment: Environment, folder: Path, create: Callable[..., None]
) -> None:
    create()
    added = Effect(action="add", name="Topic", kind="AWS::SNS::Topic")
    run = apply(plan_of(change(B, value(), value(WITH_TOPIC), added)), environment, folder)
    assert "CloudFormation: add Topic (AWS::SNS::Topic)." in run.told
    assert present(environment) == value(WITH_TOPIC)
    undo(folder, environment)
    assert present(environment) == value()


def test_an_update_that_would_remove_what_was_not_planned_is_refused(
    environment: Environment, folder: Path, create: Callable[..., None]
) -> None:
    create(WITH_TOPIC)
    with pytest.raises(ApplyFailed, match=r"It would remove Topic \(AWS::SNS::Topic\)"):
        apply(plan_of(change(before=value(WITH_TOPIC), after=value())), environment, folder)
    assert present(environment) == value(WITH_TOPIC)


def test_what_an_update_could_not_delete_is_told(
    environment: Environment, folder: Path, create: Callable[..., None]
) -> None:
    trust = TEMPLATE.partition("AssumeRolePolicyDocument:")[2]
    other = f"  Other:\n    Type: AWS::IAM::Role\n    Properties:\n      AssumeRolePolicyDocument:{trust}"
    create(TEMPLATE + other)
    name = next(iter(role_names(environment) - {"made-here", "OrganizationAccountAccessRole"}))
    policy = "arn:aws:iam::aws:policy/AdministratorAccess"
    environment.client("iam", B).attach_role_policy(RoleName=name, PolicyArn=policy)
    removed = Effect(action="remove", name="Other", kind="AWS::IAM::Role")
    run = apply(plan_of(change(B, value(TEMPLATE + other), value(), removed)), environment, folder)
    left = next(line for line in run.told if "left behind" in line)
    assert left.startswith("CloudFormation could not delete Other (AWS::IAM::Role): ")
    assert name in role_names(environment)


def test_an_update_that_would_replace_something_is_refused(
    environment: Environment, folder: Path, create: Callable[..., None]
) -> None:
    create()
    with pytest.raises(ApplyFailed, match=r"It would replace Role \(AWS::IAM::Role\)"):
        apply(plan_of(change(before=value(), after=value(name="another"))), environment, folder)
    assert present(environment) == value()


def test_what_somebody_else_made_of_a_stack_is_not_overwritten(
    environment: Environment, folder: Path, create: Callable[..., None]
) -> None:
    create(WITH_TOPIC)
    with pytest.raises(StalePlan, match="Topic"):
        apply(plan_of(change(before=value(), after=value(TEMPLATE + "# new\n"))), environment, folder)
    with pytest.raises(StalePlan, match="Topic"):
        apply(plan_of(change(after=value())), environment, folder)


def test_undo_does_not_delete_a_stack_that_somebody_else_has_updated(environment: Environment, folder: Path) -> None:
    apply(plan_of(change(after=value())), environment, folder)
    client = environment.client("cloudformation", B)
    client.update_stack(StackName=NAME, TemplateBody=WITH_TOPIC, Capabilities=["CAPABILITY_NAMED_IAM"])
    with pytest.raises(UndoRefused, match="Topic"):
        undo(folder, environment)


# --- the same, and not the same --------------------------------------------------------------------------------------


def test_two_stacks_are_the_same_by_what_they_hold(environment: Environment, create: Callable[..., None]) -> None:
    kind = kind_of(resource_of("aws", B, REGION, NAME))
    assert kind.same(value(), value("# a comment\n" + TEMPLATE, TemplateURL="https://example"))
    assert kind.same(value(), as_text(TEMPLATE, {"Name": "made-here"}, ()))
    assert not kind.same(value(), value(name="other"))
    assert not kind.same(value(), value(WITH_TOPIC))
    assert not kind.same(value(), value(Status="ROLLBACK_FAILED"))
    assert not kind.same(value(), None)
    create(json.dumps({"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}}))
    in_json = as_text(json.dumps({"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}}), {}, ())
    assert kind.same(present(environment), in_json), "boto3 hands out templates in JSON decoded"


def test_the_order_of_a_templates_lines_matters() -> None:
    """Sorting the texts of lists, as for policies, would hide that two statements have changed places."""
    lines = TEMPLATE.split("\n")
    assert not same_json(value(), value("\n".join(lines[::-1])))


# --- failures --------------------------------------------------------------------------------------------------------


def test_a_stack_that_fails_leaves_nothing_behind_says_why_and_does_not_stop_the_others(
    environment: Environment, folder: Path
) -> None:
    make_role(environment)
    plan = plan_of(change(after=value()), change(C, after=value()))
    with pytest.raises(ApplyFailed) as failed:
        apply(plan, environment, folder)
    told = str(failed.value)
    assert "could not create stack `roles`. What failed: Role (AWS::IAM::Role): " in told
    assert "already exists" in told
    assert "Nothing of it is left. Likely: " in told
    assert "The change was not made.\nChanges made: 1." in told
    assert statuses(environment) == []
    assert present(environment, C) == value()
    environment.client("iam", B).delete_role(RoleName="made-here")
    assert [each.resource.account for each in apply(plan, environment, folder).changed] == [B]
    assert present(environment) == value()


def test_what_another_attempt_left_is_deleted_if_that_was_planned(
    environment: Environment, folder: Path, create: Callable[..., None]
) -> None:
    make_role(environment)
    create()
    environment.client("iam", B).delete_role(RoleName="made-here")
    assert statuses(environment) == ["ROLLBACK_COMPLETE"]
    assert present(environment) is None
    with pytest.raises(ApplyFailed, match="another attempt to create it has failed since the plan was made"):
        apply(plan_of(change(after=value())), environment, folder)
    planned = folder.with_name("planned")
    run = apply(plan_of(change(B, None, value(), leftover(NAME))), environment, planned)
    assert [line.split(": ")[2].split(" ")[0] for line in run.told] == ["DELETE_COMPLETE", "CREATE_COMPLETE"]
    assert statuses(environment) == ["CREATE_COMPLETE"]


def test_a_change_set_that_nobody_executed_is_not_run_over(environment: Environment, folder: Path) -> None:
    environment.client("cloudformation", B).create_change_set(
        StackName=NAME,
        ChangeSetName="theirs",
        ChangeSetType="CREATE",
        TemplateBody=TEMPLATE,
        Capabilities=["CAPABILITY_NAMED_IAM"],
    )
    with pytest.raises(ApplyFailed, match="is in REVIEW_IN_PROGRESS"):
        apply(plan_of(change(after=value())), environment, folder)


@pytest.mark.parametrize("ends", ["CREATE_COMPLETE", "ROLLBACK_COMPLETE"])
def test_an_attempt_that_was_cut_off_is_gone_on_with(
    ends: str, environment: Environment, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stack goes on by itself; what becomes of it is seen by the next run."""
    if ends == "ROLLBACK_COMPLETE":
        make_role(environment)

    class CutOff(BaseException):
        pass

    def cut(*_: Any) -> None:
        raise CutOff

    plan = plan_of(change(after=value()))
    with monkeypatch.context() as patched:
        patched.setattr("runbook.aws.stack_operations.Operation.wait", cut)
        with pytest.raises(CutOff):
            apply(plan, environment, folder)
    if ends == "ROLLBACK_COMPLETE":
        read_settled = cloudformation.read_settled_stack(environment, B, REGION, NAME, lambda _: None)
        assert read_settled.status == ends
        environment.client("iam", B).delete_role(RoleName="made-here")
    run = apply(plan, environment, folder)
    assert len(run.changed) == (1 if ends == "ROLLBACK_COMPLETE" else 0)
    assert present(environment) == value()
    undo(folder, environment)
    assert statuses(environment) == []


def test_a_stack_that_cannot_be_deleted_completely_is_told_gone_on_with_and_taken_back(
    environment: Environment, folder: Path, create: Callable[..., None]
) -> None:
    create()
    iam, policy = environment.client("iam", B), "arn:aws:iam::aws:policy/AdministratorAccess"
    iam.attach_role_policy(RoleName="made-here", PolicyArn=policy)
    plan = plan_of(change(before=value()))
    with pytest.raises(ApplyFailed) as failed:
        apply(plan, environment, folder)
    assert "could not delete stack `roles`: DELETE_FAILED. What failed: Role (AWS::IAM::Role): " in str(failed.value)
    assert "The change was made in part." in str(failed.value)
    iam.detach_role_policy(RoleName="made-here", PolicyArn=policy)
    undo(folder, environment)
    assert present(environment) == value()
    assert read_stack_at(environment, B, REGION, NAME).status == "CREATE_COMPLETE"
    apply(plan, environment, folder)
    assert statuses(environment) == []


def test_termination_protection_keeps_a_stack(
    environment: Environment, folder: Path, create: Callable[..., None]
) -> None:
    create(EnableTerminationProtection=True)
    assert read_stack_at(environment, B, REGION, NAME).protected
    with pytest.raises(ApplyFailed, match="TerminationProtection"):
        apply(plan_of(change(before=value())), environment, folder)
    assert present(environment) == value()


def test_what_was_never_shown_is_not_made_up(
    environment: Environment, folder: Path, create: Callable[..., None]
) -> None:
    secret = TEMPLATE.replace("Name: {", "Token: {Type: String, NoEcho: true}\n  Name: {")
    create(secret, Parameters=[{"ParameterKey": "Token", "ParameterValue": "secret"}])
    before = present(environment)
    apply(plan_of(change(before=before)), environment, folder)
    with pytest.raises(Exception, match="AWS does not show the value of Token"):
        undo(folder, environment)


# --- by hand ---------------------------------------------------------------------------------------------------------


def by_hand(made: Change) -> str:
    return kind_of(made.resource).by_hand(made)


def test_the_owner_of_the_account_gets_a_link_with_everything_filled_in_and_a_command() -> None:
    url = "https://bucket.s3.eu-west-1.amazonaws.com/a/b.yaml"
    told = by_hand(change(after=value(name="a b,c", TemplateURL=url)))
    assert (
        "(https://eu-west-1.console.aws.amazon.com/cloudformation/home?region=eu-west-1#/stacks/create/review?"
        "templateURL=https%3A%2F%2Fbucket.s3.eu-west-1.amazonaws.com%2Fa%2Fb.yaml&stackName=roles&param_Name=a%20b%2Cc)"
    ) in told
    assert (
        f"aws cloudformation create-stack --region eu-west-1 --stack-name roles --template-url {url} --parameters "
        """'[{"ParameterKey": "Name", "ParameterValue": "a b,c"}]' --capabilities CAPABILITY_NAMED_IAM"""
    ) in told


@pytest.mark.parametrize(
    ("partition", "host"),
    [("aws-cn", "cn-north-1.console.amazonaws.cn"), ("aws-us-gov", "us-gov-west-1.console.amazonaws-us-gov.com")],
)
def test_the_link_leads_to_the_console_of_the_partition(partition: str, host: str) -> None:
    resource = resource_of(partition, B, host.partition(".")[0], NAME)
    made = change(after=value(TemplateURL="https://b.s3.amazonaws.com/k")).model_copy(update={"resource": resource})
    assert f"(https://{host}/cloudformation/home?region=" in by_hand(made)


def test_updates_and_deletions_have_their_way_by_hand_too() -> None:
    updating = by_hand(change(before=value(), after=value(WITH_TOPIC, TemplateURL="https://b.s3.amazonaws.com/k")))
    assert "Replace existing template › Amazon S3 URL › `https://b.s3.amazonaws.com/k`" in updating
    assert "aws cloudformation execute-change-set" in updating
    taken_back = by_hand(change(before=value(WITH_TOPIC), after=value()))
    assert "--template-body file://template.yaml" in taken_back
    assert "RoleName: !Ref Name" in taken_back
    assert "aws cloudformation delete-stack --region eu-west-1 --stack-name roles\n" in by_hand(change(before=value()))
    leftovers = by_hand(change(B, None, value(), leftover(NAME)))
    assert leftovers.startswith("First delete what a failed attempt has left: `aws cloudformation delete-stack")
