"""S3 bucket-policy-based access in the sandbox, from plan to proof: what it opens and refuses, how it is undone."""

import json
from pathlib import Path
from typing import Any

import pytest

from runbook.aws.cloudformation import read_stack
from runbook.aws.s3 import BucketPolicy as BucketPolicyKind
from runbook.checks import Checks, ChecksFailed, Status
from runbook.environment import Environment
from runbook.parameters import ParameterError
from runbook.plan import Plan
from runbook.policy import document
from runbook.run import ApplyFailed, StalePlan, UndoRefused, undo
from runbook.steps.scenarios import scenario_names
from tests.steps.way import Through, foreign_statement, open_buckets, put_policy
from tests.world import as_scan_role, bucket_policy, policies, what_works

SCENARIOS = scenario_names("05-bucket-policy")
PROMISED = {"list", "list versions", "read", "read tags", "tag", "delete"}

# --- it does what it says, once, and can be taken back ---------------------------------------------------------------


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_scenario_applies_once_and_is_undone_to_the_letter(
    scenario: str, procedure: Through, environment: Environment
) -> None:
    before = policies(environment)
    folder = open_buckets(procedure(scenario))
    after = policies(environment)
    assert after != before

    again = procedure(scenario)
    assert again.plan().changes == ()
    open_buckets(again)
    assert policies(environment) == after

    undo(folder, environment)
    assert policies(environment) == before


def test_scenarios_work_after_one_another_in_one_sandbox(procedure: Through, environment: Environment) -> None:
    before = policies(environment)
    folders = [open_buckets(procedure(scenario)) for scenario in SCENARIOS]
    assert all(procedure(scenario).plan().changes == () for scenario in SCENARIOS)
    for folder in reversed(folders):
        undo(folder, environment)
    assert policies(environment) == before


def test_a_bucket_without_a_policy_gets_the_document_of_the_documentation(
    procedure: Through, environment: Environment
) -> None:
    open_buckets(procedure("one-bucket"))
    snippet = json.loads((Path(__file__).parent.parent / "data" / "snippets" / "scan.json").read_text())
    role = read_stack(environment).output("ScanRoleArn")
    expected = json.dumps(snippet).replace("ROLE_ARN", role).replace("BUCKET_NAME", "uploads-b")
    assert policies(environment)["arn:aws:s3:::uploads-b"] == json.dumps(json.loads(expected), separators=(",", ":"))


def test_the_scan_role_can_do_what_is_promised_on_opened_buckets_and_nothing_on_others(
    procedure: Through, environment: Environment
) -> None:
    """Really calls S3 with the scan role's credentials: before, after, and after undo."""
    opened = ["b/uploads-b", "b/website-uploads-b", "b/partner-exchange-b", "b/documents-b", "c/archive-c"]
    others = ["b/versions-b", "c/quarantine-c", "b/crowded-b"]

    def works(address: str) -> set[str]:
        account, bucket = address.split("/")
        owner = environment.client("s3", environment.account_id(account))
        owner.put_object(Bucket=bucket, Key="scan-me.txt", Body=b"scan me")
        return {name for name, worked in what_works(as_scan_role(environment), bucket).items() if worked}

    assert all(works(address) == set() for address in [*opened, *others])
    folder = open_buckets(procedure(buckets=opened, key_policy="change"))
    assert {address: works(address) for address in opened} == dict.fromkeys(opened, PROMISED)
    assert all(works(address) == set() for address in others)
    undo(folder, environment)
    assert all(works(address) == set() for address in [*opened, *others])


def test_a_bucket_in_another_region_and_one_with_versions_are_opened(
    procedure: Through, environment: Environment
) -> None:
    open_buckets(procedure(buckets=["b/frankfurt-b", "b/versions-b"]))
    client = as_scan_role(environment)
    versions = client.list_object_versions(Bucket="versions-b")["Versions"]
    old = next(version for version in versions if not version["IsLatest"])
    assert client.get_object(Bucket="versions-b", Key=old["Key"], VersionId=old["VersionId"])["Body"].read()
    assert as_scan_role(environment, "eu-central-1").list_objects_v2(Bucket="frankfurt-b")["KeyCount"] >= 0


@pytest.mark.parametrize(
    ("delete", "tag", "expected"),
    [
        ("never", "never", {"list", "list versions", "read", "read tags"}),
        ("always", "never", {"list", "list versions", "read", "read tags", "delete"}),
        ("never", "always", {"list", "list versions", "read", "read tags", "tag"}),
        ("stack", "stack", PROMISED),
    ],
)
def test_deletion_and_tagging_follow_the_switches(
    delete: str, tag: str, expected: set[str], procedure: Through, environment: Environment
) -> None:
    environment.client("s3", environment.account_id("c")).put_object(Bucket="archive-c", Key="scan-me.txt", Body=b"x")
    open_buckets(procedure(buckets=["c/archive-c"], delete_infected_files=delete, tag_files=tag))
    worked = {name for name, worked in what_works(as_scan_role(environment), "archive-c").items() if worked}
    assert worked == expected


def test_what_is_no_longer_wanted_is_taken_out_and_the_rest_stays(procedure: Through, environment: Environment) -> None:
    open_buckets(procedure(buckets=["b/website-uploads-b"]))
    open_buckets(procedure(buckets=["b/website-uploads-b"], delete_infected_files="never"))
    text = bucket_policy(environment, "website-uploads-b")
    assert "s3:DeleteObject*" not in text
    assert "aws:SecureTransport" in text
    assert "s3:PutObjectTagging" in text


def test_hardened_mode_replaces_the_documented_statements(procedure: Through, environment: Environment) -> None:
    open_buckets(procedure("one-bucket"))
    open_buckets(procedure("one-bucket", mode="hardened"))
    text = bucket_policy(environment, "uploads-b")
    assert '*","' not in text.replace('uploads-b/*"', "")
    assert "s3:GetObjectVersion" in text
    assert procedure("one-bucket", mode="hardened").plan().changes == ()


def test_foreign_statements_and_oddities_survive_as_they_were(procedure: Through, environment: Environment) -> None:
    before = json.loads(bucket_policy(environment, "partner-exchange-b"))
    open_buckets(procedure(buckets=["b/partner-exchange-b"]))
    after = json.loads(bucket_policy(environment, "partner-exchange-b"))
    assert json.dumps(after["Statement"][: len(before["Statement"])]) == json.dumps(before["Statement"])
    assert {key: after[key] for key in before if key != "Statement"} == {
        key: before[key] for key in before if key != "Statement"
    }


# --- what it shows ---------------------------------------------------------------------------------------------------


def test_a_preview_predicts_what_verification_then_finds(procedure: Through) -> None:
    previewed = procedure("inventory")
    plan = previewed.plan()
    predicted = previewed.verify(previewed.preview(plan))
    applying = procedure("inventory")
    found = applying.verify(applying.apply(plan))
    assert [(row.resource, row.action, row.after.verdict) for row in predicted.access.rows] == [
        (row.resource, row.action, row.after.verdict) for row in found.access.rows
    ]
    assert [row.before.verdict for row in predicted.access.rows] == [row.before.verdict for row in found.access.rows]


def test_a_preview_changes_nothing_and_says_so_in_its_result(procedure: Through, environment: Environment) -> None:
    before = policies(environment)
    previewed = procedure("inventory")
    previewed.check()
    previewed.verify(previewed.preview(previewed.plan()))
    assert policies(environment) == before
    assert previewed.folder
    result = json.loads((previewed.folder / "result.json").read_text())
    assert (result["mode"], result["status"]) == ("preview", "done")


def test_the_probe_really_uses_the_scan_role_and_changes_no_tag(procedure: Through, environment: Environment) -> None:
    owner = environment.client("s3", environment.account_id("b"))
    key = owner.list_objects_v2(Bucket="uploads-b")["Contents"][0]["Key"]
    before = owner.get_object_tagging(Bucket="uploads-b", Key=key)["TagSet"]
    applying = procedure("one-bucket")
    verification = applying.verify(applying.apply(applying.plan()))
    (probe,) = [check for check in verification.checks if check.title == "The scan role really reads it"]
    assert (probe.status, "s3:PutObjectTagging worked" in probe.found) == (Status.OK, True)
    assert owner.get_object_tagging(Bucket="uploads-b", Key=key)["TagSet"] == before


def test_a_role_restriction_of_the_stack_is_warned_about(procedure: Through, environment: Environment) -> None:
    """S3BucketRestriction and the like limit the scan role's own policy, whatever the bucket's policy says."""
    client = environment.client("iam", environment.account_a)
    role = read_stack(environment).output("ScanRoleArn").rsplit("/", 1)[-1]
    for name in client.list_role_policies(RoleName=role)["PolicyNames"]:
        policy = client.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        for statement in policy["Statement"]:
            if "s3:ListBucket*" in statement["Action"]:
                statement["Resource"] = "arn:aws:s3:::only-this-one"
        client.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(policy))
    checks = procedure("one-bucket").check()
    (warning,) = [check for check in checks.with_status(Status.WARNING) if check.title == "The grant is of use"]
    assert "The scan role's own policy keeps it from s3:ListBucket" in warning.found
    assert "S3BucketRestriction" in warning.remedy
    with pytest.raises(ChecksFailed, match="the result is not the planned one"):
        open_buckets(procedure("one-bucket"))


def attach(environment: Environment, kind: str, target: str, statement: dict[str, Any]) -> None:
    """The organization's administrator attaches a policy."""
    client = environment.client("organizations", environment.account_id("management"))
    (root,) = client.list_roots()["Roots"]
    if kind not in [each["Type"] for each in root["PolicyTypes"]]:
        client.enable_policy_type(RootId=root["Id"], PolicyType=kind)
    content = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    policy = client.create_policy(Content=content, Description="", Name="Perimeter", Type=kind)["Policy"]
    client.attach_policy(PolicyId=policy["PolicySummary"]["Id"], TargetId=target)


PERIMETERS = {
    "on the role": ("SERVICE_CONTROL_POLICY", "111111111111", {}),
    "on the bucket's account": ("RESOURCE_CONTROL_POLICY", "222222222222", {"Principal": "*"}),
    "on the bucket's organizational unit": ("RESOURCE_CONTROL_POLICY", "ou-examp-production", {"Principal": "*"}),
}


@pytest.mark.parametrize(("kind", "target", "principal"), PERIMETERS.values(), ids=PERIMETERS)
def test_a_policy_of_the_organization_that_denies_is_found(
    kind: str, target: str, principal: dict[str, str], procedure: Through, environment: Environment
) -> None:
    statement = {"Sid": "NoTags", "Effect": "Deny", "Action": "s3:PutObjectTagging", "Resource": "*", **principal}
    attach(environment, kind, target, statement)
    (failed,) = procedure("one-bucket").check().with_status(Status.FAILED)
    assert "s3:PutObjectTagging would stay denied" in failed.found
    assert "NoTags" in failed.found


def test_policies_of_the_organization_that_cannot_be_read_are_a_warning(
    procedure: Through, environment: Environment
) -> None:
    del environment.file.accounts["management"]
    (warning,) = procedure("one-bucket").check().with_status(Status.WARNING)
    assert warning.title == "Policies of the organization are counted in"
    assert warning.subject == "111111111111, 222222222222"


# --- what it refuses, before any change ------------------------------------------------------------------------------

REFUSED = {
    "somebody else's bucket": (["c/versions-b"], {}, "does not belong to account 333333333333 (c)"),
    "no such bucket": (["b/uplods-b"], {}, "There is no such bucket"),
    "a stale principal": (["b/legacy-b"], {}, "a role or user that no longer exists"),
    "a policy that would be too large": (["b/crowded-b"], {}, "S3 takes 20,480"),
    "an AWS-managed key": (
        ["b/vault-b"],
        {"key_policy": "change"},
        "AWS-managed key aws/s3; its policy cannot be changed",
    ),
    "a public policy": (["b/public-assets-b"], {}, "The present policy is public and BlockPublicPolicy is on"),
    "a foreign deny": (["c/restricted-c"], {}, "would stay denied"),
    "a key that is not open": (["b/documents-b"], {}, "does not let the scan role decrypt"),
    "a key that denies": (["c/ledger-c"], {"key_policy": "change"}, "A statement would be useless there"),
}


@pytest.mark.parametrize(("buckets", "given", "said"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_work_is_refused_before_any_change(
    buckets: list[str], given: dict[str, str], said: str, procedure: Through, environment: Environment
) -> None:
    before = policies(environment)
    applying = procedure(apply=True, buckets=["b/uploads-b", *buckets], **given)
    with pytest.raises(ChecksFailed) as error:
        applying.check()
    assert said in str(error.value)
    assert buckets[0].split("/")[1] in str(error.value)
    with pytest.raises(ChecksFailed):
        applying.apply(applying.plan())
    assert policies(environment) == before


@pytest.mark.parametrize(("buckets", "given", "said"), REFUSED.values(), ids=REFUSED)
def test_a_plan_leaves_out_what_is_refused_and_says_so(
    buckets: list[str], given: dict[str, str], said: str, procedure: Through
) -> None:
    del said
    plan = procedure(buckets=["b/uploads-b", *buckets], **given).plan()
    assert [change.name for change in plan.changes] == ["uploads-b"]
    assert [each.split("/")[1] for each in plan.left_out] == [buckets[0].split("/")[1]]
    assert "1 left out, because a check failed" in plan.summary


def test_an_inventory_that_states_another_region_is_refused(procedure: Through, tmp_path: Path) -> None:
    path = tmp_path / "buckets.csv"
    path.write_text("account,bucket,region\nb,frankfurt-b,eu-west-1\n")
    (failed,) = procedure(inventory=str(path)).check().with_status(Status.FAILED)
    assert "It is in eu-central-1; the inventory says eu-west-1" in failed.found


def test_an_unknown_account_name_is_refused_without_a_call(procedure: Through, environment: Environment) -> None:
    with pytest.raises(ParameterError, match="there is no account `x`"):
        procedure(buckets=["x/uploads-b"]).step.examine(environment)


def test_a_key_left_to_its_owner_is_a_warning_and_no_change(procedure: Through) -> None:
    left = procedure(buckets=["b/documents-b"], key_policy="skip")
    assert [check.title for check in left.check().with_status(Status.WARNING)] == ["What is encrypted can be read"]
    assert [change.resource.kind for change in left.plan().changes] == ["s3.bucket-policy"]


# --- plans that wait, runs that stop ---------------------------------------------------------------------------------


def test_a_stale_plan_is_refused_with_the_difference(procedure: Through, environment: Environment) -> None:
    applying = procedure("tagging-and-deletion")
    plan = applying.plan()
    put_policy(environment, "b", "website-uploads-b", foreign_statement("website-uploads-b"))
    before = policies(environment)
    with pytest.raises(StalePlan, match=r"nothing was changed(.|\n)*SomebodyElse"):
        applying.apply(plan)
    assert policies(environment) == before


def test_a_policy_that_aws_gives_back_in_another_order_has_not_moved(
    procedure: Through, environment: Environment
) -> None:
    """S3 may list the same principals or actions in another order from one GetBucketPolicy to the next."""
    statement = foreign_statement("uploads-b") | {"Action": ["s3:GetObject", "s3:GetObjectVersion"]}
    put_policy(environment, "b", "uploads-b", statement)
    applying = procedure("one-bucket")
    plan = applying.plan()
    (change,) = plan.changes
    body = json.loads(change.before or "")
    body["Statement"][0]["Action"].reverse()
    reordered = change.model_copy(update={"before": json.dumps(body, indent=1)})
    assert applying.apply(plan.model_copy(update={"changes": (reordered,)})).changed

    body["Statement"][0]["Sid"] = "Renamed"
    renamed = change.model_copy(update={"before": json.dumps(body)})
    with pytest.raises(StalePlan):
        procedure("one-bucket").apply(plan.model_copy(update={"changes": (renamed,)}))


def test_a_plan_for_a_scan_role_that_is_another_one_now_is_refused(
    procedure: Through, environment: Environment
) -> None:
    applying = procedure("one-bucket")
    plan = applying.plan()
    settings = (plan.observed[0].value or "").replace("ScanRole", "OldRole")
    moved = plan.observed[0].model_copy(update={"value": settings})
    with pytest.raises(StalePlan, match="OldRole"):
        applying.apply(plan.model_copy(update={"observed": (moved,)}))
    assert policies(environment)["arn:aws:s3:::uploads-b"] is None


def test_a_plan_that_was_saved_applies_from_its_data_alone(procedure: Through, environment: Environment) -> None:
    planned = procedure("encrypted-bucket")
    planned.plan()
    assert planned.folder
    loaded = Plan.load(planned.folder)
    applying = procedure("encrypted-bucket")
    assert applying.apply(loaded).changed == loaded.changes


def test_undo_refuses_when_someone_else_changed_the_policy_since(procedure: Through, environment: Environment) -> None:
    folder = open_buckets(procedure("inventory"))
    put_policy(environment, "c", "archive-c", foreign_statement("archive-c"))
    after = policies(environment)
    with pytest.raises(UndoRefused, match=r"Nothing was taken back(.|\n)*SomebodyElse"):
        undo(folder, environment)
    assert policies(environment) == after


def test_going_through_the_cells_again_keeps_the_evidence_of_the_first_run(
    procedure: Through, environment: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runbook.run.project_root", lambda: tmp_path)
    before = policies(environment)
    choice = procedure("one-bucket")
    folder = open_buckets(choice)
    evidence = {path.name: path.read_text() for path in folder.iterdir()}
    choice.check()
    choice.verify(choice.preview(choice.plan()))
    assert open_buckets(choice) != folder
    assert {path.name: path.read_text() for path in folder.iterdir()} == evidence
    undo(folder, environment)
    assert policies(environment) == before


def test_undo_twice_puts_back_once(procedure: Through, environment: Environment) -> None:
    folder = open_buckets(procedure("inventory"))
    assert undo(folder, environment).restored
    assert undo(folder, environment).restored == ()


def test_a_run_that_stops_half_way_can_be_finished_or_taken_back(
    procedure: Through, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a key and two buckets a write fails, as an operator's expired credentials would make it."""
    before = policies(environment)
    applying = procedure("inventory")
    plan = applying.plan()
    fail_at_write(monkeypatch, 3)
    with pytest.raises(ApplyFailed, match=r"Changes made: 3\. `runbook apply .*` goes on from here"):
        applying.apply(plan)
    monkeypatch.undo()
    half = policies(environment)
    assert half != before

    assert applying.folder
    undo(applying.folder, environment)
    assert policies(environment) == before

    applying.apply(plan)
    assert procedure("inventory").plan().changes == ()
    undo(applying.folder, environment)
    assert policies(environment) == before


def test_a_run_that_died_after_a_write_goes_on_without_doing_it_again(
    procedure: Through, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process dies between a change and its journal entry: the journal is in doubt, the bucket is not."""
    applying = procedure("inventory")
    plan = applying.plan()
    with monkeypatch.context() as patch:
        write = BucketPolicyKind.write

        def die(self: Any, *arguments: Any) -> None:
            write(self, *arguments)
            raise KeyboardInterrupt

        patch.setattr("runbook.progress.WORKERS", 1)
        patch.setattr(BucketPolicyKind, "write", die)
        with pytest.raises(KeyboardInterrupt):
            applying.apply(plan)
    applying.step.checks(environment, applying.step.observe(environment))
    assert applying.folder
    run = applying.apply(plan)
    events = [json.loads(line) for line in (applying.folder / "journal.jsonl").read_text().splitlines()]
    assert sum(event["event"] == "started" for event in events) == len(plan.changes)
    assert run.changed == plan.changes[2:], "the key was done, the first bucket turned out to be"
    assert procedure("inventory").plan().changes == ()


def fail_at_write(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Let the bucket policy write of that number fail; writes come one after the other."""
    write, calls = BucketPolicyKind.write, []

    def fail(self: Any, *arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == number:
            raise RuntimeError("the credentials have expired")
        return write(self, *arguments)

    monkeypatch.setattr("runbook.progress.WORKERS", 1)
    monkeypatch.setattr(BucketPolicyKind, "write", fail)


def test_the_size_that_is_checked_is_the_size_that_is_sent(procedure: Through, environment: Environment) -> None:
    open_buckets(procedure("one-bucket"))
    sent = bucket_policy(environment, "uploads-b")
    assert document.parse(sent, "it").size == len(sent.encode())


def test_checks_read_as_a_list(procedure: Through) -> None:
    checks = procedure("inventory").check()
    assert isinstance(checks, Checks)
    assert not checks.failed
