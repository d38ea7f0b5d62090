"""AssumeRole as on AWS: the role exists, trusts the caller, and the session lasts as long as it may."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.mfa import Device

A, B, C, D = "111111111111", "222222222222", "333333333333", "444444444444"
MANAGEMENT = "999999999999"

Client = Callable[..., Any]


def trust(principal: str, **elements: Any) -> str:
    statement = {"Effect": "Allow", "Principal": {"AWS": principal}, "Action": "sts:AssumeRole", **elements}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def allow(action: str, resource: str = "*") -> str:
    statement = {"Effect": "Allow", "Action": action, "Resource": resource}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


@pytest.fixture
def role(client: Client) -> Callable[..., str]:
    """Make a role in account b with a trust policy; its ARN."""

    def make(name: str, trust_policy: str, **parameters: Any) -> str:
        made = client("iam", B).create_role(RoleName=name, AssumeRolePolicyDocument=trust_policy, **parameters)
        return str(made["Role"]["Arn"])

    return make


def denied(sts: Any, role_arn: str, **parameters: Any) -> str:
    with pytest.raises(ClientError) as caught:
        sts.assume_role(RoleArn=role_arn, RoleSessionName="test", **parameters)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    assert caught.value.response["Error"]["Code"] == "AccessDenied"
    return str(caught.value.response["Error"]["Message"])


def invalid(sts: Any, role_arn: str, **parameters: Any) -> str:
    with pytest.raises(ClientError) as caught:
        sts.assume_role(RoleArn=role_arn, RoleSessionName="test", **parameters)
    assert caught.value.response["Error"]["Code"] == "ValidationError"
    return str(caught.value.response["Error"]["Message"])


def test_a_role_that_does_not_exist_is_refused_like_one_that_does_not_trust(
    client: Client, role: Callable[..., str]
) -> None:
    """AWS, "Troubleshoot IAM roles": "AccessDenied ... is not authorized to perform: sts:AssumeRole" in both cases."""
    sts = client("sts", A)
    closed = role("Closed", trust(f"arn:aws:iam::{D}:root"))
    for arn in (closed, f"arn:aws:iam::{B}:role/NoSuchRole"):
        assert denied(sts, arn) == (
            f"User: arn:aws:sts::{A}:assumed-role/OrganizationAccountAccessRole/test is not authorized to perform: "
            f"sts:AssumeRole on resource: {arn}"
        )


def test_a_role_that_trusts_the_account_can_be_assumed_from_it(client: Client, role: Callable[..., str]) -> None:
    """AWS, "Policies and permissions": a trust policy that names an account leaves the rest to that account's
    policies.
    """
    arn = role("Open", trust(f"arn:aws:iam::{A}:root"))
    answer = client("sts", A).assume_role(RoleArn=arn, RoleSessionName="me")
    assert answer["AssumedRoleUser"]["Arn"] == f"arn:aws:sts::{B}:assumed-role/Open/me"
    assert denied(client("sts", C), arn)


def test_the_callers_own_policy_has_to_allow_it_across_accounts(client: Client, client_with: Client) -> None:
    """AWS, "Cross-account policy evaluation logic": both sides have to allow."""
    iam = client("iam", A)
    iam.create_role(RoleName="Powerless", AssumeRolePolicyDocument=trust(f"arn:aws:iam::{A}:root"))
    session = client("sts", A).assume_role(RoleArn=f"arn:aws:iam::{A}:role/Powerless", RoleSessionName="test")
    target = client("iam", B).create_role(
        RoleName="Target", AssumeRolePolicyDocument=trust(f"arn:aws:iam::{A}:role/Powerless")
    )["Role"]["Arn"]
    sts = client_with("sts", session["Credentials"])
    assert denied(sts, target)
    iam.put_role_policy(RoleName="Powerless", PolicyName="assume", PolicyDocument=allow("sts:AssumeRole", target))
    assert sts.assume_role(RoleArn=target, RoleSessionName="test")["AssumedRoleUser"]["Arn"].startswith(
        f"arn:aws:sts::{B}:"
    )


def test_in_one_account_a_trust_policy_that_names_the_role_is_enough(client: Client, client_with: Client) -> None:
    """AWS, "IAM role trust policies": within an account, naming the principal in the trust policy grants by itself;
    naming the account does not.
    """
    iam = client("iam", B)
    iam.create_role(RoleName="Powerless", AssumeRolePolicyDocument=trust(f"arn:aws:iam::{B}:root"))
    session = client("sts", B).assume_role(RoleArn=f"arn:aws:iam::{B}:role/Powerless", RoleSessionName="test")
    sts = client_with("sts", session["Credentials"])
    named = iam.create_role(RoleName="Named", AssumeRolePolicyDocument=trust(f"arn:aws:iam::{B}:role/Powerless"))
    of_account = iam.create_role(RoleName="OfAccount", AssumeRolePolicyDocument=trust(f"arn:aws:iam::{B}:root"))
    assert sts.assume_role(RoleArn=named["Role"]["Arn"], RoleSessionName="test")["Credentials"]
    assert denied(sts, of_account["Role"]["Arn"])


def test_an_administrator_cannot_assume_a_role_of_the_own_account_that_trusts_others_only(
    client: Client, role: Callable[..., str]
) -> None:
    """AWS: a role's trust policy is always needed, unlike other resource policies in one account."""
    assert denied(client("sts", B), role("ForEc2", trust(f"arn:aws:iam::{D}:root")))


def test_the_external_id_has_to_be_the_one_that_the_role_asks_for(client: Client, role: Callable[..., str]) -> None:
    """AWS, "The confused deputy problem": sts:ExternalId in the trust policy's condition."""
    condition = {"StringEquals": {"sts:ExternalId": "4711"}}
    arn = role("Deputy", trust(f"arn:aws:iam::{A}:root", Condition=condition))
    sts = client("sts", A)
    assert denied(sts, arn)
    assert denied(sts, arn, ExternalId="4712")
    assert sts.assume_role(RoleArn=arn, RoleSessionName="test", ExternalId="4711")["Credentials"]


def test_a_role_can_be_assumed_from_an_assumed_role(
    client: Client, client_with: Client, role: Callable[..., str]
) -> None:
    """AWS, "Role chaining": using the credentials of one role to assume a second."""
    first = role("First", trust(f"arn:aws:iam::{A}:root"))
    client("iam", B).put_role_policy(RoleName="First", PolicyName="next", PolicyDocument=allow("sts:AssumeRole"))
    second = client("iam", C).create_role(RoleName="Second", AssumeRolePolicyDocument=trust(first))["Role"]["Arn"]
    session = client("sts", A).assume_role(RoleArn=first, RoleSessionName="one")
    chained = client_with("sts", session["Credentials"]).assume_role(RoleArn=second, RoleSessionName="two")
    identity = client_with("sts", chained["Credentials"]).get_caller_identity()
    assert (identity["Account"], identity["Arn"]) == (C, f"arn:aws:sts::{C}:assumed-role/Second/two")


@pytest.mark.parametrize("seconds", [900, 3600])
def test_the_session_lasts_as_long_as_was_asked(administrator: Client, seconds: int) -> None:
    """AWS, AssumeRole, DurationSeconds: by default one hour; Expiration says when the credentials end."""
    arn = f"arn:aws:iam::{B}:role/OrganizationAccountAccessRole"
    answer = administrator("sts").assume_role(RoleArn=arn, RoleSessionName="test", DurationSeconds=seconds)
    rest = answer["Credentials"]["Expiration"] - datetime.now(tz=UTC)
    assert abs(rest - timedelta(seconds=seconds)) < timedelta(seconds=30)


def test_the_session_cannot_last_longer_than_the_role_allows(administrator: Client, role: Callable[..., str]) -> None:
    """AWS, AssumeRole: "If you specify a value higher than this setting, the operation fails"."""
    sts = administrator("sts")
    short = f"arn:aws:iam::{B}:role/OrganizationAccountAccessRole"
    assert "exceeds the MaxSessionDuration set for this role" in invalid(sts, short, DurationSeconds=7200)
    long = role("Long", trust("arn:aws:iam::999999999999:root"), MaxSessionDuration=7200)
    assert sts.assume_role(RoleArn=long, RoleSessionName="test", DurationSeconds=7200)["Credentials"]


def test_a_chained_session_cannot_last_longer_than_an_hour(client: Client, role: Callable[..., str]) -> None:
    """AWS, AssumeRole: role chaining "limits your AWS CLI or AWS API role session to a maximum of one hour"."""
    arn = role("Long", trust(f"arn:aws:iam::{A}:root"), MaxSessionDuration=7200)
    assert "1 hour session limit" in invalid(client("sts", A), arn, DurationSeconds=7200)


def test_a_duration_over_the_maximum_of_all_roles_is_refused(administrator: Client) -> None:
    """AWS, AssumeRole, DurationSeconds: "Minimum value of 900. Maximum value of 43200"; boto3 itself checks the
    first.
    """
    arn = f"arn:aws:iam::{B}:role/OrganizationAccountAccessRole"
    assert "durationSeconds" in invalid(administrator("sts"), arn, DurationSeconds=43201)


# --- what a session is given -----------------------------------------------------------------------------------------


def trust_with(*actions: str, **condition: Any) -> str:
    """A trust policy for account a, with these actions besides AssumeRole under a condition."""
    statement = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{A}:root"}, "Condition": condition}
    return json.dumps({"Version": "2012-10-17", "Statement": [{**statement, "Action": ["sts:AssumeRole", *actions]}]})


def test_a_source_identity_takes_a_permission_and_the_value_that_the_trust_policy_asks_for(
    client: Client, client_with: Client, role: Callable[..., str]
) -> None:
    """AWS, "Monitor and control actions taken with assumed roles": sts:SetSourceIdentity, sts:SourceIdentity."""
    sts, wanted = client("sts", A), {"StringEquals": {"sts:SourceIdentity": "jane"}}
    without = role("Without", trust(f"arn:aws:iam::{A}:root"))
    assert "sts:SetSourceIdentity" in denied(sts, without, SourceIdentity="jane")
    arn = role("Named", trust_with("sts:SetSourceIdentity", **wanted))
    denied(sts, arn)
    denied(sts, arn, SourceIdentity="joe")
    answer = sts.assume_role(RoleArn=arn, RoleSessionName="test", SourceIdentity="jane")
    assert answer["SourceIdentity"] == "jane"
    own = {"StringEquals": {"aws:SourceIdentity": "jane"}}
    statement = {"Effect": "Allow", "Action": "s3:ListAllMyBuckets", "Resource": "*", "Condition": own}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    client("iam", B).put_role_policy(RoleName="Named", PolicyName="list", PolicyDocument=document)
    assert client_with("s3", answer["Credentials"]).list_buckets()["Buckets"]


def test_a_source_identity_cannot_be_changed_by_chaining(
    client: Client, client_with: Client, role: Callable[..., str]
) -> None:
    """AWS: "the source identity persists across chained role sessions", and cannot be set to another value."""
    first = role("First", trust_with("sts:SetSourceIdentity"))
    actions = {"Effect": "Allow", "Action": "sts:*", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [actions]})
    client("iam", B).put_role_policy(RoleName="First", PolicyName="next", PolicyDocument=document)
    second = client("iam", C).create_role(
        RoleName="Second", AssumeRolePolicyDocument=trust(first, Action=["sts:AssumeRole", "sts:SetSourceIdentity"])
    )["Role"]["Arn"]
    session = client("sts", A).assume_role(RoleArn=first, RoleSessionName="one", SourceIdentity="jane")
    sts = client_with("sts", session["Credentials"])
    assert "cannot be changed" in denied(sts, second, SourceIdentity="joe")
    assert sts.assume_role(RoleArn=second, RoleSessionName="two")["SourceIdentity"] == "jane"


def test_session_tags_take_a_permission_and_the_values_that_the_trust_policy_asks_for(
    client: Client, client_with: Client, role: Callable[..., str]
) -> None:
    """AWS, "Pass session tags in AWS STS": sts:TagSession, aws:RequestTag, aws:TagKeys, then aws:PrincipalTag."""
    sts, tags = client("sts", A), [{"Key": "team", "Value": "security"}]
    assert "sts:TagSession" in denied(sts, role("Without", trust(f"arn:aws:iam::{A}:root")), Tags=tags)
    arn = role(
        "Tagged",
        trust_with(
            "sts:TagSession",
            StringEquals={"aws:RequestTag/team": "security"},
            **{"ForAllValues:StringEquals": {"aws:TagKeys": ["team"]}},
        ),
    )
    denied(sts, arn)
    denied(sts, arn, Tags=[{"Key": "team", "Value": "sales"}])
    denied(sts, arn, Tags=[*tags, {"Key": "other", "Value": "x"}])
    assert "case insensitive" in invalid(
        sts, role("Open", trust_with("sts:TagSession")), Tags=[*tags, {"Key": "Team", "Value": "security"}]
    )
    session = sts.assume_role(RoleArn=arn, RoleSessionName="test", Tags=tags)["Credentials"]
    own = {"StringEquals": {"aws:PrincipalTag/team": "security"}}
    statement = {"Effect": "Allow", "Action": "s3:ListAllMyBuckets", "Resource": "*", "Condition": own}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    client("iam", B).put_role_policy(RoleName="Tagged", PolicyName="list", PolicyDocument=document)
    assert client_with("s3", session).list_buckets()["Buckets"]


# --- MFA -------------------------------------------------------------------------------------------------------------


def with_mfa() -> str:
    condition = {"Bool": {"aws:MultiFactorAuthPresent": "true"}}
    return trust(f"arn:aws:iam::{MANAGEMENT}:root", Condition=condition)


@pytest.fixture
def device(administrator: Client) -> Device:
    return Device.of(administrator("iam"), "administrator")


def test_a_role_that_asks_for_mfa_takes_a_code_of_the_users_device_once(
    administrator: Client, role: Callable[..., str], device: Device
) -> None:
    """AWS, "Secure API access with MFA": aws:MultiFactorAuthPresent; each code is accepted once."""
    sts, arn = administrator("sts"), role("WithMfa", with_mfa())
    denied(sts, arn)
    assert "invalid MFA one time pass code" in denied(sts, arn, SerialNumber=device.serial, TokenCode="000000")
    foreign = f"arn:aws:iam::{MANAGEMENT}:mfa/other"
    assert "unable to validate" in denied(sts, arn, SerialNumber=foreign, TokenCode=device.code())
    code = device.code()
    assert sts.assume_role(RoleArn=arn, RoleSessionName="me", SerialNumber=device.serial, TokenCode=code)
    assert "invalid MFA one time pass code" in denied(sts, arn, SerialNumber=device.serial, TokenCode=code)


def test_a_users_session_with_mfa_assumes_as_many_roles_as_it_likes(
    administrator: Client, client_with: Client, role: Callable[..., str], device: Device
) -> None:
    """AWS, GetSessionToken: what the user may, and MFA for all roles. It cannot be called with a session."""
    arn = role("WithMfa", with_mfa())
    without = administrator("sts").get_session_token()["Credentials"]
    denied(client_with("sts", without), arn)
    with_code = administrator("sts").get_session_token(SerialNumber=device.serial, TokenCode=device.code())
    sts = client_with("sts", with_code["Credentials"])
    assert sts.get_caller_identity()["Arn"] == f"arn:aws:iam::{MANAGEMENT}:user/administrator"
    for name in ("one", "two"):
        assert sts.assume_role(RoleArn=arn, RoleSessionName=name)["Credentials"]
    with pytest.raises(ClientError, match="Cannot call GetSessionToken with session credentials"):
        sts.get_session_token()
    with pytest.raises(ClientError, match="InvalidClientTokenId"):
        client_with("sts", {**with_code["Credentials"], "SessionToken": "another"}).get_caller_identity()
