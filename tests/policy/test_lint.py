"""What lint finds, what it leaves alone, and what "public" means."""

from __future__ import annotations

from typing import Any

import pytest

from runbook.policy.document import Statement, new, parse
from runbook.policy.lint import Finding, Kind, is_public, lint, stale_principals
from runbook.policy.statements import findings_queue_statements, key_statement, scan_statements

ROLE = "arn:aws:iam::111111111111:role/scanner"
BUCKET = "arn:aws:s3:::uploads-b"
OBJECTS = f"{BUCKET}/*"


def grant(**elements: Any) -> dict[str, Any]:
    """A sound statement with other elements; None takes one away."""
    statement = {"Effect": "Allow", "Principal": {"AWS": ROLE}, "Action": "s3:GetObject", "Resource": OBJECTS}
    return {name: value for name, value in {**statement, **elements}.items() if value is not None}


def deny(**elements: Any) -> dict[str, Any]:
    return grant(**{"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": [BUCKET, OBJECTS], **elements})


def found(*statements: Statement, kind: Kind = "bucket-policy", **keywords: Any) -> tuple[Finding, ...]:
    return lint(new(statements), kind=kind, **keywords)


def codes(*statements: Statement, **keywords: Any) -> list[str]:
    return [finding.code for finding in found(*statements, **keywords)]


def test_a_sound_policy_has_no_findings() -> None:
    tls = {"Bool": {"aws:SecureTransport": "false"}}
    assert codes(grant(), deny(Condition=tls), owner="222222222222", resource=BUCKET) == []


def test_the_documentations_scan_statements_have_its_two_redundant_actions() -> None:
    findings = found(*scan_statements(ROLE, "uploads-b"), owner="222222222222", resource=BUCKET)
    where = "bucketAVOnlyIfYouTagFilesWithScanResult"
    covered = "is already covered by s3:GetObject* of bucketAVRequired2."
    assert findings == (
        Finding("redundant-action", "info", f"s3:GetObjectTagging {covered}", where),
        Finding("redundant-action", "info", f"s3:GetObjectVersionTagging {covered}", where),
    )


def test_the_queue_policy_and_the_key_statement_are_sound() -> None:
    queue = "arn:aws:sqs:eu-west-1:222222222222:findings"
    statements = findings_queue_statements("222222222222", queue, "arn:aws:sns:eu-west-1:111111111111:t")
    assert lint(new(statements), kind="queue-policy", owner="222222222222", resource=queue) == ()
    assert lint(new([key_statement(ROLE)]), kind="key-policy", owner="222222222222") == ()


@pytest.mark.parametrize(
    ("statements", "code", "message"),
    [
        ([grant(Sid="A"), grant(Sid="A", Action="s3:PutObject")], "duplicate-sid", "2 statements have the Sid 'A'"),
        ([grant(Action="s3:GetObjekt")], "unknown-action", "AWS has no action s3:GetObjekt"),
        ([grant(Action="s4:GetObject")], "unknown-action", "AWS has no service 's4'"),
        ([grant(Action="GetObject")], "unknown-action", "GetObject is about nothing"),
        ([grant(Action=None, NotAction="s3:Gett*")], "unknown-action", "AWS has no action s3:Gett*"),
        (
            [grant(Action=["s3:Get*", "s3:GetObject"])],
            "redundant-action",
            "s3:GetObject is already covered by s3:Get*.",
        ),
        (
            [grant(), grant(Action="S3:GETOBJECT")],
            "redundant-action",
            "already covered by s3:GetObject of statement 1.",
        ),
        ([grant(Resource=BUCKET)], "resource-mismatch", f"{BUCKET} is no such ARN"),
        ([grant(Action="s3:ListBucket")], "resource-mismatch", f"{OBJECTS} is no such ARN"),
        ([grant(Action="s3:DeleteObject*", Resource=[BUCKET])], "resource-mismatch", "s3:DeleteObject* works on"),
        ([grant(Action="sqs:SendMessage")], "resource-mismatch", "sqs:SendMessage works on"),
        ([grant(Principal={"AWS": "11111111111"})], "account-id", "The account id 11111111111 has 11 digits"),
        ([grant(Principal={"AWS": "arn:aws:iam::1111111111111:root"})], "account-id", "in arn:aws:iam::1111111111111"),
        ([grant(Condition={"StringEquals": {"aws:SourceAccount": "1402433619"}})], "account-id", "has 10 digits"),
        ([grant(Condition={"ArnLike": {"aws:SourceArn": "arn:aws:sns:*:123:t"}})], "account-id", "has 3 digits"),
        ([grant(Principal="*")], "public", "It lets in everyone"),
        ([grant(Principal={"AWS": [ROLE, "AROAEXAMPLE1234567890"]})], "stale-principal", "left of a deleted role"),
        ([grant(Principal=None)], "principal", "It has no `Principal`"),
        ([grant(Resource=None)], "resource", "It has no `Resource`"),
        ([grant(Principal=None, NotPrincipal={"AWS": ROLE})], "not-principal", "AWS does not support it"),
    ],
)
def test_what_is_wrong_is_found_once(statements: list[dict[str, Any]], code: str, message: str) -> None:
    findings = [finding for finding in found(*statements) if finding.code == code]
    assert len(findings) == 1
    assert message in findings[0].message


def test_stale_principals_are_each_named_once() -> None:
    stale = grant(Principal={"AWS": [ROLE, "AROAEXAMPLE1234567890"]})
    assert stale_principals(new([stale, grant(), deny(), stale])) == ("AROAEXAMPLE1234567890",)


@pytest.mark.parametrize(
    "statement",
    [
        grant(Action="s3:*", Resource=BUCKET),
        grant(Action=["s3:GetObject", "s3:ListBucket"], Resource=[BUCKET, OBJECTS]),
        grant(Action="s3:GetObject", Resource="*"),
        grant(Action="s3:GetObject", Resource="arn:aws:s3:::up*"),
        grant(Action="s3:GetObject", Resource=f"{BUCKET}/a/b/${{aws:PrincipalAccount}}/*"),
        grant(Action="s3:ListBucket", Resource="arn:aws:s3:::uploads-?"),
        grant(Action="*"),
    ],
)
def test_a_resource_that_fits_is_left_alone(statement: dict[str, Any]) -> None:
    assert codes(statement) == []


def test_actions_are_redundant_only_where_the_statements_are_otherwise_the_same() -> None:
    tags = grant(Action="s3:GetObjectTagging")
    for other in (
        grant(Action="s3:GetObject*", Principal={"AWS": "111111111111"}),
        grant(Action="s3:GetObject*", Resource=f"{BUCKET}/in/*"),
        grant(Action="s3:GetObject*", Effect="Deny"),
        grant(Action="s3:GetObject*", Condition={"Bool": {"aws:SecureTransport": "true"}}),
    ):
        assert "redundant-action" not in codes(tags, other)


@pytest.mark.parametrize(
    ("resource", "wrong"),
    [
        (BUCKET, False),
        (OBJECTS, False),
        (f"{BUCKET}/in/*", False),
        ("arn:aws:s3:::uploads-*", False),
        ("arn:aws:s3:::uploads-bb/*", True),
        ("arn:aws:s3:::uploads", True),
    ],
)
def test_a_resource_of_another_bucket_is_found(resource: str, wrong: bool) -> None:
    assert ("other-resource" in codes(grant(Action="s3:*", Resource=resource), resource=BUCKET)) == wrong


# ---- grants that an explicit Deny makes useless ----


def other_accounts(*accounts: str) -> dict[str, Any]:
    return {"StringNotEquals": {"aws:PrincipalAccount": list(accounts)}}


@pytest.mark.parametrize(
    "denied",
    [
        deny(Condition=other_accounts("222222222222")),
        deny(Principal={"AWS": ROLE}),
        deny(Principal={"AWS": "111111111111"}, Action="s3:Get*"),
        deny(Condition={"ArnNotLike": {"aws:PrincipalArn": "arn:aws:iam::222222222222:*"}}),
        deny(Principal=None, NotPrincipal={"AWS": "arn:aws:iam::222222222222:root"}),
        deny(Action=None, NotAction="s3:PutObject"),
    ],
)
def test_a_grant_that_is_denied_anyway_is_found(denied: dict[str, Any]) -> None:
    findings = [each for each in found(grant(Sid="Scan"), denied, owner="222222222222") if each.code == "useless-grant"]
    assert [(each.severity, each.where) for each in findings] == [("error", "Scan")]
    assert "is denied by statement 2 of the resource policy" in findings[0].message


@pytest.mark.parametrize(
    "denied",
    [
        deny(Condition=other_accounts("111111111111", "222222222222")),
        deny(Condition={"Bool": {"aws:SecureTransport": "false"}}),
        deny(Condition={"StringNotEquals": {"aws:PrincipalOrgID": "o-exampleorg"}}),
        deny(Principal={"AWS": "arn:aws:iam::111111111111:role/other"}),
        deny(Resource=f"{BUCKET}/secret/*"),
        deny(Resource=None, NotResource=f"{BUCKET}/open/*"),
        deny(Action="s3:PutObject"),
    ],
)
def test_a_grant_that_may_still_be_of_use_is_left_alone(denied: dict[str, Any]) -> None:
    assert "useless-grant" not in codes(grant(), denied, owner="222222222222")


def test_a_grant_of_which_only_a_part_is_denied_is_a_warning_that_names_the_part() -> None:
    both = grant(Action=["s3:GetObject", "s3:DeleteObject"])
    [finding] = [each for each in found(both, deny(Action="s3:DeleteObject")) if each.code == "useless-grant"]
    assert finding.severity == "warning"
    assert finding.message.startswith(f"{ROLE} does not get s3:DeleteObject from it")


def test_a_deny_that_spares_one_role_does_not_make_a_grant_to_its_account_useless() -> None:
    account = grant(Principal={"AWS": "111111111111"})
    spared = deny(Principal=None, NotPrincipal={"AWS": ROLE})
    by_arn = deny(Condition={"ArnNotEquals": {"aws:PrincipalArn": ROLE}})
    assert "useless-grant" not in codes(account, spared)
    assert "useless-grant" not in codes(account, by_arn)


def test_a_key_policy_that_keeps_other_accounts_out_makes_our_statement_useless() -> None:
    out = deny(Action="kms:*", Resource="*", Condition=other_accounts("333333333333"))
    findings = lint(new([key_statement(ROLE), out]), kind="key-policy", owner="333333333333")
    assert [finding.code for finding in findings] == ["useless-grant"]


# ---- public ----


@pytest.mark.parametrize(
    ("statement", "public"),
    [
        # The examples of the S3 User Guide, "The meaning of public".
        (grant(Principal={"Federated": "graph.facebook.com"}), True),
        (grant(Principal="*"), True),
        (grant(Principal="*", Condition={"StringLike": {"aws:SourceVpc": "vpc-*"}}), True),
        (grant(Principal="*", Condition={"StringEquals": {"aws:SourceVpc": "vpc-91237329"}}), False),
        # Principals.
        (grant(), False),
        (grant(Principal={"AWS": "111111111111"}), False),
        (grant(Principal={"Service": "cloudtrail.amazonaws.com"}), False),
        (grant(Principal={"CanonicalUser": "79a5"}), False),
        (grant(Principal={"AWS": [ROLE, "*"]}), True),
        (grant(Principal=None, NotPrincipal={"AWS": ROLE}), True),
        (grant(Effect="Deny", Principal="*"), False),
        # Conditions that fix who or where.
        (grant(Principal="*", Condition={"StringEquals": {"aws:PrincipalOrgID": "o-exampleorg"}}), False),
        (grant(Principal="*", Condition={"StringEquals": {"AWS:PrincipalAccount": ["111111111111"]}}), False),
        (grant(Principal="*", Condition={"ArnEquals": {"aws:SourceArn": "arn:aws:sns:eu-west-1:1:t"}}), False),
        (grant(Principal="*", Condition={"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/bucketav-*"}}), True),
        (grant(Principal="*", Condition={"StringLike": {"aws:userid": "AROAEXAMPLEID:*"}}), False),
        (grant(Principal="*", Condition={"StringEquals": {"aws:SourceVpce": "${aws:PrincipalTag/vpce}"}}), True),
        (grant(Principal="*", Condition={"StringEquals": {"aws:UserAgent": "secret"}}), True),
        (grant(Principal="*", Condition={"StringEquals": {"aws:PrincipalOrgID": []}}), True),
        # Operators that also hold without the key, or for every other value.
        (grant(Principal="*", Condition={"StringNotEquals": {"aws:SourceVpc": "vpc-1"}}), True),
        (grant(Principal="*", Condition={"StringEqualsIfExists": {"aws:SourceVpc": "vpc-1"}}), True),
        (grant(Principal="*", Condition={"ForAllValues:StringEquals": {"aws:PrincipalOrgPaths": "o-1/r-1/"}}), True),
        (grant(Principal="*", Condition={"ForAnyValue:StringEquals": {"aws:PrincipalOrgPaths": "o-1/r-1/"}}), False),
        # Address ranges, which may not be too broad.
        (grant(Principal="*", Condition={"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}}), False),
        (grant(Principal="*", Condition={"IpAddress": {"aws:SourceIp": ["203.0.113.0/24", "0.0.0.0/1"]}}), True),
        (grant(Principal="*", Condition={"IpAddress": {"aws:SourceIp": "2001:db8::/31"}}), True),
        (grant(Principal="*", Condition={"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}), False),
        (grant(Principal="*", Condition={"NotIpAddress": {"aws:SourceIp": "203.0.113.0/24"}}), True),
        # Access points: the name may be a wildcard, the account may not.
        (
            grant(
                Principal="*",
                Condition={"StringLike": {"s3:DataAccessPointArn": "arn:aws:s3:us-west-2:123456789012:accesspoint/*"}},
            ),
            False,
        ),
        (
            grant(
                Principal="*",
                Condition={"StringLike": {"s3:DataAccessPointArn": "arn:aws:s3:us-west-2:*:accesspoint/*"}},
            ),
            True,
        ),
    ],
)
def test_public_is_what_s3_block_public_access_means_by_it(statement: dict[str, Any], public: bool) -> None:
    assert is_public(new([statement])) == public
    assert is_public(new([grant(), statement])) == public


def test_one_statement_without_a_list_is_linted_too() -> None:
    alone = parse(
        '{"Statement": {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "*"}}', "x"
    )
    assert [finding.code for finding in lint(alone, kind="bucket-policy")] == ["public"]


def test_a_trust_policy_has_no_resource_and_an_identity_policy_no_principal() -> None:
    trust = grant(Action="sts:AssumeRole", Resource=None)
    assert codes(trust, kind="role-trust") == []
    assert codes(grant(), kind="role-trust")[0] == "resource"
    assert codes(grant(Principal=None), kind="identity-policy") == []
    assert codes(grant(), kind="identity-policy") == ["principal"]


def test_a_trust_policy_that_denies_whom_it_trusts_is_found() -> None:
    trust = grant(Action="sts:AssumeRole", Resource=None)
    against = {**trust, "Effect": "Deny", "Condition": other_accounts("222222222222")}
    assert codes(trust, against, kind="role-trust", resource="arn:aws:iam::222222222222:role/x") == ["useless-grant"]
