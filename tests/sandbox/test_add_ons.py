"""The add-ons that are installed in the seeded world, and where their templates are, seen as a notebook sees them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from runbook.sandbox import server
from runbook.sandbox.server import Sandbox
from tests.sandbox.add_ons import Organization
from tests.sandbox.cloudformation import A, given, outputs, resources_of, shown, stack_of
from tests.sandbox.snapshot import snapshot

B, C = "222222222222", "333333333333"

Client = Callable[..., Any]

# Stack -> add-on, version, role output, target bucket.
INSTALLED = {
    "bucketav-move-clean": ("move-clean", "2.0.0", "MoveRoleArn", "clean-c"),
    "bucketav-move-clean-documents": ("move-clean", "2.0.0", "MoveRoleArn", "clean-documents-c"),
    "bucketav-move-clean-partner": ("move-clean", "1.0.0", "MoveRoleArn", "clean-partner-c"),
    "bucketav-move-no": ("move-no", "2.0.0", "MoveRoleArn", "unscannable-a"),
    "bucketav-quarantine": ("quarantine", "2.0.0", "QuarantineRoleArn", "quarantine-c"),
    "bucketav-scheduled-bucket-scan": ("scheduled-bucket-scan", "2.0.0", "RoleArn", None),
}


def url(add_on: str, version: str) -> str:
    """FACTS of the product: the pattern of the templates' addresses."""
    return f"https://bucketav-add-ons.s3.eu-west-1.amazonaws.com/{add_on}/v{version}/bucketav-add-on-{add_on}.yaml"


@pytest.fixture
def organization(client: Client) -> Organization:
    return Organization(client)


@pytest.mark.parametrize("name", INSTALLED)
def test_an_installed_add_on_shows_what_the_documentation_asks_for(client: Client, name: str) -> None:
    add_on, version, output, target = INSTALLED[name]
    stack = stack_of(client("cloudformation", A), name)
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    found = outputs(stack)
    role = found.pop(output)
    assert found == {"AddOn": add_on, "Version": version, "StackName": name}
    assert client("iam", A).get_role(RoleName=role.rpartition("/")[2])["Role"]["Arn"] == role
    assert shown(stack).get("TargetBucketName") == target
    parameter = f"/bucketAV/bucketav/AddOn/{add_on}/{name}/Version"
    assert client("ssm", A).get_parameter(Name=parameter)["Parameter"]["Value"] == version


def test_nothing_else_is_installed(client: Client) -> None:
    stacks = client("cloudformation", A).describe_stacks()["Stacks"]
    assert {stack["StackName"] for stack in stacks if "AddOn" in outputs(stack)} == set(INSTALLED)


def test_the_names_of_the_roles_are_those_that_connections_trust(organization: Organization) -> None:
    """The trust of a connection role tells bucketAV's roles by their names: assumed, see its template."""
    for name in INSTALLED:
        assert organization.role_of(name).startswith(f"arn:aws:iam::{A}:role/bucketav-")


@pytest.mark.parametrize(
    ("add_on", "version"),
    [(add_on, version) for add_on, version in {each[:2]: None for each in INSTALLED.values()}],
)
def test_an_add_on_is_installed_from_its_address(client: Client, at_once: None, add_on: str, version: str) -> None:
    """Once more, under another name, as the vendor's template is published."""
    cloudformation = client("cloudformation", A)
    of_its_own = {"BucketName": "uploads-b"} if add_on == "scheduled-bucket-scan" else {"TargetBucketName": "archive-c"}
    cloudformation.create_stack(
        StackName="bucketav-again",
        TemplateURL=url(add_on, version),
        Parameters=given(**of_its_own),
        Capabilities=["CAPABILITY_IAM"],
    )
    assert outputs(stack_of(cloudformation, "bucketav-again"))["Version"] == version
    assert (
        f"/bucketAV/bucketav/AddOn/{add_on}/bucketav-again/Version"
        in resources_of(cloudformation, "bucketav-again").values()
    )
    cloudformation.delete_stack(StackName="bucketav-again")
    assert not [each for each in client("iam", A).list_roles()["Roles"] if "again" in each["RoleName"]]


def policies_of(client: Client, role_arn: str) -> dict[str, dict[str, Any]]:
    """The statements of a role's own policies, by Sid."""
    iam, role = client("iam", A), role_arn.rpartition("/")[2]
    return {
        statement.get("Sid", statement["Action"]): statement
        for name in iam.list_role_policies(RoleName=role)["PolicyNames"]
        for statement in iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]["Statement"]
    }


def test_the_roles_own_policy_follows_the_parameters(client: Client, organization: Organization, at_once: None) -> None:
    stack = "bucketav-move-clean-documents"
    before = policies_of(client, organization.role_of(stack))
    assert before["UseKeys"]["Resource"] == [f"arn:aws:kms:eu-west-1:{A}:key/*"]
    assert before["PutToTargetBucket"]["Resource"] == "arn:aws:s3:::clean-documents-c/*"
    keys = f"arn:aws:kms:eu-west-1:{A}:key/*,{organization.key_arn('clean-documents-c')}"
    role = organization.role_of(stack)
    organization.set_parameter(stack, KMSKeyRestriction=keys, TargetBucketName="archive-c")
    after = policies_of(client, organization.role_of(stack))
    assert organization.role_of(stack) == role, "buckets and keys name it"
    assert after["UseKeys"]["Resource"] == keys.split(",")
    assert after["PutToTargetBucket"]["Resource"] == "arn:aws:s3:::archive-c/*"


def test_only_the_older_version_knows_nothing_of_account_connections(
    client: Client, organization: Organization
) -> None:
    connected = {name: "sts:AssumeRole" in policies_of(client, organization.role_of(name)) for name in INSTALLED}
    assert connected == {name: each[1] != "1.0.0" for name, each in INSTALLED.items()}


def test_what_may_stand_in_for_an_add_on_is_account_a_only(client: Client, organization: Organization) -> None:
    role = organization.role_of("bucketav-quarantine")
    assert client("sts", A).assume_role(RoleArn=role, RoleSessionName="stand-in")["AssumedRoleUser"]
    sts = client("sts", B)
    with pytest.raises(sts.exceptions.ClientError, match="AccessDenied"):
        sts.assume_role(RoleArn=role, RoleSessionName="stand-in")


# Their buckets


def test_one_target_has_acls_enabled(organization: Organization) -> None:
    rules = {
        name: organization.s3(name).get_bucket_ownership_controls(Bucket=name)["OwnershipControls"]["Rules"]
        for name in ("clean-c", "clean-partner-c")
    }
    assert rules == {
        "clean-c": [{"ObjectOwnership": "BucketOwnerEnforced"}],
        "clean-partner-c": [{"ObjectOwnership": "BucketOwnerPreferred"}],
    }


def test_one_source_has_object_lock(organization: Organization) -> None:
    s3 = organization.s3("records-b")
    found = s3.get_object_lock_configuration(Bucket="records-b")["ObjectLockConfiguration"]
    assert found["ObjectLockEnabled"] == "Enabled"
    assert found["Rule"]["DefaultRetention"]["Mode"] == "GOVERNANCE"
    assert s3.get_bucket_versioning(Bucket="records-b")["Status"] == "Enabled"


@pytest.mark.parametrize(
    ("bucket", "manager"),
    [("unscannable-a", "CUSTOMER"), ("documents-b", "CUSTOMER"), ("clean-documents-c", "CUSTOMER"), ("vault-b", "AWS"),
     ("vault-c", "AWS")],
)  # fmt: skip
def test_every_account_has_a_bucket_with_a_customer_managed_key(
    client: Client, organization: Organization, bucket: str, manager: str
) -> None:
    owner = organization.owner(bucket)
    key = client("kms", owner).describe_key(KeyId=organization.key_arn(bucket))["KeyMetadata"]
    assert (key["KeyManager"], key["AWSAccountId"]) == (manager, owner)


def test_one_bucket_has_objects_from_before_its_default_encryption(organization: Organization) -> None:
    """AWS, "Default encryption FAQ": it counts for new objects; those from before 2023 may have none."""
    s3 = organization.s3("migrated-b")
    found = {year: s3.head_object(Bucket="migrated-b", Key=f"{year}.txt") for year in (2021, 2023, 2025)}
    assert {year: each.get("ServerSideEncryption") for year, each in found.items()} == {
        2021: None,
        2023: "aws:kms",
        2025: "AES256",
    }
    assert found[2023]["SSEKMSKeyId"] == organization.key_arn("documents-b")


def test_the_vendors_templates_are_public_and_nothing_more(client: Client, organization: Organization) -> None:
    s3 = client("s3", B)
    body = s3.get_object(Bucket="bucketav-add-ons", Key=url("quarantine", "2.0.0").split(".com/")[1])["Body"].read()
    assert b"QuarantineRoleArn" in body
    with pytest.raises(s3.exceptions.ClientError, match="AccessDenied"):
        s3.list_objects_v2(Bucket="bucketav-add-ons")


def test_what_the_world_holds_for_add_ons_changes_no_other_id(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or every addition would change stored outputs."""
    from runbook.sandbox import world

    with_them = snapshot()
    for table in ("KEYS_OF_ADD_ONS", "BUCKETS_OF_ADD_ONS", "ADD_ONS"):
        monkeypatch.setattr(world, table, ())
    server.reset()
    without = snapshot()
    for kind in ("keys", "roles"):
        for account, found in without[kind].items():
            assert all(each in with_them[kind][account] for each in found)
    assert without["buckets"].items() <= with_them["buckets"].items()
    assert len(without["buckets"]) < len(with_them["buckets"])
    assert [stack for stack in with_them["stacks"] if stack in without["stacks"]] == without["stacks"]
