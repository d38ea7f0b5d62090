"""Add-ons in the sandbox: what is found out about them, what is opened and refused, and what is left as it was."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from runbook.aws.add_ons import template_url
from runbook.aws.kms import KeyLockOut
from runbook.aws.stack_parameters import from_text
from runbook.checks import ChecksFailed, Status
from runbook.environment import Environment
from runbook.parameters import ParameterError
from runbook.plan import Plan
from runbook.procedure import Procedure
from runbook.run import ApplyFailed, StalePlan, apply, undo
from runbook.sandbox import clock
from runbook.sandbox.server import Sandbox
from runbook.sandbox.stand_ins import StandIn
from runbook.steps import STEPS
from runbook.steps.add_ons import AddOns
from runbook.steps.scenarios import make_step, scenario_names
from tests.steps.way import open_buckets, put_policy
from tests.world import as_scan_role, bucket_policy, everything, policies

A, B, C, PILOT = "111111111111", "222222222222", "333333333333", "888888888888"
SCENARIOS = scenario_names("04-add-ons")
SNIPPETS = Path(__file__).parent.parent / "data" / "snippets"

Through = Callable[..., Procedure]


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Add-ons are installed when the call that installs them returns: boto3 would look again after a second."""
    monkeypatch.setattr(clock, "OPERATION_SECONDS", 0)


@pytest.fixture
def procedure(environment: Environment, tmp_path: Path) -> Through:
    """Make a procedure from a scenario and values; each has a run folder of its own."""

    def make(scenario: str = "", *, apply: bool = False, **given: Any) -> Procedure:
        step = make_step(AddOns, scenario, given)
        folder = tmp_path / f"run-{len(list(tmp_path.iterdir()))}"
        return Procedure(step, environment, scenario=scenario, apply=apply, folder=str(folder))

    return make


def install(environment: Environment, name: str, stack: str, template: str = "", **parameters: str) -> str:
    """Install an add-on in account a, from its published template or another one; the ARN of its role."""
    client = environment.client("cloudformation", A)
    body = {"TemplateBody": template} if template else {"TemplateURL": template_url(name)}
    client.create_stack(
        StackName=stack,
        **body,
        Parameters=[
            {"ParameterKey": key, "ParameterValue": value}
            for key, value in {"BucketAVStackName": "bucketav", **parameters}.items()
        ],
        Capabilities=["CAPABILITY_IAM"],
    )
    client.get_waiter("stack_create_complete").wait(StackName=stack, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    outputs = client.describe_stacks(StackName=stack)["Stacks"][0]["Outputs"]
    return next((each["OutputValue"] for each in outputs if each["OutputKey"].endswith("RoleArn")), "")


def role_of(environment: Environment, stack: str) -> str:
    client = environment.client("cloudformation", A)
    outputs = client.describe_stacks(StackName=stack)["Stacks"][0]["Outputs"]
    return next(str(each["OutputValue"]) for each in outputs if each["OutputKey"].endswith("RoleArn"))


def found(procedure: Procedure, title: str, *words: str) -> list[tuple[Status, str]]:
    """The answers to a question, those about a subject that has the words."""
    return [
        (check.status, check.answer)
        for check in procedure.check()
        if check.title == title and all(word in check.subject for word in words)
    ]


# --- scenarios -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_scenario_applies_once_and_is_undone_to_the_letter(
    scenario: str, procedure: Through, environment: Environment
) -> None:
    before = everything(environment)
    folder = open_buckets(procedure(scenario))
    after = everything(environment)
    assert (after[0] == before[0]) == (scenario == "connected")
    again = procedure(scenario)
    assert again.plan().changes == ()
    open_buckets(again)
    assert everything(environment) == after
    undo(folder, environment)
    assert everything(environment) == before


def test_scenarios_work_after_those_of_every_notebook_in_one_sandbox(environment: Environment, tmp_path: Path) -> None:
    """As `make run` goes, and once more at the end: whoever is connected by then is in another situation."""
    others = [(step, name) for step in STEPS.values() for name in scenario_names(step.notebook)]
    own = [(STEPS["04-add-ons"], name) for name in SCENARIOS]
    for number, (step, name) in enumerate([*others, *own]):
        folder = str(tmp_path / f"run-{number}")
        open_buckets(Procedure(make_step(step, name, {}), environment, scenario=name, apply=True, folder=folder))


def test_a_preview_predicts_what_verification_then_finds(procedure: Through) -> None:
    previewed, applying = procedure("encrypted"), procedure("encrypted")
    plan = previewed.plan()
    predicted = previewed.verify(previewed.preview(plan)).access.rows
    proved = applying.verify(applying.apply(plan)).access.rows
    assert [(each.resource, each.action, each.before.verdict, each.after.verdict) for each in predicted] == [
        (each.resource, each.action, each.before.verdict, each.after.verdict) for each in proved
    ]


# --- documents -------------------------------------------------------------------------------------------------------

DOCUMENTS: Mapping[str, tuple[str, dict[str, Any], str, tuple[str, ...]]] = {
    "connection-target": ("clean-c", {"sources": f"{PILOT}/camera-pilot"}, "quarantine", ("connection-target",)),
    "target-bucket": ("clean-c", {"sources": "a/uploads-a"}, "bucketav-move-clean", ("target-bucket",)),
    "source-bucket": ("uploads-b", {"targets": "a/unscannable-a"}, "move-no", ("source-bucket",)),
    "scheduled-scan": ("uploads-b", {}, "scheduled-bucket-scan", ("scheduled-scan", "scan")),
}


@pytest.mark.parametrize(("bucket", "other", "add_on", "snippets"), DOCUMENTS.values(), ids=DOCUMENTS)
def test_a_bucket_without_a_policy_gets_the_documents_of_the_documentation(
    bucket: str,
    other: dict[str, str],
    add_on: str,
    snippets: tuple[str, ...],
    procedure: Through,
    environment: Environment,
) -> None:
    assert policies(environment)[f"arn:aws:s3:::{bucket}"] is None
    of_source = bucket == "uploads-b"
    given = {
        "source_buckets": ["b/uploads-b"] if of_source else [other["sources"]],
        "target_buckets": [other["targets"]] if "targets" in other else [] if of_source else [f"c/{bucket}"],
    }
    plan = procedure(**given, add_ons=[add_on]).plan()
    (after,) = [change.after for change in plan.changes if change.name == bucket]
    role = (role_of(environment, "bucketav-" + add_on.removeprefix("bucketav-")), role_of(environment, "bucketav"))
    statements = []
    for snippet, own in zip(snippets, role, strict=False):
        text = (SNIPPETS / f"{snippet}.json").read_text()
        for name, value in {
            "ROLE_ARN": own,
            "BUCKET_NAME": bucket,
            "ACCOUNT_B_ID": PILOT,
            "BUCKETAV_STACK_NAME": "bucketav",
        }.items():
            text = text.replace(name, value)
        statements += json.loads(text)["Statement"]
    assert after == json.dumps({"Version": "2012-10-17", "Statement": statements}, separators=(",", ":"))


@pytest.mark.parametrize("mode", ["literal", "hardened"])
def test_all_snippets_meet_in_one_bucket_and_one_is_taken_out_again(
    mode: str, procedure: Through, environment: Environment, sandbox: Sandbox
) -> None:
    install(environment, "move-clean", "bucketav-move-clean-b", TargetBucketName="uploads-b")
    # What bucketAV is told of, it scans at once: a schedule is for what it was not told of.
    uploads = environment.client("s3", B)
    uploads.put_bucket_notification_configuration(Bucket="uploads-b", NotificationConfiguration={})
    taken = {
        "source_buckets": ["b/uploads-b"],
        "target_buckets": ["a/unscannable-a"],
        "add_ons": ["move-no", "scheduled-bucket-scan"],
        "mode": mode,
    }
    put = {
        "source_buckets": ["a/uploads-a", "c/archive-c"],
        "target_buckets": ["b/uploads-b"],
        "add_ons": ["bucketav-move-clean-b"],
        "mode": mode,
    }

    def moves(stack: str, owner: str, source: str, target_owner: str, target: str, status: str) -> bool:
        environment.client("s3", owner).put_object(Bucket=source, Key="file.txt", Body=b"x")
        try:
            StandIn(sandbox, A, stack).take({"bucket": source, "key": "file.txt", "status": status})
        except ClientError:
            return False
        environment.client("s3", target_owner).delete_object(Bucket=target, Key="file.txt")
        return True

    def working() -> dict[str, bool]:
        environment.client("s3", B).put_object(Bucket="uploads-b", Key="scan.txt", Body=b"x")
        try:
            scheduled = any(
                each.key == "scan.txt" for each in StandIn(sandbox, A, "bucketav-scheduled-bucket-scan").scan()
            )
        except ClientError:
            scheduled = False
        try:
            scans = bool(as_scan_role(environment).get_object(Bucket="uploads-b", Key="scan.txt"))
        except ClientError:
            scans = False
        return {
            "target": moves("bucketav-move-clean-b", A, "uploads-a", B, "uploads-b", "clean"),
            "connection target": moves("bucketav-move-clean-b", C, "archive-c", B, "uploads-b", "clean"),
            "source": moves("bucketav-move-no", B, "uploads-b", A, "unscannable-a", "no"),
            "scheduled": scheduled,
            "scan": scans,
        }

    assert set(working().values()) == {False}
    for given in (taken, put):
        open_buckets(procedure(**given))
    assert set(working().values()) == {True}
    statements = json.loads(bucket_policy(environment, "uploads-b"))["Statement"]
    assert len(statements) == 2 + 2 + 4 + 2 + 2
    sids = [each["Sid"] for each in statements if "Sid" in each]
    assert len(set(sids)) == len(sids)
    assert {"bucketAVRequired1MoveCleanTarget", "bucketAVRequired1ConnectionTarget"} <= set(sids)
    assert all(procedure(**given).plan().changes == () for given in (taken, put))

    gone = {name: value for name, value in taken.items() if name != "add_ons"}
    open_buckets(procedure(**gone, remove_add_ons=["move-no"]))
    everywhere = dict.fromkeys(["target", "connection target", "source", "scheduled", "scan"], True)
    assert working() == everywhere | {"source": False}
    left = json.loads(bucket_policy(environment, "uploads-b"))["Statement"]
    assert left == [each for each in statements if "move-no" not in json.dumps(each)]


def test_a_role_that_puts_and_takes_keeps_what_the_one_needs_when_the_other_is_changed(
    procedure: Through, environment: Environment
) -> None:
    """Both list the bucket, with statements that say the same: it stands there once."""
    install(environment, "move-clean", "bucketav-move-clean-b", TargetBucketName="uploads-b")
    source = {"source_buckets": ["b/uploads-b"], "add_ons": ["bucketav-move-clean-b"]}
    target = {"target_buckets": ["b/uploads-b"], "add_ons": ["bucketav-move-clean-b"]}
    open_buckets(procedure(**source))
    open_buckets(procedure(**target))
    assert len(json.loads(bucket_policy(environment, "uploads-b"))["Statement"]) == 3
    open_buckets(procedure(**target, mode="hardened"))
    assert procedure(**source).plan().changes == ()
    open_buckets(procedure(**source, mode="hardened"))
    text = bucket_policy(environment, "uploads-b")
    assert "s3:ListBucket*" not in text
    assert procedure(**target, mode="hardened").plan().changes == ()


def test_a_connection_role_is_let_in_for_all_add_ons_and_stays_as_long_as_one_is_left(procedure: Through) -> None:
    pair = {"source_buckets": [f"{PILOT}/camera-pilot"], "target_buckets": ["c/quarantine-c", "c/clean-c"]}
    both = procedure(**pair, add_ons=["quarantine", "bucketav-move-clean"])
    assert [change.name for change in both.plan().changes] == ["quarantine-c", "clean-c"]
    open_buckets(both)
    removing = procedure(**pair, remove_add_ons=["quarantine"])
    assert [change.name for change in removing.plan().changes] == ["quarantine-c"]
    open_buckets(removing)
    assert [change.name for change in procedure(**pair, remove_add_ons=["quarantine"]).plan().changes] == []


# --- add-ons ---------------------------------------------------------------------------------------------------------

INSTALLED = "The add-on is installed"
OTHER = """
Parameters: {BucketAVStackName: {Type: String}}
Resources: {Topic: {Type: AWS::SNS::Topic}}
Outputs:
  AddOn: {Value: slack-notification}
  Version: {Value: 2.0.0}
"""


def test_an_add_on_that_is_missing_is_said_with_its_template(procedure: Through, environment: Environment) -> None:
    client = environment.client("cloudformation", A)
    client.delete_stack(StackName="bucketav-quarantine")
    client.get_waiter("stack_delete_complete").wait(StackName="bucketav-quarantine", WaiterConfig={"Delay": 1})
    ((status, answer),) = found(procedure("connection-target"), INSTALLED)
    assert (status, template_url("quarantine") in answer) == (Status.FAILED, True)
    with pytest.raises(ChecksFailed, match=r"v2\.0\.0/bucketav-add-on-quarantine\.yaml"):
        procedure("connection-target", apply=True).check()


def test_an_add_on_that_stays_in_account_a_is_named_as_such(procedure: Through, environment: Environment) -> None:
    install(environment, "slack-notification", "bucketav-slack", OTHER)
    ((status, answer),) = found(procedure("connected", add_ons=["slack-notification"]), INSTALLED)
    assert (status, "It works within account a only" in answer) == (Status.FAILED, True)
    listed = found(procedure(source_buckets=["c/archive-c"]), INSTALLED, "bucketav-slack")
    assert [status for status, _ in listed] == [Status.OK]


def test_a_name_that_nothing_is_called_by_is_told_with_what_there_is(procedure: Through) -> None:
    ((status, answer),) = found(procedure("connected", add_ons=["quarantin"]), INSTALLED)
    assert (status, "Did you mean `quarantine`?" in answer) == (Status.FAILED, True)


def test_an_old_add_on_does_not_know_connected_accounts(procedure: Through) -> None:
    partner = {"target_buckets": ["c/clean-partner-c"], "add_ons": ["bucketav-move-clean-partner"]}
    ((status, answer),) = found(procedure(source_buckets=[f"{PILOT}/camera-pilot"], **partner), INSTALLED)
    assert (status, template_url("move-clean") in answer) == (Status.FAILED, True)
    ((status, _),) = found(procedure(source_buckets=["a/uploads-a"], **partner), INSTALLED)
    assert status is Status.WARNING


def test_an_add_on_without_the_output_of_its_role_is_too_old(procedure: Through, environment: Environment) -> None:
    install(environment, "quarantine", "bucketav-old", OTHER.replace("slack-notification", "quarantine"))
    ((status, answer),) = found(procedure("connection-target", add_ons=["bucketav-old"]), INSTALLED)
    assert (status, "no output `QuarantineRoleArn`" in answer) == (Status.FAILED, True)


def test_one_of_several_stacks_of_an_add_on_is_chosen_by_the_target_that_it_is_set_up_for(procedure: Through) -> None:
    chosen = procedure(source_buckets=["a/uploads-a"], target_buckets=["c/clean-c"])
    (change,) = chosen.plan().changes
    assert "bucketav-move-clean-MoveRole" in change.summary
    ((_, answer),) = found(chosen, INSTALLED, "bucketav-move-clean-documents")
    assert "It is set up for `clean-documents-c`, so it is left out here" in answer
    every = procedure(source_buckets=["a/uploads-a"], target_buckets=["c/clean-c"], add_ons=["move-clean"])
    assert sum(status is Status.WARNING for status, _ in found(every, "The add-on is set up for the bucket")) == 2


def test_another_situation_than_the_expected_one_is_refused(procedure: Through) -> None:
    expecting = procedure("target-bucket", situation="connected")
    (status, answer), _ = found(expecting, "Which situation it is")
    assert (status, "`situation` says `connected`" in answer) == (Status.FAILED, True)
    assert expecting.plan().changes == ()
    with pytest.raises(ParameterError, match="it can be"):
        procedure("target-bucket", situation="conected")


def test_without_a_bucket_or_with_an_unknown_account_nothing_begins(
    procedure: Through, environment: Environment
) -> None:
    with pytest.raises(ParameterError, match="Give `source_buckets`, `target_buckets`, or both"):
        procedure(add_ons=["quarantine"])
    with pytest.raises(ParameterError, match="there is no account `x`"):
        procedure(source_buckets=["x/uploads-b"]).step.examine(environment)


def test_a_connection_whose_role_is_gone_is_refused_before_s3_would(
    procedure: Through, environment: Environment
) -> None:
    iam, role = environment.client("iam", PILOT), "bucketav-AccountConnection"
    for policy in iam.list_role_policies(RoleName=role)["PolicyNames"]:
        iam.delete_role_policy(RoleName=role, PolicyName=policy)
    iam.delete_role(RoleName=role)
    ((status, answer),) = found(procedure("connection-target"), "The role is there")
    assert (status, "02-iam-role" in answer) == (Status.FAILED, True)
    assert procedure("connection-target").plan().changes == ()


def test_an_add_on_that_was_installed_anew_makes_a_plan_out_of_date(
    procedure: Through, environment: Environment
) -> None:
    applying = procedure("connection-target")
    plan = applying.plan()
    client = environment.client("cloudformation", A)
    client.delete_stack(StackName="bucketav-quarantine")
    client.get_waiter("stack_delete_complete").wait(StackName="bucketav-quarantine", WaiterConfig={"Delay": 1})
    install(environment, "quarantine", "bucketav-quarantine", TargetBucketName="clean-c")
    with pytest.raises((StalePlan, ChecksFailed)):
        applying.apply(plan)


# --- buckets ---------------------------------------------------------------------------------------------------------


def test_files_that_others_put_may_not_belong_to_the_bucket_s_owner(procedure: Through) -> None:
    title = "Files belong to the bucket's owner"
    pair = {"source_buckets": ["a/uploads-a"], "add_ons": ["bucketav-move-clean-partner"]}
    ((status, answer),) = found(procedure(**pair, target_buckets=["c/clean-partner-c"]), title)
    assert (status, "bucket-owner-full-control" in answer) == (Status.WARNING, True)
    ((status, _),) = found(procedure("target-bucket", target_buckets=["c/clean-c"], **pair), title)
    assert status is Status.OK


def test_what_keeps_files_from_being_deleted_is_told(procedure: Through) -> None:
    title, add_ons = "Files can be deleted from the source", ["move-no"]
    ((status, answer),) = found(procedure(source_buckets=["b/records-b"], add_ons=add_ons), title)
    assert (status, "Object Lock is on" in answer) == (Status.WARNING, True)
    ((status, answer),) = found(procedure(source_buckets=["b/versions-b"], add_ons=add_ons), title)
    assert (status, "the version that was scanned is deleted" in answer) == (Status.OK, True)


def test_a_foreign_deny_makes_the_grant_useless(procedure: Through) -> None:
    refused = procedure(source_buckets=["a/uploads-a"], target_buckets=["c/restricted-c"], add_ons=["quarantine"])
    failed = [each for each in refused.check() if each.status is Status.FAILED]
    assert any("would stay denied" in each.found for each in failed)
    assert refused.plan().changes == ()


def test_a_source_that_is_not_scanned_is_told(procedure: Through) -> None:
    ((status, answer),) = found(procedure("source-bucket"), "The scan role can read the source")
    assert (status, "runbook run 05-bucket-policy" in answer) == (Status.WARNING, True)


def test_the_scan_role_s_own_statements_are_left_as_05_has_made_them(
    procedure: Through, environment: Environment, tmp_path: Path
) -> None:
    opened = make_step(STEPS["05-bucket-policy"], "one-bucket", {"delete_infected_files": "never"})
    open_buckets(Procedure(opened, environment, apply=True, folder=str(tmp_path / "opened")))
    open_buckets(procedure("scheduled-scan"))
    assert "s3:DeleteObject*" not in bucket_policy(environment, "uploads-b")


# --- keys ------------------------------------------------------------------------------------------------------------


def test_keys_and_the_restriction_of_the_stack_are_opened_together(
    procedure: Through, environment: Environment
) -> None:
    changes = procedure("encrypted").plan().changes
    kinds = [change.resource.kind for change in changes]
    assert kinds == ["cloudformation.stack-parameters", *["kms.key-policy"] * 2, *["s3.bucket-policy"] * 2]
    restriction = from_text(changes[0].after or "")["KMSKeyRestriction"].split(",")
    assert restriction[0] == f"arn:aws:kms:eu-west-1:{A}:key/*"
    assert set(restriction[1:]) == {changes[1].resource.arn, changes[2].resource.arn}
    reading, writing = (json.loads(change.after or "")["Statement"][-1] for change in changes[1:3])
    assert (reading["Action"], writing["Action"]) == ("kms:Decrypt", ["kms:GenerateDataKey", "kms:Decrypt"])


@pytest.mark.parametrize(("choice", "status"), [("check", Status.FAILED), ("skip", Status.WARNING)])
def test_keys_that_are_not_to_be_changed_are_refused_or_left(choice: str, status: Status, procedure: Through) -> None:
    left = procedure("encrypted", key_policy=choice)
    for title in ("Its keys let the role in", "The role's own policy lets it use the keys"):
        assert {each for each, _ in found(left, title)} == {status}
    kinds = {change.resource.kind for change in left.plan().changes}
    assert kinds == (set() if choice == "check" else {"s3.bucket-policy"})
    if choice == "skip":
        applying = procedure("encrypted", key_policy=choice)
        assert not applying.verify(applying.apply(applying.plan())).checks.failed


def test_the_keys_of_files_that_are_there_count_as_well(procedure: Through) -> None:
    migrated = procedure(source_buckets=["b/migrated-b"], add_ons=["move-no"], key_policy="change")
    assert [change.resource.kind for change in migrated.plan().changes] == ["kms.key-policy", "s3.bucket-policy"]
    assert any(
        "Some of its files are encrypted with" in answer for _, answer in found(migrated, "Its keys let the role in")
    )


def test_a_key_that_denies_is_refused(procedure: Through, environment: Environment) -> None:
    refused = procedure(
        source_buckets=["a/uploads-a"], target_buckets=["c/ledger-c"], key_policy="change", add_ons=["quarantine"]
    )
    ((status, answer),) = found(refused, "Its keys let the role in", "ledger-c")
    assert (status, "A statement would be useless" in answer) == (Status.FAILED, True)


def test_a_key_that_we_may_not_administer_is_refused(procedure: Through, environment: Environment) -> None:
    """KMS would not store a policy that locks out who puts it."""
    kms = environment.client("kms", B)
    key = next(each["TargetKeyId"] for each in kms.list_aliases()["Aliases"] if each["AliasName"] == "alias/documents")
    policy = json.loads(kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"])
    policy["Statement"][0]["Action"] = ["kms:Describe*", "kms:Get*", "kms:List*"]
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=json.dumps(policy), BypassPolicyLockoutSafetyCheck=True)
    answers = found(procedure("encrypted"), "Its keys let the role in", "documents-b")
    assert any("does not let arn:aws:sts" in answer for status, answer in answers if status is Status.FAILED)


def test_a_plan_that_would_lock_out_a_key_s_administrators_is_not_carried_out(
    procedure: Through, environment: Environment, tmp_path: Path
) -> None:
    """Whoever made the plan: here, one that leaves the account's own statement out."""
    applying = procedure("encrypted")
    plan = applying.plan()
    before = policies(environment)

    def harmful(change: Any) -> Any:
        if change.resource.kind != "kms.key-policy":
            return change
        body = json.loads(change.after)
        return change.model_copy(update={"after": json.dumps({**body, "Statement": body["Statement"][1:]})})

    edited: Plan = plan.model_copy(update={"changes": tuple(map(harmful, plan.changes))})
    with pytest.raises(StalePlan, match="differs in `after`"):
        applying.apply(edited)
    with pytest.raises((KeyLockOut, ApplyFailed), match="administrators of the key could not do any more"):
        apply(edited, environment, tmp_path / "edited")
    assert policies(environment) == before


def test_in_mode_hardened_keys_are_used_through_s3_only(procedure: Through, environment: Environment) -> None:
    open_buckets(procedure("encrypted"))
    hardened = procedure("encrypted", mode="hardened")
    assert [change.resource.kind for change in hardened.plan().changes] == [
        *["kms.key-policy"] * 2,
        *["s3.bucket-policy"] * 2,
    ]
    open_buckets(hardened)
    assert procedure("encrypted", mode="hardened").plan().changes == ()
    texts = [text or "" for arn, text in policies(environment).items() if ":key/" in arn]
    assert sum("kms:ViaService" in text and "bucketav-move-clean-documents" in text for text in texts) == 2


def test_somebody_else_s_statements_survive(procedure: Through, environment: Environment) -> None:
    statement = {
        "Sid": "bucketAVRequired1",
        "Effect": "Allow",
        "Principal": {"AWS": "arn:aws:iam::444444444444:root"},
        "Action": "s3:GetObject",
        "Resource": "arn:aws:s3:::uploads-b/*",
    }
    put_policy(environment, "b", "uploads-b", statement)
    open_buckets(procedure("scheduled-scan"))
    after = json.loads(bucket_policy(environment, "uploads-b"))["Statement"]
    assert after[0] == statement
    assert [each.get("Sid") for each in after].count("bucketAVRequired1") == 1
