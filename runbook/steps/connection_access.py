"""Who may use the role of a connection, and what that role may do with its account's buckets: from documents.

Of each account one plain and one encrypted bucket are asked about, where there are such: its role is for all of them.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from runbook.access import Access
from runbook.aws.iam import Role, RoleError
from runbook.aws.kms import Key, KeyUnreadable, read_key
from runbook.aws.organizations import ControlPolicies, Levels
from runbook.aws.s3 import Bucket, BucketError, bucket_names, read_bucket
from runbook.environment import AccountError, Environment
from runbook.policy.evaluate import ANYTHING, Decision, Request, Verdict, evaluate
from runbook.progress import Progress, in_parallel
from runbook.steps.bucket_access import Caller, Documents, decide, read_caller
from runbook.steps.scan_access import questions

ASSUME = "sts:AssumeRole"
WITH_ID, WITHOUT_ID, OTHER_ID = (f"{ASSUME} {how}" for how in ("with the ExternalId", "without it", "with another"))
"""What is asked about a connection role, beside who asks."""

STRANGER = "000000000000"
"""An account that has nothing to do with any of these."""

LOOKED_AT = 8
"""So many buckets of an account are looked at to find a plain and an encrypted one."""


@dataclass(frozen=True)
class Sample:
    """A bucket that is asked about, and the key that encrypts it by default; None without SSE-KMS."""

    bucket: Bucket
    key: Key | None

    @property
    def address(self) -> str:
        """`222222222222/uploads-b`."""
        return f"{self.bucket.account}/{self.bucket.name}"


@dataclass(frozen=True)
class Bounds:
    """What is known of one account beside its connection: organization, what bounds its roles, and some buckets."""

    organization: str | None
    service_control_policies: Levels | None
    resource_control_policies: Levels | None
    samples: tuple[Sample, ...]
    problem: str = ""


@dataclass(frozen=True)
class Surroundings:
    """What decides about connections besides their own roles. `scan` is None where the scan role cannot be read."""

    scan: Caller | None
    bounds: Mapping[str, Bounds]
    problem: str = ""


@dataclass(frozen=True)
class Connected:
    """One account's role before and after a run, None where there is none, and its connection's ExternalId."""

    account: str
    name: str
    before: Role | None
    after: Role | None
    external_id: str


def look_around(
    environment: Environment,
    scan_role: str,
    connected: Sequence[Connected],
    progress: Progress,
    policies: ControlPolicies | None = None,
) -> Surroundings:
    """Read the scan role, and of each account what bounds its roles and some of its buckets.

    `policies`: what was read of the organization's policies already.
    """
    control = policies or ControlPolicies(environment)
    accounts = [each.account for each in connected]
    bounds = in_parallel(
        lambda each: _bounds(environment, control, each),
        connected,
        what="accounts' buckets seen",
        progress=progress,
    )
    found = dict(zip(accounts, bounds, strict=True))
    try:
        return Surroundings(read_caller(environment, scan_role, accounts, control), found)
    except RoleError as error:
        return Surroundings(None, found, str(error))


def access(surroundings: Surroundings, connected: Connected) -> list[Access]:
    """Every answer about one account: who may assume its role, then what the role may do."""
    return [*_assuming(surroundings, connected), *_using(surroundings, connected)]


# --- who may assume it -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Question:
    name: str
    arn: str
    policies: tuple[Mapping[str, Any], ...]
    action: str
    external_id: str
    granted: bool


def _assuming(surroundings: Surroundings, connected: Connected) -> Iterable[Access]:
    scan = surroundings.scan
    if scan is None:
        return
    for each in _questions(scan, connected.external_id):
        yield Access(
            principal=each.name,
            action=each.action,
            resource=f"the connection role of {connected.name}",
            before=_may_assume(scan, connected, connected.before, each),
            after=_may_assume(scan, connected, connected.after, each),
            granted=each.granted and connected.after is not None,
        )


def _questions(scan: Caller, external_id: str) -> Iterable[_Question]:
    """The scan role is asked about with its own policies; of others it is taken that theirs allow everything."""
    arn, own = scan.role.arn, scan.role.identity_policies
    partition = arn.split(":")[1]
    yield _Question(arn, arn, own, WITH_ID, external_id, True)
    yield _Question(arn, arn, own, WITHOUT_ID, "", False)
    yield _Question(arn, arn, own, OTHER_ID, "another-external-id", False)
    for name, other in (
        ("another role of account a", f"arn:{partition}:iam::{scan.account}:role/AnotherRole"),
        ("a role of any other account", f"arn:{partition}:iam::{STRANGER}:role/{arn.rsplit('/', 1)[-1]}"),
        ("the root of any other account", f"arn:{partition}:iam::{STRANGER}:root"),
    ):
        yield _Question(name, other, (ANYTHING,), WITH_ID, external_id, False)


def _may_assume(scan: Caller, connected: Connected, role: Role | None, asked: _Question) -> Decision:
    if role is None:
        return Decision(Verdict.DENIED, "There is no such role.")
    account = asked.arn.split(":")[4]
    of_own = account == scan.account
    context = {"aws:PrincipalArn": asked.arn, "aws:PrincipalAccount": account, "sts:RoleSessionName": "bucketav"}
    if asked.external_id:
        context["sts:ExternalId"] = asked.external_id
    if of_own and scan.organization_id:
        context["aws:PrincipalOrgID"] = scan.organization_id
    return evaluate(
        Request(
            principal=asked.arn,
            action=ASSUME,
            resource=role.arn,
            resource_account=connected.account,
            context=context,
            # Everything else may be anything, but an ExternalId is there or it is not.
            unknown=("aws:*",),
        ),
        identity_policies=asked.policies,
        resource_policy=role.trust_policy,
        permissions_boundary=scan.role.permissions_boundary if asked.arn == scan.role.arn else None,
        service_control_policies=scan.service_control_policies if of_own else (),
        resource_control_policies=scan.resource_control_policies.get(connected.account, ()),
    )


# --- what it may do --------------------------------------------------------------------------------------------------


def _using(surroundings: Surroundings, connected: Connected) -> Iterable[Access]:
    bounds = surroundings.bounds[connected.account]
    role = connected.after or connected.before
    if role is None:
        return
    for sample in bounds.samples:
        for action in questions(tag=True, delete=True, encrypted=sample.key is not None):
            yield Access(
                principal=role.arn,
                action=action,
                resource=sample.address,
                before=_may_use(bounds, connected, connected.before, sample, action),
                after=_may_use(bounds, connected, connected.after, sample, action),
                granted=connected.after is not None and _says(connected.account, role, sample, action),
            )


def _may_use(bounds: Bounds, connected: Connected, role: Role | None, sample: Sample, action: str) -> Decision:
    if role is None:
        return Decision(Verdict.DENIED, "There is no such role.")
    caller = Caller(
        role=role,
        account=connected.account,
        organization_id=bounds.organization,
        service_control_policies=bounds.service_control_policies or (),
        resource_control_policies={connected.account: bounds.resource_control_policies or ()},
        unread=(),
    )
    documents = Documents(_parsed(sample.bucket.policy), key_document(sample.key) if sample.key else None)
    return decide(caller, sample.bucket, sample.key, documents, action)


def _says(account: str, role: Role, sample: Sample, action: str) -> bool:
    """Whether the role's own policies give it; that is what the connection is for, whatever a bucket says to it."""
    root = f"arn:{role.arn.split(':')[1]}:iam::{account}:root"
    trusting = {"Effect": "Allow", "Principal": {"AWS": root}, "Action": "kms:*", "Resource": "*"}
    documents = Documents(None, {"Version": "2012-10-17", "Statement": [trusting]})
    bare = Caller(replace(role, permissions_boundary=None), account, None, (), {}, ())
    return decide(bare, sample.bucket, sample.key, documents, action).allowed


def key_document(key: Key) -> Mapping[str, Any] | None:
    """A key's policy. That of the AWS-managed key for S3 lets in whoever the account lets in, through S3.

    Source: KMS Developer Guide, "AWS managed keys".
    """
    if not key.aws_managed:
        return _parsed(key.policy)
    through = {"kms:ViaService": f"s3.{key.region}.amazonaws.com", "kms:CallerAccount": key.account}
    statement = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "kms:Decrypt", "Resource": "*"}
    return {"Version": "2012-10-17", "Statement": [{**statement, "Condition": {"StringEquals": through}}]}


def _parsed(policy: str | None) -> Mapping[str, Any] | None:
    parsed: Mapping[str, Any] | None = json.loads(policy) if policy else None
    return parsed


# --- the surroundings ------------------------------------------------------------------------------------------------


def _bounds(environment: Environment, policies: ControlPolicies, connected: Connected) -> Bounds:
    account, samples, problem = connected.account, tuple[Sample, ...](), ""
    try:
        samples = tuple(_samples(environment, connected))
    except (AccountError, BucketError) as error:
        problem = str(error)
    service = policies.in_force(account, "SERVICE_CONTROL_POLICY")
    resource = policies.in_force(account, "RESOURCE_CONTROL_POLICY")
    return Bounds(
        organization=None if problem else policies.organization_of(account),
        service_control_policies=service,
        resource_control_policies=resource,
        samples=samples,
        problem=problem,
    )


def _samples(environment: Environment, connected: Connected) -> Iterable[Sample]:
    """One plain bucket and one that a key of the account's own encrypts, or else AWS's key; raises BucketError.

    Those that the role's policies name come first: they may keep it to these.
    """
    account, role = connected.account, connected.after or connected.before
    named = json.dumps(role.identity_policies) if role else ""
    found: dict[str, Sample] = {}
    names = sorted(bucket_names(environment, account), key=lambda name: f":::{name}" not in named)
    for name in names[:LOOKED_AT]:
        try:
            bucket = read_bucket(environment, account, name)
            key = None if bucket.key is None else read_key(environment, account, bucket.region, bucket.key)
        except (BucketError, KeyUnreadable, AccountError):
            continue  # another one will do
        kind = "plain" if key is None else "AWS's key" if key.policy is None else "encrypted"
        found.setdefault(kind, Sample(bucket, key))
        if {"plain", "encrypted"} <= found.keys():
            break
    if "encrypted" in found:
        found.pop("AWS's key", None)
    return found.values()
