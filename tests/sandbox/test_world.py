"""The seeded world is the one that scenarios and notebooks presuppose, seen through the API as they see it."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.resources import files
from typing import Any

import pytest
from botocore.exceptions import ClientError

from runbook.policy.document import parse
from runbook.sandbox.server import Sandbox

A, B, C, D, E = "111111111111", "222222222222", "333333333333", "444444444444", "555555555555"
F, PILOT, SEALED, DORMANT = "777777777777", "888888888888", "121212121212", "131313131313"
LEFT, MANAGEMENT = "666666666666", "999999999999"

Client = Callable[..., Any]


def test_the_organization_has_its_accounts_where_they_belong(administrator: Client) -> None:
    organizations = administrator("organizations")
    organization = organizations.describe_organization()["Organization"]
    assert (organization["Id"], organization["MasterAccountId"]) == ("o-exampleorg", MANAGEMENT)
    root = organizations.list_roots()["Roots"][0]["Id"]
    places = {root: "Root"}
    for unit in organizations.list_organizational_units_for_parent(ParentId=root)["OrganizationalUnits"]:
        places[unit["Id"]] = unit["Name"]
        for nested in organizations.list_organizational_units_for_parent(ParentId=unit["Id"])["OrganizationalUnits"]:
            places[nested["Id"]] = f"{unit['Name']}/{nested['Name']}"
    assert {
        account["Id"]: places[organizations.list_parents(ChildId=account["Id"])["Parents"][0]["Id"]]
        for account in organizations.list_accounts()["Accounts"]
    } == {
        MANAGEMENT: "Root",
        A: "Workloads",
        B: "Workloads/Production",
        C: "Workloads/Production",
        D: "Root",
        E: "Workloads",
        F: "Workloads/Production",
        PILOT: "Pilot",
        SEALED: "Workloads/Regulated",
        DORMANT: "Suspended",
    }


def test_one_account_is_suspended(administrator: Client) -> None:
    accounts = administrator("organizations").list_accounts()["Accounts"]
    assert [each["Id"] for each in accounts if each["Status"] != "ACTIVE"] == [DORMANT]


def test_one_account_may_not_make_roles(client: Client) -> None:
    """AWS, "Service control policies": they bound the account's administrators too."""
    trust = json.dumps({"Version": "2012-10-17", "Statement": []})
    with pytest.raises(ClientError, match=r"iam:CreateRole .* with an explicit deny in a service control policy"):
        client("iam", SEALED).create_role(RoleName="mine", AssumeRolePolicyDocument=trust)
    assert client("iam", SEALED).list_roles()["Roles"]


def test_an_organizational_unit_can_carry_a_policy_as_on_aws(administrator: Client) -> None:
    """AWS, AttachPolicy: an OU's id is `ou-`, 4 to 32 letters or digits of the root's id, `-`, 8 to 32 more."""
    organizations = administrator("organizations")
    content = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]})
    made = organizations.create_policy(Name="p", Description="", Type="SERVICE_CONTROL_POLICY", Content=content)
    identifier = made["Policy"]["PolicySummary"]["Id"]
    for target in ("r-examp", "ou-examp-workload", "ou-examp-production"):
        organizations.attach_policy(PolicyId=identifier, TargetId=target)
    targets = organizations.list_targets_for_policy(PolicyId=identifier)["Targets"]
    assert [target["TargetId"] for target in targets] == ["r-examp", "ou-examp-workload", "ou-examp-production"]


@pytest.mark.parametrize("account", [A, B, C, D, E, F, PILOT, SEALED])
def test_every_member_account_has_the_role_that_organizations_makes(client: Client, account: str) -> None:
    """AWS, "Accessing a member account": OrganizationAccountAccessRole has full administrative permissions and trusts
    the management account.
    """
    iam = client("iam", account)
    role = iam.get_role(RoleName="OrganizationAccountAccessRole")["Role"]
    principal = role["AssumeRolePolicyDocument"]["Statement"][0]["Principal"]
    assert principal == {"AWS": f"arn:aws:iam::{MANAGEMENT}:root"}
    attached = iam.list_attached_role_policies(RoleName=role["RoleName"])["AttachedPolicies"]
    assert [found["PolicyArn"] for found in attached] == ["arn:aws:iam::aws:policy/AdministratorAccess"]


def test_the_management_account_has_no_such_role(administrator: Client) -> None:
    """AWS: the role is made in the accounts that an organization creates, not in the one that manages it."""
    names = [role["RoleName"] for role in administrator("iam").list_roles()["Roles"]]
    assert names == ["AWSServiceRoleForCloudFormationStackSetsOrgAdmin"]


# bucketAV


@pytest.fixture
def stack(client: Client) -> dict[str, Any]:
    found: dict[str, Any] = client("cloudformation", A).describe_stacks(StackName="bucketav")["Stacks"][0]
    return found


def outputs(stack: dict[str, Any]) -> dict[str, str]:
    return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}


def test_the_stack_shows_what_bucketavs_stack_shows(stack: dict[str, Any]) -> None:
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    assert set(outputs(stack)) == {
        "ScanRoleArn", "FindingsTopicArn", "FindingsTopicName", "ScanQueueArn", "ScanQueueName", "ScanQueueUrl",
        "DeadLetterQueueArn", "Version", "Engine", "FulfillmentOption", "StackName", "InfrastructureAlarmsTopicArn",
    }  # fmt: skip
    shown = outputs(stack)
    assert (shown["Version"], shown["Engine"], shown["StackName"]) == ("2.19.3", "clamav", "bucketav")
    assert shown["ScanRoleArn"].startswith(f"arn:aws:iam::{A}:role/bucketav-ScanRole-")


def test_the_stacks_parameters_are_those_that_a_plan_looks_at(stack: dict[str, Any]) -> None:
    parameters = {parameter["ParameterKey"]: parameter["ParameterValue"] for parameter in stack["Parameters"]}
    assert len(parameters) >= 25
    assert {name: parameters[name] for name in ("AWSAccountRestriction", "AWSOrganizationRestriction")} == {
        "AWSAccountRestriction": f"{B},{C},{F},{PILOT},{LEFT}",
        "AWSOrganizationRestriction": "",
    }
    for name in ("S3BucketRestriction", "S3ObjectRestriction", "KMSKeyRestriction"):
        assert parameters[name] == "*"
    assert (parameters["DeleteInfectedFiles"], parameters["TagFiles"], parameters["TagKey"]) == (
        "true",
        "true",
        "bucketav",
    )


def test_what_the_stack_names_is_there(client: Client, stack: dict[str, Any]) -> None:
    shown = outputs(stack)
    role = client("iam", A).get_role(RoleName=shown["ScanRoleArn"].rpartition("/")[2])["Role"]
    assert role["Arn"] == shown["ScanRoleArn"]
    assert client("sns", A).get_topic_attributes(TopicArn=shown["FindingsTopicArn"])["Attributes"]["Owner"] == A
    sqs = client("sqs", A)
    for arn in (shown["ScanQueueArn"], shown["DeadLetterQueueArn"]):
        url = sqs.get_queue_url(QueueName=arn.rpartition(":")[2])["QueueUrl"]
        assert sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"] == arn
    pages = client("ssm", A).get_paginator("get_parameters_by_path").paginate(Path="/bucketAV/bucketav", Recursive=True)
    ssm = [found for page in pages for found in page["Parameters"]]
    own = [found for found in ssm if "/AddOn/" not in found["Name"]]
    assert {found["Name"].rpartition("/")[2]: found["Value"] for found in own} == {
        **{
            name: shown[name] for name in ("Version", "Engine", "FulfillmentOption", "ScanQueueArn", "FindingsTopicArn")
        },
        "ScanQueueUrl": shown["ScanQueueUrl"],
        "CrossAccount": "true",
    }


def test_queues_of_the_pilot_and_of_account_f_listen_to_the_findings_topic(
    client: Client, stack: dict[str, Any]
) -> None:
    """Subscribed by account a and confirmed; the pilot's holds findings, and something that is none."""
    topic = outputs(stack)["FindingsTopicArn"]
    listed = client("sns", A).list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    queues = {PILOT: "bucketav-findings", F: "old-findings"}
    assert {each["Endpoint"]: each["SubscriptionArn"].startswith(topic) for each in listed} == {
        f"arn:aws:sqs:eu-west-1:{account}:{name}": True for account, name in queues.items()
    }
    sqs = client("sqs", PILOT)
    url = sqs.get_queue_url(QueueName=queues[PILOT])["QueueUrl"]
    bodies = [each["Body"] for each in sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]]
    findings = [json.loads(json.loads(body)["Message"]) for body in bodies if body.startswith("{")]
    assert [finding["status"] for finding in findings] == ["clean", "infected", "clean", "no"]
    assert len(bodies) == 5


def test_the_dashboard_has_the_tile_of_connected_accounts(client: Client) -> None:
    body = json.loads(client("cloudwatch", A).get_dashboard(DashboardName="bucketav-eu-west-1")["DashboardBody"])
    tile = next(widget for widget in body["widgets"] if widget["properties"].get("title") == "AWS accounts")
    assert (tile["type"], tile["properties"]["params"]) == ("custom", {"view": "accounts"})


def test_accounts_b_and_c_are_allowlisted_and_one_that_left_the_organization(
    client: Client, administrator: Client
) -> None:
    topic = f"arn:aws:sns:eu-west-1:{A}:bucketav-AccountConnectionTopic"
    policy = json.loads(client("sns", A).get_topic_attributes(TopicArn=topic)["Attributes"]["Policy"])
    accounts = [each["Condition"]["StringEquals"].get("aws:PrincipalAccount") for each in policy["Statement"]]
    assert [B, C, F, PILOT, LEFT] in accounts
    assert LEFT not in [each["Id"] for each in administrator("organizations").list_accounts()["Accounts"]]


def connections(client: Client) -> list[dict[str, str]]:
    items = client("dynamodb", A).scan(TableName="bucketav-AccountConnection")["Items"]
    return [{name: value["S"] for name, value in item.items()} for item in items]


@pytest.mark.parametrize(
    ("account", "prefix"),
    [(C, "bucketav-account-connection"), (PILOT, "StackSet-bucketav-account-connection-pilot-")],
)
def test_two_accounts_are_connected_by_their_stacks(client: Client, account: str, prefix: str) -> None:
    """The item is what bucketAV's function made of the stack; only its times are older."""
    (stack,) = client("cloudformation", account).describe_stacks()["Stacks"]
    assert (stack["StackStatus"], outputs(stack)["Version"]) == ("CREATE_COMPLETE", "1.0.0")
    assert stack["StackName"].startswith(prefix)
    assert {each["account_id"] for each in connections(client)} == {C, PILOT}
    assert [each for each in connections(client) if each["account_id"] == account] == [
        {
            "account_connection_id": f"aws:eu-west-1:{account}",
            "partition": "aws",
            "region": "eu-west-1",
            "account_id": account,
            "organization_id": "o-exampleorg",
            "stack_id": stack["StackId"],
            "stack_name": stack["StackName"],
            "stack_version": "1.0.0",
            "role_name": "bucketav-AccountConnection",
            "created_at": "2025-11-03T09:12:45.000Z",
            "updated_at": "2025-11-03T09:12:45.000Z",
            "pinged_at": "2025-11-23T06:00:00.000Z",
        }
    ]


def test_account_a_manages_stack_sets_and_the_pilot_is_one(administrator: Client, client: Client) -> None:
    service = "member.org.stacksets.cloudformation.amazonaws.com"
    administrators = administrator("organizations").list_delegated_administrators(ServicePrincipal=service)
    assert [each["Id"] for each in administrators["DelegatedAdministrators"]] == [A]
    for cloudformation, options in (
        (administrator("cloudformation"), {}),
        (client("cloudformation", A), {"CallAs": "DELEGATED_ADMIN"}),
    ):
        assert cloudformation.describe_organizations_access(**options)["Status"] == "ENABLED"
        (found,) = cloudformation.list_stack_sets(**options)["Summaries"]
        name = found["StackSetName"]
        assert (name, found["Status"]) == ("bucketav-account-connection-pilot", "ACTIVE")
        described = cloudformation.describe_stack_set(StackSetName=name, **options)["StackSet"]
        assert described["OrganizationalUnitIds"] == ["ou-examp-pilotunit"]
        assert described["AutoDeployment"] == {"Enabled": True, "RetainStacksOnAccountRemoval": False}
        (instance,) = cloudformation.list_stack_instances(StackSetName=name, **options)["Summaries"]
        assert (instance["Account"], instance["Status"]) == (PILOT, "CURRENT")


def scan_policies(client: Client, account: str, stack_name: str) -> dict[str, Any]:
    shown = outputs(client("cloudformation", account).describe_stacks(StackName=stack_name)["Stacks"][0])
    iam, role = client("iam", account), shown["ScanRoleArn"].rpartition("/")[2]
    names = iam.list_role_policies(RoleName=role)["PolicyNames"]
    return {
        statement["Action"] if isinstance(statement["Action"], str) else statement["Action"][0]: statement["Resource"]
        for name in names
        for statement in iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]["Statement"]
    }


@pytest.fixture
def another_stack(client: Client, at_once: None) -> Callable[..., None]:
    """bucketAV once more, in account d, with other parameters."""
    template = files("runbook.sandbox").joinpath("bucketav.yaml").read_text(encoding="utf-8")

    def create(**parameters: str) -> None:
        client("cloudformation", D).create_stack(
            StackName="second",
            TemplateBody=template,
            Capabilities=["CAPABILITY_NAMED_IAM"],
            Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()],
        )

    return create


def test_the_scan_roles_own_policy_follows_the_parameters(client: Client, another_stack: Callable[..., None]) -> None:
    everything = scan_policies(client, A, "bucketav")
    for action in ("s3:ListBucket*", "s3:GetObject*", "kms:Decrypt", "s3:DeleteObject*", "s3:GetObjectTagging"):
        assert everything[action] in ("*", ["*"])
    another_stack(
        S3BucketRestriction="arn:aws:s3:::one,arn:aws:s3:::two",
        S3ObjectRestriction="arn:aws:s3:::one/*",
        KMSKeyRestriction=f"arn:aws:kms:eu-west-1:{D}:key/*",
        DeleteInfectedFiles="false",
        TagFiles="false",
    )
    restricted = scan_policies(client, D, "second")
    assert restricted["s3:ListBucket*"] == ["arn:aws:s3:::one", "arn:aws:s3:::two"]
    assert restricted["s3:GetObject*"] == ["arn:aws:s3:::one/*"]
    assert restricted["kms:Decrypt"] == [f"arn:aws:kms:eu-west-1:{D}:key/*"]
    assert not {"s3:DeleteObject*", "s3:GetObjectTagging"} & set(restricted)
    assert "sts:AssumeRole" not in restricted, "nobody is allowlisted"


@pytest.mark.parametrize(
    ("parameters", "key", "value"),
    [
        ({"AWSAccountRestriction": f"{B}, {C}"}, "aws:PrincipalAccount", [B, C]),
        ({"AWSOrganizationRestriction": "o-exampleorg"}, "aws:PrincipalOrgID", ["o-exampleorg"]),
    ],
)
def test_allowlisting_brings_what_account_connections_need(
    client: Client, another_stack: Callable[..., None], parameters: dict[str, str], key: str, value: list[str]
) -> None:
    another_stack(**parameters)
    assert client("dynamodb", D).list_tables()["TableNames"] == ["second-AccountConnection", "second-BucketCache"]
    topic = f"arn:aws:sns:eu-west-1:{D}:second-AccountConnectionTopic"
    policy = json.loads(client("sns", D).get_topic_attributes(TopicArn=topic)["Attributes"]["Policy"])
    assert value in [statement["Condition"]["StringEquals"].get(key) for statement in policy["Statement"]]
    cross_account = client("ssm", D).get_parameter(Name="/bucketAV/second/CrossAccount")["Parameter"]["Value"]
    assert cross_account == "true"
    assert scan_policies(client, D, "second")["sts:AssumeRole"] == "arn:aws:iam::*:role/second-AccountConnection"


def test_a_probe_may_assume_the_scan_role_from_account_a_only(
    client: Client, scan_role_arn: str, scan_role_client: Client
) -> None:
    assert f"{A}:assumed-role/bucketav-ScanRole-" in scan_role_client("sts").get_caller_identity()["Arn"]
    sts = client("sts", B)
    with pytest.raises(sts.exceptions.ClientError, match="AccessDenied"):
        sts.assume_role(RoleArn=scan_role_arn, RoleSessionName="probe")


# Buckets

BUCKETS = {
    B: ["uploads-b", "website-uploads-b", "partner-exchange-b", "crowded-b", "legacy-b", "public-assets-b",
        "documents-b", "vault-b", "versions-b", "frankfurt-b", "records-b", "migrated-b"],
    C: ["archive-c", "quarantine-c", "restricted-c", "ledger-c", "clean-c", "clean-documents-c", "clean-partner-c",
        "vault-c"],
}  # fmt: skip


@pytest.mark.parametrize("account", BUCKETS)
def test_the_buckets_have_their_names_and_block_public_policies(client: Client, account: str) -> None:
    s3 = client("s3", account)
    assert [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]] == BUCKETS[account]
    for name in BUCKETS[account]:
        region = s3.get_bucket_location(Bucket=name)["LocationConstraint"]
        assert region == ("eu-central-1" if name == "frankfurt-b" else "eu-west-1")
        settings = client("s3", account, region).get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"]
        assert (settings["BlockPublicPolicy"], settings["RestrictPublicBuckets"]) == (True, name != "public-assets-b")


def policy_of(client: Client, account: str, name: str, region: str | None = None) -> dict[str, Any] | None:
    s3 = client("s3", account, region)
    try:
        return dict(json.loads(s3.get_bucket_policy(Bucket=name)["Policy"]))
    except s3.exceptions.from_code("NoSuchBucketPolicy"):
        return None


@pytest.mark.parametrize(
    ("account", "name"),
    [
        (B, "uploads-b"),
        (B, "documents-b"),
        (B, "vault-b"),
        (B, "versions-b"),
        (B, "frankfurt-b"),
        (C, "archive-c"),
        (C, "ledger-c"),
    ],
)
def test_some_buckets_have_no_policy(client: Client, account: str, name: str) -> None:
    assert policy_of(client, account, name, "eu-central-1" if name == "frankfurt-b" else None) is None


@pytest.mark.parametrize(("account", "name"), [(B, "website-uploads-b"), (C, "quarantine-c")])
def test_some_buckets_deny_plain_http(client: Client, account: str, name: str) -> None:
    found = policy_of(client, account, name)
    assert found is not None
    assert [statement["Effect"] for statement in found["Statement"]] == ["Deny"]
    assert found["Statement"][0]["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_a_partners_grants_look_as_real_ones_do(client: Client) -> None:
    found = policy_of(client, B, "partner-exchange-b")
    assert found is not None
    assert (found["Version"], found["Id"]) == ("2008-10-17", "PartnerExchangePolicy")
    assert [statement.get("Sid") for statement in found["Statement"]] == ["Partner may read", None]
    assert [statement["Principal"]["AWS"] for statement in found["Statement"]] == [
        f"arn:aws:iam::{D}:role/PartnerExchange",
        f"arn:aws:iam::{D}:root",
    ]


def test_one_bucket_policy_has_300_bytes_left(sandbox: Sandbox, client: Client) -> None:
    s3 = client("s3", B)
    text = s3.get_bucket_policy(Bucket="crowded-b")["Policy"]
    assert parse(text, "crowded-b").size == len(text.encode()) == 20_480 - 300
    s3.put_bucket_policy(Bucket="crowded-b", Policy=text)  # everyone in it exists


def test_one_bucket_policy_names_a_role_that_is_gone(client: Client) -> None:
    """AWS, "AWS JSON policy elements: Principal": after a role is deleted, its id shows in its place."""
    found = policy_of(client, B, "legacy-b")
    assert found is not None
    assert found["Statement"][0]["Principal"]["AWS"].startswith("AROA")
    s3 = client("s3", B)
    with pytest.raises(s3.exceptions.ClientError, match="MalformedPolicy"):
        s3.put_bucket_policy(Bucket="legacy-b", Policy=json.dumps(found))


def test_one_bucket_policy_is_public_from_before_public_policies_were_blocked(client: Client) -> None:
    s3 = client("s3", B)
    assert s3.get_bucket_policy_status(Bucket="public-assets-b")["PolicyStatus"]["IsPublic"] is True
    text = s3.get_bucket_policy(Bucket="public-assets-b")["Policy"]
    with pytest.raises(s3.exceptions.ClientError, match="BlockPublicPolicy"):
        s3.put_bucket_policy(Bucket="public-assets-b", Policy=text)


def test_one_bucket_keeps_everybody_else_out(client: Client, scan_role_client: Client, scan_role_arn: str) -> None:
    found = policy_of(client, C, "restricted-c")
    assert found is not None
    grant = {
        "Effect": "Allow",
        "Principal": {"AWS": scan_role_arn},
        "Action": "s3:ListBucket",
        "Resource": "arn:aws:s3:::restricted-c",
    }
    granted = json.dumps({**found, "Statement": [*found["Statement"], grant]})
    client("s3", C).put_bucket_policy(Bucket="restricted-c", Policy=granted)
    s3 = scan_role_client("s3")
    with pytest.raises(s3.exceptions.ClientError, match="explicit deny"):
        s3.list_objects_v2(Bucket="restricted-c")


@pytest.mark.parametrize(
    ("account", "name", "alias", "manager"),
    [
        (B, "uploads-b", None, None),
        (B, "documents-b", "alias/documents", "CUSTOMER"),
        (B, "vault-b", "alias/aws/s3", "AWS"),
        (C, "ledger-c", "alias/ledger", "CUSTOMER"),
    ],
)
def test_buckets_are_encrypted_by_default_in_their_ways(
    client: Client, account: str, name: str, alias: str | None, manager: str | None
) -> None:
    s3 = client("s3", account)
    rules = s3.get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"]["Rules"]
    default = rules[0]["ApplyServerSideEncryptionByDefault"]
    if alias is None:
        assert default == {"SSEAlgorithm": "AES256"}
        return
    kms = client("kms", account)
    key = kms.describe_key(KeyId=default["KMSMasterKeyID"])["KeyMetadata"]
    assert (default["SSEAlgorithm"], key["KeyManager"]) == ("aws:kms", manager)
    assert key["Arn"] == kms.describe_key(KeyId=alias)["KeyMetadata"]["Arn"]
    first = s3.list_objects_v2(Bucket=name)["Contents"][0]["Key"]
    assert s3.head_object(Bucket=name, Key=first)["SSEKMSKeyId"] == key["Arn"]


def test_the_documents_key_can_be_opened_and_the_ledger_key_cannot(
    client: Client, scan_role_client: Client, scan_role_arn: str
) -> None:
    """A statement for the scan role is enough for the one, and useless beside the deny of the other."""
    grant = {"Effect": "Allow", "Principal": {"AWS": scan_role_arn}, "Action": "kms:Decrypt", "Resource": "*"}
    decrypted = {}
    for account, alias in ((B, "alias/documents"), (C, "alias/ledger")):
        kms = client("kms", account)
        key = kms.describe_key(KeyId=alias)["KeyMetadata"]["Arn"]
        document = json.loads(kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"])
        granted = {**document, "Statement": [*document["Statement"], grant]}
        kms.put_key_policy(KeyId=key, PolicyName="default", Policy=json.dumps(granted))
        ciphertext = kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
        scanner = scan_role_client("kms")
        try:
            decrypted[alias] = scanner.decrypt(KeyId=key, CiphertextBlob=ciphertext)["Plaintext"]
        except scanner.exceptions.ClientError as error:
            decrypted[alias] = error.response["Error"]["Code"]
    assert decrypted == {"alias/documents": b"x", "alias/ledger": "AccessDeniedException"}


def test_one_bucket_is_versioned_with_versions_and_a_delete_marker(client: Client) -> None:
    s3 = client("s3", B)
    assert s3.get_bucket_versioning(Bucket="versions-b")["Status"] == "Enabled"
    listed = s3.list_object_versions(Bucket="versions-b")
    assert [version["Key"] for version in listed["Versions"]] == ["contract.txt", "contract.txt", "obsolete.txt"]
    assert [marker["Key"] for marker in listed["DeleteMarkers"]] == ["obsolete.txt"]


def test_the_file_with_the_name_of_the_test_virus_is_harmless(client: Client) -> None:
    content = client("s3", B).get_object(Bucket="uploads-b", Key="eicar.com.txt")["Body"].read()
    assert b"EICAR-STANDARD-ANTIVIRUS" not in content
    assert b"X5O!P%@AP" not in content
