"""The simulated organization as a table: accounts, roles, keys, buckets with real-life policies, and bucketAV's stack.

`seed` puts it into moto's state, directly and not over HTTP, because a reset has to be quick. Only the stack is created
as everywhere: by CloudFormation, from the template beside this module.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from typing import Any
from unittest.mock import patch

from moto.dynamodb.models import dynamodb_backends
from moto.iam.models import iam_backends
from moto.moto_api._internal import mock_random
from moto.moto_api._internal.models import moto_api_backend
from moto.organizations import utils as organization_ids
from moto.organizations.models import OrganizationsBackend, organizations_backends
from moto.s3.models import s3_backends
from moto.sns.models import Topic, sns_backends
from moto.sqs.models import sqs_backends

from runbook.sandbox import clock, cloudformation, stack_sets, vendor
from runbook.sandbox.accounts import DORMANT, LEFT, MANAGEMENT, PILOT, SEALED, A, B, C, D, E, F
from runbook.sandbox.authorization import find_role
from runbook.sandbox.buckets import (
    Bucket,
    Key,
    Policy,
    make_bucket,
    make_key,
    minified,
    public_read,
    tell_of_new_objects,
)
from runbook.sandbox.callers import PARTITION, role_caller
from runbook.sandbox.cloudformation import stacks
from runbook.sandbox.findings import HARMLESS_EICAR, report
from runbook.sandbox.iam import ADMINISTRATOR_ACCESS
from runbook.sandbox.organizations import STACK_SETS
from runbook.sandbox.queues import FINDINGS_OF_THE_PILOT, KEYS_OF_QUEUES, MONITORING, NOT_A_FINDING, QUEUES, make_queue
from runbook.sandbox.s3_events import delivered
from runbook.sandbox.server import ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY

SEED = 20251123
"""With the same seed moto makes up the same ids: two sandboxes are equal in everything but times."""

ORGANIZATION = "o-exampleorg"
ROOT = "r-examp"
WORKLOADS = "ou-examp-workload"
PRODUCTION = "ou-examp-production"
REGULATED = "ou-examp-regulated"
PILOTS = "ou-examp-pilotunit"
SUSPENDED = "ou-examp-suspended"

ADMINISTRATOR = "administrator"
MEMBER_ROLE = "OrganizationAccountAccessRole"
STACK = "bucketav"
CONNECTION_STACK = "bucketav-account-connection"
PILOT_STACK_SET = "bucketav-account-connection-pilot"


@dataclass(frozen=True)
class Account:
    """A member account: where it is in the organization, and roles beyond OrganizationAccountAccessRole.

    `control` is a service control policy that is attached to the account, beside the one that allows everything.
    """

    id: str
    name: str
    parent: str
    roles: tuple[str, ...] = ()
    status: str = "ACTIVE"
    control: Policy | None = None


ORGANIZATIONAL_UNITS = (
    (WORKLOADS, "Workloads", ROOT),
    (PRODUCTION, "Production", WORKLOADS),
    (REGULATED, "Regulated", WORKLOADS),
    (PILOTS, "Pilot", ROOT),
    (SUSPENDED, "Suspended", ROOT),
)

ROLES_ARE_MADE_CENTRALLY: Policy = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Sid": "RolesAreMadeCentrally",
            "Effect": "Deny",
            "Action": "iam:CreateRole",
            "Resource": "*",
            "Condition": {"ArnNotLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/PlatformTeam"}},
        }
    ],
}

ACCOUNTS = (
    Account(A, "antivirus", WORKLOADS),
    Account(B, "uploads", PRODUCTION),
    Account(C, "archive", PRODUCTION),
    Account(D, "partner", ROOT, roles=("PartnerExchange", "InvoiceImport")),
    Account(E, "analytics", WORKLOADS),
    Account(F, "media", PRODUCTION),
    Account(PILOT, "pilot", PILOTS),
    Account(SEALED, "sealed", REGULATED, control=ROLES_ARE_MADE_CENTRALLY),
    Account(DORMANT, "dormant", SUSPENDED, status="SUSPENDED"),
)


def _outside(account: str) -> dict[str, Any]:
    return {"StringNotEquals": {"aws:PrincipalAccount": account}}


KEYS = (
    Key(B, "alias/documents"),
    Key(
        C,
        "alias/ledger",
        ({"Sid": "OnlyThisAccount", "Effect": "Deny", "Principal": "*", "Action": "kms:*", "Resource": "*",
          "Condition": _outside(C)},),
    ),
)  # fmt: skip


def _both(bucket: str) -> list[str]:
    return [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]


def _tls_only(bucket: str) -> Policy:
    """The statement that security baselines put on every bucket."""
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "AllowSSLRequestsOnly",
                "Effect": "Deny",
                "Principal": "*",
                "Action": "s3:*",
                "Resource": _both(bucket),
                "Condition": {"Bool": {"aws:SecureTransport": "false"}},
            }
        ],
    }


PARTNER_POLICY: Policy = {
    # An old Version, an Id, a Sid with spaces, a principal that is an account, a condition value that is no string.
    "Version": "2008-10-17",
    "Id": "PartnerExchangePolicy",
    "Statement": [
        {
            "Sid": "Partner may read",
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:aws:iam::{D}:role/PartnerExchange"},
            "Action": ["s3:GetObject", "s3:GetObjectVersion"],
            "Resource": "arn:aws:s3:::partner-exchange-b/outgoing/*",
        },
        {
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:aws:iam::{D}:root"},
            "Action": "s3:ListBucket",
            "Resource": "arn:aws:s3:::partner-exchange-b",
            "Condition": {"StringLike": {"s3:prefix": "outgoing/*"}, "Bool": {"aws:SecureTransport": True}},
        },
    ],
}

RESTRICTED_POLICY: Policy = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Sid": "DataPerimeter",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": _both("restricted-c"),
            "Condition": _outside(C),
        }
    ],
}

LEGACY_POLICY: Policy = {
    # What is left of a role that was deleted: S3 shows its id.
    "Version": "2012-10-17",
    "Statement": [
        {
            "Sid": "OldReporting",
            "Effect": "Allow",
            "Principal": {"AWS": "AROAQBVLEGACY3EXAMPLE"},
            "Action": "s3:GetObject",
            "Resource": "arn:aws:s3:::legacy-b/*",
        }
    ],
}

SIZE_LIMIT = 20_480
ROOM_IN_CROWDED_BUCKET = 300


def _crowded_policy() -> Policy:
    """A grant for every customer, until 300 bytes are left of the 20,480 that a bucket policy may have."""
    size = SIZE_LIMIT - ROOM_IN_CROWDED_BUCKET
    statements: list[dict[str, Any]] = []
    policy = {"Version": "2012-10-17", "Statement": statements}
    while len(minified(policy)) < size - 300:
        number = len(statements) + 1
        statements.append(
            {
                "Sid": f"Customer{number:03}",
                "Effect": "Allow",
                "Principal": {"AWS": f"arn:aws:iam::{D}:role/InvoiceImport"},
                "Action": "s3:GetObject",
                "Resource": f"arn:aws:s3:::crowded-b/customers/{number:03}/invoices/*",
            }
        )
    statements[-1]["Sid"] += "x" * (size - len(minified(policy)))
    return policy


BUCKETS = (
    Bucket(
        B,
        "uploads-b",
        objects={
            "eicar.com.txt": [HARMLESS_EICAR],
            "2025/11/invoice-4711.txt": ["Invoice 4711\n"],
            "readme.txt": ["Uploads\n"],
        },
    ),
    Bucket(B, "website-uploads-b", _tls_only("website-uploads-b"), objects={"avatars/ada.txt": ["Ada\n"]}),
    Bucket(B, "partner-exchange-b", PARTNER_POLICY, objects={"outgoing/prices.csv": ["article;price\n"]}),
    Bucket(B, "crowded-b", _crowded_policy(), objects={"customers/001/invoices/1.txt": ["Invoice 1\n"]}),
    Bucket(B, "legacy-b", LEGACY_POLICY, objects={"report-2019.txt": ["Report\n"]}),
    Bucket(B, "public-assets-b", public_read("public-assets-b"), restricts=False, objects={"logo.svg": ["<svg/>\n"]}),
    Bucket(B, "documents-b", key="alias/documents", objects={"contracts/acme.txt": ["Contract\n"]}),
    Bucket(B, "vault-b", key="alias/aws/s3", objects={"secrets.txt": ["Nothing secret\n"]}),
    Bucket(
        B,
        "versions-b",
        versioned=True,
        objects={"contract.txt": ["First draft\n", "Second draft\n"], "obsolete.txt": ["Obsolete\n"]},
        deleted=("obsolete.txt",),
    ),
    Bucket(B, "frankfurt-b", region="eu-central-1", objects={"anfrage.txt": ["Anfrage\n"]}),
    Bucket(C, "archive-c", objects={"2024/summary.txt": ["Summary\n"]}),
    Bucket(C, "quarantine-c", _tls_only("quarantine-c")),
    Bucket(C, "restricted-c", RESTRICTED_POLICY, objects={"payroll.txt": ["Payroll\n"]}),
    Bucket(C, "ledger-c", key="alias/ledger", objects={"2025.txt": ["Ledger\n"]}),
    Bucket(F, "media-f", objects={"trailer.txt": ["Trailer\n"]}),
)

SCANNED_ON_UPLOAD = ("uploads-b", "website-uploads-b", "documents-b", "archive-c")
"""Buckets that tell bucketAV's scan queue of every new object."""

KEYS_OF_ADD_ONS = (Key(A, "alias/antivirus"), Key(C, "alias/clean"))

BUCKETS_OF_ADD_ONS = (
    # What the add-ons below move files to, and buckets that files are moved from.
    Bucket(A, "uploads-a", objects={"brochure.txt": ["Brochure\n"]}),
    Bucket(A, "unscannable-a", key="alias/antivirus"),
    Bucket(B, "records-b", locked=True, objects={"2025/minutes.txt": ["Minutes\n"]}),
    Bucket(
        B,
        "migrated-b",
        objects={"2025.txt": ["Written with SSE-S3\n"]},
        older={"2023.txt": ("Written with a key\n", "alias/documents"), "2021.txt": ("Not encrypted\n", "")},
    ),
    Bucket(PILOT, "camera-pilot", objects={"2025-11-23.txt": ["Frames\n"]}),
    Bucket(C, "clean-c"),
    Bucket(C, "clean-documents-c", key="alias/clean"),
    Bucket(C, "clean-partner-c", ownership="BucketOwnerPreferred"),
    Bucket(C, "vault-c", key="alias/aws/s3", objects={"secrets.txt": ["Nothing secret\n"]}),
)


@dataclass(frozen=True)
class AddOn:
    """An add-on's stack in account a."""

    name: str
    stack: str
    parameters: Mapping[str, str]
    version: str = "2.0.0"


ADD_ONS = (
    AddOn("move-clean", "bucketav-move-clean", {"TargetBucketName": "clean-c"}),
    # Installed three times, for targets of its own: one may not use every key, one was never updated.
    AddOn(
        "move-clean",
        "bucketav-move-clean-documents",
        {"TargetBucketName": "clean-documents-c", "KMSKeyRestriction": f"arn:aws:kms:{REGION}:{A}:key/*"},
    ),
    AddOn("move-clean", "bucketav-move-clean-partner", {"TargetBucketName": "clean-partner-c"}, version="1.0.0"),
    AddOn("move-no", "bucketav-move-no", {"TargetBucketName": "unscannable-a"}),
    AddOn("quarantine", "bucketav-quarantine", {"TargetBucketName": "quarantine-c"}),
    AddOn("scheduled-bucket-scan", "bucketav-scheduled-bucket-scan", {"BucketName": "uploads-*,uploads-b,archive-c"}),
)

STACK_PARAMETERS: Mapping[str, str] = {
    # As someone set it up once; everything else has its default. Of the accounts with a letter, d and e are not
    # allowlisted; the last one on the list has left the organization since.
    "AWSAccountRestriction": f"{B},{C},{F},{PILOT},{LEFT}",
    "ReportCleanFiles": "true",
    "InfrastructureAlarmsEmail": "operations@example.com",
    "SupportToken": "made-up-token",
}

CONNECTION: Mapping[str, str] = {"BucketAVStackName": STACK, "BucketAVAccountId": A}
OLD_CONNECTION = "1.0.0"
NAMED_IAM = ("CAPABILITY_NAMED_IAM",)

CONNECTED: Mapping[str, str] = {
    # Account c and the pilot are connected already, with an older version of the template.
    "created_at": "2025-11-03T09:12:45.000Z",
    "updated_at": "2025-11-03T09:12:45.000Z",
    "pinged_at": "2025-11-23T06:00:00.000Z",
}


def seed() -> None:
    """Forget everything that moto holds, and put the world above in its place."""
    moto_api_backend.reset()
    delivered.clear()
    organizations_backends.master_accounts.clear()
    s3_backends.bucket_accounts.clear()
    mock_random.seed(SEED)
    _organization()
    _administrator()
    _roles()
    for key in KEYS:
        # Ids do not depend on what else there is, or every addition would change all stored outputs.
        mock_random.seed(f"{SEED} {key.account} {key.alias}")
        make_key(key)
    for bucket in BUCKETS:
        make_bucket(bucket)
    _buckets_of_add_ons()
    vendor.publish()
    mock_random.seed(f"{SEED} bucketAV")
    _install_bucketav()
    _connect(C)
    _connect_the_pilot()
    _queues()
    _install_add_ons()


def _organization() -> None:
    backend = organizations_backends[MANAGEMENT][PARTITION]
    with _next_id("make_random_org_id", ORGANIZATION), _next_id("make_random_root_id", ROOT):
        with _next_id("make_random_account_id", MANAGEMENT):
            backend.create_organization(region=REGION, FeatureSet="ALL")
        backend.accounts[0].name, backend.accounts[0].email = "management", "management@example.com"
        for identifier, name, parent in ORGANIZATIONAL_UNITS:
            with _next_id("make_random_ou_id", identifier):
                backend.create_organizational_unit(Name=name, ParentId=parent)
    for account in ACCOUNTS:
        with _next_id("make_random_account_id", account.id):
            backend.create_account(AccountName=account.name, Email=f"{account.name}@example.com")
        if account.parent != ROOT:
            backend.move_account(AccountId=account.id, SourceParentId=ROOT, DestinationParentId=account.parent)
        backend.accounts[-1].status = backend.accounts[-1].state = account.status
    _control_policies(backend)


def _control_policies(backend: OrganizationsBackend) -> None:
    kind = "SERVICE_CONTROL_POLICY"
    backend.enable_policy_type(RootId=ROOT, PolicyType=kind)
    for account in ACCOUNTS:
        if account.control:
            name, content = f"{account.name}-only", minified(account.control)
            with _next_id("make_random_policy_id", f"p-{account.name:0<8}"):
                made = backend.create_policy(Name=name, Description="", Type=kind, Content=content)
            backend.attach_policy(PolicyId=made["Policy"]["PolicySummary"]["Id"], TargetId=account.id)


@contextmanager
def _next_id(function: str, identifier: str) -> Iterator[None]:
    """Inside, moto's generator of that kind of id gives this one."""
    with patch.object(organization_ids, function, lambda *_: identifier):
        yield


def _administrator() -> None:
    iam = iam_backends[MANAGEMENT][PARTITION]
    iam.create_user(REGION, ADMINISTRATOR)
    iam.attach_user_policy(ADMINISTRATOR_ACCESS, ADMINISTRATOR)
    key = iam.create_access_key(ADMINISTRATOR)
    del iam.access_keys[key.access_key_id]
    key.access_key_id, key.secret_access_key = ACCESS_KEY_ID, SECRET_ACCESS_KEY
    iam.access_keys[ACCESS_KEY_ID] = key


def add_role(account: str, name: str, trusted: str, statements: Sequence[Policy] = ()) -> None:
    """Add a role that the account `trusted` may assume, with a policy of these statements."""
    role = iam_backends[account][PARTITION].create_role(
        role_name=name,
        assume_role_policy_document=minified(_trust(f"arn:aws:iam::{trusted}:root")),
        path="/",
        permissions_boundary=None,
        description="",
        tags=[],
        max_session_duration=None,
    )
    if statements:
        role.put_policy("allowed", minified({"Version": "2012-10-17", "Statement": list(statements)}))


def _roles() -> None:
    """moto makes a member role in the management account, where AWS makes none."""
    management = iam_backends[MANAGEMENT][PARTITION]
    management.roles = {identifier: role for identifier, role in management.roles.items() if role.name != MEMBER_ROLE}
    for account in ACCOUNTS:
        for name in account.roles:
            add_role(account.id, name, account.id)


def _trust(principal: str) -> Policy:
    statement = {"Effect": "Allow", "Principal": {"AWS": principal}, "Action": "sts:AssumeRole"}
    return {"Version": "2012-10-17", "Statement": [statement]}


def _install_bucketav() -> None:
    template = files("runbook.sandbox").joinpath("bucketav.yaml").read_text(encoding="utf-8")
    cloudformation.create(A, REGION, STACK, template, STACK_PARAMETERS, capabilities=("CAPABILITY_IAM",))
    stack = stacks.find(A, REGION, STACK)
    assert stack is not None
    stack.events.clear()  # of long ago: whoever waits for an update would read all 80 of them at each look


def _connect(account: str) -> None:
    """As its owner did three weeks ago, by hand; bucketAV's function has answered then."""
    mock_random.seed(f"{SEED} {account} connection")
    role = find_role(f"arn:{PARTITION}:iam::{account}:role/{MEMBER_ROLE}")
    assert role is not None
    caller = role_caller(role, "console", REGION)
    template = vendor.template("account-connection", OLD_CONNECTION)
    cloudformation.create(account, REGION, CONNECTION_STACK, template, CONNECTION, caller, capabilities=NAMED_IAM)
    _is_connected_since_then(account)


def _connect_the_pilot() -> None:
    """As somebody tried it out: account a manages stack sets for the organization, and has one for the OU Pilot."""
    mock_random.seed(f"{SEED} pilot")
    organization = organizations_backends[MANAGEMENT][PARTITION]
    stack_sets.activate(organization)
    organization.register_delegated_administrator(AccountId=A, ServicePrincipal=STACK_SETS)
    template = vendor.template("account-connection", OLD_CONNECTION)
    stack_sets.create(
        organization,
        REGION,
        PILOT_STACK_SET,
        template,
        CONNECTION,
        PILOTS,
        capabilities=NAMED_IAM,
        description="Trying out whether connecting accounts by stack set works",
    )
    _is_connected_since_then(PILOT)


def _is_connected_since_then(account: str) -> None:
    dynamodb, table = dynamodb_backends[A][REGION], f"{STACK}-AccountConnection"
    item = dynamodb.get_item(table, _texts({"account_connection_id": f"{PARTITION}:{REGION}:{account}"}))
    assert item is not None, "the connection failed"
    dynamodb.put_item(table, {**item.to_json()["Attributes"], **_texts(CONNECTED)})


def _queues() -> None:
    stack = stacks.find(A, REGION, STACK)
    assert stack is not None
    topic = sns_backends[A][REGION].topics[stack.resources["FindingsTopic"].physical_id]
    for key in KEYS_OF_QUEUES:
        mock_random.seed(f"{SEED} {key.account} {key.alias}")
        make_key(key)
    mock_random.seed(f"{SEED} {MONITORING}")
    add_role(C, MONITORING, C)
    for queue in QUEUES:
        mock_random.seed(f"{SEED} {queue.account} {queue.name}")
        make_queue(queue, topic)
        if queue.account == PILOT:
            _findings_of_the_pilot(topic)
    for name in SCANNED_ON_UPLOAD:
        tell_of_new_objects(name, stack.resources["ScanQueue"].model.queue_arn)


def _findings_of_the_pilot(topic: Topic) -> None:
    """As they waited in its queue yesterday evening, with something that is none among them."""
    with patch.object(clock, "utc", lambda: datetime.fromisoformat(CONNECTED["pinged_at"])):
        for number, finding in enumerate(FINDINGS_OF_THE_PILOT):
            if number == 2:
                sqs_backends[PILOT][REGION].send_message("bucketav-findings", NOT_A_FINDING)
            report(topic, finding)


def _buckets_of_add_ons() -> None:
    for key in KEYS_OF_ADD_ONS:
        mock_random.seed(f"{SEED} {key.account} {key.alias}")
        make_key(key)
    for bucket in BUCKETS_OF_ADD_ONS:
        mock_random.seed(f"{SEED} {bucket.name}")
        make_bucket(bucket)


def _install_add_ons() -> None:
    for add_on in ADD_ONS:
        mock_random.seed(f"{SEED} {add_on.stack}")
        template = vendor.template(add_on.name, add_on.version)
        parameters = {"BucketAVStackName": STACK, **add_on.parameters}
        cloudformation.create(A, REGION, add_on.stack, template, parameters, capabilities=("CAPABILITY_IAM",))


def _texts(values: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """As DynamoDB writes them."""
    return {name: {"S": value} for name, value in values.items()}
