"""Resources of the permissions: as narrow as AWS's service authorization reference lets them be."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from runbook.environment import load_environment
from runbook.errors import RunbookError
from runbook.parameters import ParameterError, load_yaml
from runbook.plan import Change, Plan, Resource
from runbook.policy import actions
from runbook.review import permissions, role_template
from runbook.review.permissions import choose, grants, policies, reasons
from runbook.review.resources import DELEGATED, FILE, HOME, MANAGEMENT, Scope, reason_for_any
from runbook.steps import ASKED

DATA = load_yaml(FILE)


def recorded() -> Iterator[tuple[str, str]]:
    """Every notebook with every action that it needs."""
    for notebook in ASKED:
        for action in sorted({action for found in permissions.read(notebook).values() for action in found}):
            yield notebook, action


@pytest.mark.parametrize(("notebook", "action"), tuple(recorded()))
def test_all_resources_are_allowed_only_where_aws_takes_nothing_narrower(notebook: str, action: str) -> None:
    for needs in grants(notebook).values():
        for arn in needs.get(action, ()):
            narrow = re.fullmatch(r"arn:aws:[a-z0-9]+:[a-z0-9*-]*:[a-z0-9*]*:.+", arn)
            assert bool(narrow) != bool(reason_for_any(notebook, action)), arn


@pytest.mark.parametrize("kind", DATA["resources"])
def test_a_pattern_has_the_form_that_the_reference_gives(kind: str) -> None:
    """Service, and whether there is a Region and an account; a role's name may have a path before it."""
    action = next(action for _, action in recorded() if kind in actions.resource_types(action))
    form = actions.resource_formats(action)[actions.resource_types(action).index(kind)].split(":")
    for pattern in DATA["resources"][kind]:
        parts = pattern.split(":")
        assert (parts[2], not parts[3], not parts[4]) == (form[2], not form[3], not form[4])
        assert parts[5].partition("/")[0] == form[5].partition("/")[0] or form[5].startswith("$")


def test_no_reason_is_given_for_what_nobody_calls() -> None:
    called = {*recorded()}
    assert {(notebook, action) for action, found in DATA["unnamed"].items() for notebook in found} <= called


def test_a_scenario_narrows_to_its_buckets_accounts_and_region() -> None:
    chosen = choose("05-bucket-policy", "encrypted-bucket")
    found = grants("05-bucket-policy", chosen.way, known=chosen.known)
    assert found["bucket accounts"]["s3:PutBucketPolicy"] == ("arn:aws:s3:::documents-b",)
    assert found["bucket accounts"]["kms:PutKeyPolicy"] == ("arn:aws:kms:*:222222222222:key/*",)
    assert found[HOME]["cloudformation:DescribeStacks"] == (
        "arn:aws:cloudformation:eu-west-1:111111111111:stack/bucketav/*",
    )


def test_without_a_scenario_names_are_patterns() -> None:
    found = grants("06-findings-topic")
    assert found["queue accounts"]["sqs:CreateQueue"] == ("arn:aws:sqs:*:*:*",)
    assert found[HOME]["sns:Subscribe"] == ("arn:aws:sns:*:*:bucketav-*",)


def test_parameters_narrow_like_a_scenario_but_need_what_any_run_may_need() -> None:
    chosen = choose("02-iam-role", given={"accounts": ["b"], "connection_stack_name": "scan-us"})
    found = grants("02-iam-role", chosen.way, known=chosen.known)["connected accounts"]
    assert found["cloudformation:CreateStack"] == ("arn:aws:cloudformation:eu-west-1:222222222222:stack/scan-us/*",)
    assert found["cloudformation:ExecuteChangeSet"] == found["cloudformation:CreateStack"]
    assert found["iam:CreateRole"] == ("arn:aws:iam::222222222222:role/bucketav-AccountConnection",)


def test_an_add_on_stack_that_is_called_otherwise_is_named() -> None:
    chosen = choose("04-add-ons", given={"source_buckets": ["a/uploads-a"], "add_ons": ["scan-exports"]})
    found = grants("04-add-ons", chosen.way, known=chosen.known)
    assert "arn:aws:iam::111111111111:role/scan-exports-*" in found[HOME]["iam:PutRolePolicy"]
    assert "bucket accounts" not in found or "s3:PutBucketPolicy" not in found["bucket accounts"]


def test_a_plan_narrows_whose_policies_are_written(tmp_path: Path) -> None:
    chosen = choose(saved=_saved(tmp_path, "arn:aws:s3:::documents-b"))
    found = grants(chosen.notebook, chosen.way, known=chosen.known)["bucket accounts"]
    assert found["s3:PutBucketPolicy"] == ("arn:aws:s3:::documents-b",)
    assert found["s3:GetBucketPolicy"] == ("arn:aws:s3:::documents-b", "arn:aws:s3:::uploads-b")
    assert "kms:PutKeyPolicy" not in found


def test_a_plan_takes_nothing_beside_it(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="leave out yours"):
        choose("05-bucket-policy", saved=_saved(tmp_path, "arn:aws:s3:::documents-b"))


def test_a_partition_follows_from_the_region(tmp_path: Path) -> None:
    file = tmp_path / "china.yaml"
    file.write_text('region: cn-north-1\naccounts: {a: {account_id: "111111111111"}}\n')
    scope = Scope.of(load_environment(str(file)), HOME)
    assert (scope.partition, scope.account, scope.management) == ("aws-cn", "111111111111", "*")


def test_the_delegated_administrator_needs_what_the_management_account_needs_otherwise() -> None:
    found = grants("03-stack-sets")
    assert "cloudformation:CreateStackSet" in found[DELEGATED]
    assert "cloudformation:CreateStackSet" in found[MANAGEMENT]
    assert "cloudformation:CreateStackSet" not in found[HOME]
    assert set(found[DELEGATED]) <= set(found[MANAGEMENT])
    assert "sqs:SetQueueAttributes" not in found[DELEGATED]


def test_reasons_name_the_actions_that_are_allowed_on_all_resources() -> None:
    found = policies("04-add-ons")
    said = "\n".join(reasons("04-add-ons", found))
    on_all = {
        action
        for policy in found.values()
        for each in policy.body["Statement"]
        if each["Resource"] == "*"
        for action in each["Action"]
    }
    assert "cloudformation:DescribeStacks" in on_all
    assert {action for action in on_all if action not in said} == set()


def test_policies_of_the_role_are_no_larger_than_iam_takes() -> None:
    template = yaml.safe_load(role_template.role_template())
    documents = {
        name: resource["Properties"]["PolicyDocument"]
        for name, resource in template["Resources"].items()
        if name != "Role"
    }
    assert documents
    for document in documents.values():
        assert len(json.dumps(document, separators=(",", ":"))) <= role_template.LARGEST_POLICY
    for condition in template["Conditions"]:
        assert sum(name.startswith(condition) for name in documents) <= role_template.MOST_POLICIES
    assert len(role_template.role_template().encode()) <= 51_200  # what CreateStack and CreateStackSet take in a call


def test_large_policies_are_divided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(role_template, "LARGEST_POLICY", 1200)
    whole = yaml.safe_load(role_template.role_template())["Resources"]
    home = [resource for name, resource in whole.items() if name.startswith("RunsBucketAV")]
    assert len(home) > 2
    allowed = [
        action
        for resource in home
        for each in resource["Properties"]["PolicyDocument"]["Statement"]
        for action in each["Action"]
    ]
    assert len(allowed) == len({*allowed})
    monkeypatch.setattr(role_template, "LARGEST_POLICY", 100)
    with pytest.raises(RunbookError, match="too large"):
        role_template.role_template()


def test_an_environment_fills_in_the_template() -> None:
    given = yaml.safe_load(role_template.role_template(load_environment("sandbox"), ["05-bucket-policy"]))
    defaults = {name: each.get("Default") for name, each in given["Parameters"].items()}
    assert defaults == {
        "TrustedPrincipal": None,
        "ExternalId": "",
        "RoleName": "bucketAV-runbook",
        "BucketAVAccountId": "111111111111",
        "BucketAVRegion": "eu-west-1",
        "BucketAVStackName": "bucketav",
        "ManagementAccountId": "999999999999",
        "DelegatedAdministratorId": "",
    }
    assert "ManagesStackSetsPolicy1" not in given["Resources"]


def _saved(folder: Path, bucket: str) -> Path:
    """Write a plan of two buckets that changes one of them."""
    resource = Resource(kind="s3.bucket-policy", account="222222222222", region="eu-west-1", arn=bucket)
    plan = Plan(
        step="05-bucket-policy",
        scenario="",
        environment="sandbox",
        parameters={"buckets": ["b/documents-b", "b/uploads-b"]},
        changes=(Change(resource=resource, summary="x", before=None, after="{}"),),
    )
    (folder / "plan.json").write_text(plan.to_json())
    return folder
