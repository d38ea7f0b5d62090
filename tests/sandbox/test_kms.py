"""Where moto's KMS is not like AWS's, and the sandbox is. Each test quotes the behaviour of AWS that it holds to."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError
from moto.iam.models import iam_backends
from moto.kms.models import Key, kms_backends

from runbook.sandbox import kms, stored_policies

Client = Callable[..., Any]

B, D = "222222222222", "444444444444"
PARTNER = f"arn:aws:iam::{D}:role/PartnerExchange"
ROOT = {
    "Sid": "Enable IAM User Permissions",
    "Effect": "Allow",
    "Principal": {"AWS": f"arn:aws:iam::{B}:root"},
    "Action": "kms:*",
    "Resource": "*",
}
DECRYPT = {"Effect": "Allow", "Principal": {"AWS": PARTNER}, "Action": "kms:Decrypt", "Resource": "*"}


def policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Id": "key-default-1", "Statement": list(statements)})


def documents_key() -> Key:
    """Account b's customer-managed key; its policy has the statement for the account root only."""
    return next(key for key in kms_backends[B]["eu-west-1"].keys.values() if "alias/documents" in key.aliases)


def error_of(call: Callable[..., Any], **parameters: Any) -> tuple[str, str]:
    """Code and message of the error that a call ends with."""
    with pytest.raises(ClientError) as raised:
        call(**parameters)
    error = raised.value.response["Error"]
    return error["Code"], error["Message"]


@pytest.fixture
def own(client: Client) -> Any:
    """Account b's KMS."""
    return client("kms", B)


@pytest.fixture
def other(client: Client) -> Any:
    """Account d's KMS."""
    return client("kms", D)


# AWS-managed keys


def test_an_aws_managed_key_is_made_when_its_alias_is_first_named(client: Client) -> None:
    """DescribeKey: "If you specify a predefined [...] alias (an [...] alias with no key ID), KMS associates the alias
    with an Amazon Web Services managed key and returns its KeyId and Arn in the response."
    """
    kms_of_d = client("kms", D)
    first = kms_of_d.describe_key(KeyId="alias/aws/s3")["KeyMetadata"]
    assert (first["KeyManager"], first["AWSAccountId"]) == ("AWS", D)
    assert kms_of_d.describe_key(KeyId="alias/aws/s3")["KeyMetadata"]["KeyId"] == first["KeyId"]


def test_a_key_of_ones_own_is_customer_managed(own: Any) -> None:
    """KeyManager: "KMS keys in your Amazon Web Services account are either customer managed or AWS managed"."""
    assert own.describe_key(KeyId="alias/documents")["KeyMetadata"]["KeyManager"] == "CUSTOMER"


def test_an_aws_managed_key_is_for_its_account_and_its_service(own: Any) -> None:
    """A managed key's policy lets the account's principals use it through the service, and read about it directly."""
    document = json.loads(own.get_key_policy(KeyId=key_id(own, "alias/aws/s3"), PolicyName="default")["Policy"])
    use, metadata = document["Statement"]
    assert use["Condition"]["StringEquals"] == {
        "kms:CallerAccount": B,
        "kms:ViaService": "s3.eu-west-1.amazonaws.com",
    }
    assert metadata["Action"] == ["kms:Describe*", "kms:Get*", "kms:List*"]


def test_nobody_changes_the_policy_of_an_aws_managed_key(own: Any) -> None:
    """Developer Guide: "you cannot change any properties of AWS managed keys, [...] change their key policies"."""
    code, message = error_of(
        own.put_key_policy, KeyId=key_id(own, "alias/aws/s3"), PolicyName="default", Policy=policy(ROOT)
    )
    assert (code, "kms:PutKeyPolicy" in message) == ("AccessDeniedException", True)


def test_the_policy_of_an_aws_managed_key_is_guarded_without_the_gate(own: Any) -> None:
    """The same holds for what acts inside the sandbox, such as CloudFormation."""
    own.describe_key(KeyId="alias/aws/s3")
    backend = kms_backends[B]["eu-west-1"]
    key = str(backend.get_key_id_from_alias("alias/aws/s3"))
    with pytest.raises(kms.KmsError, match="kms:PutKeyPolicy"):
        backend.put_key_policy(key, policy(ROOT))


def test_an_alias_without_a_key_is_listed_without_one(client: Client) -> None:
    """ListAliases: "aliases that have no TargetKeyId field [...] has not yet associated with a KMS key"."""
    kms_of_d = client("kms", D)
    for made in (False, True):
        aliases = {alias["AliasName"]: alias for alias in kms_of_d.list_aliases()["Aliases"]}
        assert ("TargetKeyId" in aliases["alias/aws/s3"]) is made
        kms_of_d.describe_key(KeyId="alias/aws/s3")


def key_id(client: Any, alias: str) -> str:
    return str(client.describe_key(KeyId=alias)["KeyMetadata"]["KeyId"])


# Keys of other accounts


def test_a_key_of_another_account_is_found_by_its_arn(own: Any, other: Any) -> None:
    """DescribeKey, Decrypt and others: "To specify a KMS key in a different Amazon Web Services account, you must use
    the key ARN or alias ARN"; the key policy and the caller's own policy both have to allow it.
    """
    key = documents_key()
    alias = f"arn:aws:kms:eu-west-1:{B}:alias/documents"
    assert error_of(other.describe_key, KeyId=key.arn)[0] == "AccessDeniedException"
    share = {**DECRYPT, "Principal": {"AWS": D}, "Action": ["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt"]}
    own.put_key_policy(KeyId=key.id, PolicyName="default", Policy=policy(ROOT, share))
    for identifier in (key.arn, alias):
        found = other.describe_key(KeyId=identifier)["KeyMetadata"]
        assert (found["Arn"], found["AWSAccountId"]) == (key.arn, B)
    secret = other.encrypt(KeyId=alias, Plaintext=b"secret")["CiphertextBlob"]
    for caller in (own, other):
        assert caller.decrypt(CiphertextBlob=secret)["Plaintext"] == b"secret"


def test_a_key_id_or_an_alias_name_stays_in_the_own_account(own: Any, other: Any) -> None:
    """DescribeKey: key ids and alias names are looked up in the caller's account: NotFoundException."""
    share = {**DECRYPT, "Principal": {"AWS": D}, "Action": "kms:*"}
    own.put_key_policy(KeyId=documents_key().id, PolicyName="default", Policy=policy(ROOT, share))
    for identifier in (documents_key().id, "alias/documents"):
        assert error_of(other.describe_key, KeyId=identifier)[0] == "NotFoundException"


def test_a_key_of_another_region_is_not_found(client: Client) -> None:
    """KMS keys are regional; an ARN of another Region does not lead there: NotFoundException."""
    frankfurt = client("kms", B, region="eu-central-1")
    assert error_of(frankfurt.describe_key, KeyId=documents_key().arn)[0] == "NotFoundException"


@pytest.mark.parametrize(
    ("call", "parameters"),
    [
        ("get_key_policy", {"PolicyName": "default"}),
        ("put_key_policy", {"PolicyName": "default", "Policy": policy(ROOT)}),
        ("list_key_policies", {}),
        ("list_resource_tags", {}),
        ("schedule_key_deletion", {}),
    ],
)
def test_most_operations_never_reach_a_key_of_another_account(
    own: Any, other: Any, call: str, parameters: dict[str, Any]
) -> None:
    """API Reference: "Cross-account use: No. You cannot perform this operation on a KMS key in a different Amazon Web
    Services account", whatever the key policy says.
    """
    share = {**DECRYPT, "Principal": {"AWS": D}, "Action": "kms:*"}
    own.put_key_policy(KeyId=documents_key().id, PolicyName="default", Policy=policy(ROOT, share))
    before = documents_key().policy
    assert error_of(getattr(other, call), KeyId=documents_key().arn, **parameters)[0] == "AccessDeniedException"
    assert (documents_key().policy, documents_key().key_state) == (before, "Enabled")


# Key policies


MALFORMED = {
    "no JSON": ("no policy", "not syntactically or semantically correct"),
    "a list": ("[]", "not syntactically or semantically correct"),
    "no statement": ("{}", "not syntactically or semantically correct"),
    "a character beyond Latin-1": (policy(ROOT).replace("IAM", "\u4e2d"), "not syntactically"),
    "no principal": (policy(ROOT, {"Effect": "Allow", "Action": "kms:*", "Resource": "*"}), "with no principal"),
    "a role that does not exist": (
        policy(ROOT, {**DECRYPT, "Principal": {"AWS": f"arn:aws:iam::{D}:role/Nobody"}}),
        "one or more invalid principals",
    ),
    "the id of a role that is gone": (
        policy(ROOT, {**DECRYPT, "Principal": {"AWS": "AROAQBVLEGACY3EXAMPLE"}}),
        "one or more invalid principals",
    ),
}


@pytest.mark.parametrize(("text", "part"), MALFORMED.values(), ids=MALFORMED)
def test_a_key_policy_that_is_malformed_is_refused(own: Any, text: str, part: str) -> None:
    """MalformedPolicyDocumentException; "The principals in the key policy must exist and be visible to KMS"."""
    before = documents_key().policy
    put = error_of(own.put_key_policy, KeyId=documents_key().id, PolicyName="default", Policy=text)
    create = error_of(own.create_key, Policy=text)
    for code, message in (put, create):
        assert (code, part in message) == ("MalformedPolicyDocumentException", True)
    assert documents_key().policy == before


def test_a_key_policy_may_have_32768_bytes_and_no_more(own: Any) -> None:
    """PutKeyPolicy: "If the key policy exceeds the length constraint, KMS returns a LimitExceededException": 32 KB."""
    room = 32_768 - len(policy({**ROOT, "Sid": ""}))
    put = {"KeyId": documents_key().id, "PolicyName": "default"}
    own.put_key_policy(**put, Policy=policy({**ROOT, "Sid": "x" * room}))
    too_long = policy({**ROOT, "Sid": "x" * (room + 1)})
    assert error_of(own.put_key_policy, **put, Policy=too_long)[0] == "LimitExceededException"


def test_a_statement_without_action_or_resource_is_accepted(own: Any) -> None:
    """PutKeyPolicy: "If either of the required Resource or Action elements are missing from a key policy statement, the
    policy statement has no effect. [...] the PutKeyPolicy API request succeeds".
    """
    idle = {"Effect": "Allow", "Principal": {"AWS": PARTNER}}
    own.put_key_policy(KeyId=documents_key().id, PolicyName="default", Policy=policy(ROOT, idle))


def test_a_caller_cannot_lock_itself_out(own: Any) -> None:
    """PutKeyPolicy: "The key policy must allow the calling principal to make a subsequent PutKeyPolicy request on the
    KMS key. [...] (To omit this condition, set BypassPolicyLockoutSafetyCheck to true.)"
    """
    message = "The new key policy will not allow you to update the key policy in the future."
    key, before, keys = documents_key(), documents_key().policy, len(kms_backends[B]["eu-west-1"].keys)
    put = {"KeyId": key.id, "PolicyName": "default", "Policy": policy(DECRYPT)}
    assert error_of(own.put_key_policy, **put) == ("MalformedPolicyDocumentException", message)
    assert key.policy == before
    assert error_of(own.create_key, Policy=policy(DECRYPT)) == ("MalformedPolicyDocumentException", message)
    assert len(kms_backends[B]["eu-west-1"].keys) == keys
    own.put_key_policy(**put, BypassPolicyLockoutSafetyCheck=True)
    assert error_of(own.get_key_policy, KeyId=key.id, PolicyName="default")[0] == "AccessDeniedException"


def test_a_key_without_a_policy_gets_the_default_one(own: Any) -> None:
    """Developer Guide, "Default key policy": one statement that gives the account full access."""
    key = own.create_key()["KeyMetadata"]["KeyId"]
    shown = json.loads(own.get_key_policy(KeyId=key, PolicyName="default")["Policy"])
    assert shown == json.loads(policy(ROOT))


def test_a_key_policy_comes_back_in_the_writing_of_kms(own: Any) -> None:
    """API Reference, GetKeyPolicy, example response: KMS's own indentation, not the bytes that were put."""
    own.put_key_policy(KeyId=documents_key().id, PolicyName="default", Policy=policy({**ROOT, "Action": ["kms:*"]}))
    shown = own.get_key_policy(KeyId=documents_key().id, PolicyName="default")["Policy"]
    assert shown == "\n".join(
        (
            "{",
            '  "Version" : "2012-10-17",',
            '  "Id" : "key-default-1",',
            '  "Statement" : [ {',
            '    "Sid" : "Enable IAM User Permissions",',
            '    "Effect" : "Allow",',
            '    "Principal" : {',
            f'      "AWS" : "arn:aws:iam::{B}:root"',
            "    },",
            '    "Action" : "kms:*",',
            '    "Resource" : "*"',
            "  } ]",
            "}",
        )
    )
    own.put_key_policy(KeyId=documents_key().id, PolicyName="default", Policy=shown)
    assert own.get_key_policy(KeyId=documents_key().id, PolicyName="default")["Policy"] == shown


def test_a_role_that_was_deleted_shows_as_its_id_in_a_key_policy(own: Any) -> None:
    """IAM User Guide: once a role is deleted, policies show its unique id, and apply to no other role."""
    iam, key = iam_backends[D]["aws"], documents_key()
    role_id = iam.get_role("PartnerExchange").id
    own.put_key_policy(KeyId=key.id, PolicyName="default", Policy=policy(ROOT, DECRYPT))
    iam.delete_role("PartnerExchange")
    shown = json.loads(own.get_key_policy(KeyId=key.id, PolicyName="default")["Policy"])
    assert shown["Statement"][1]["Principal"]["AWS"] == role_id
    assert stored_policies.in_force(key, key.policy)["Statement"][1]["Principal"]["AWS"] == role_id


def test_a_deny_for_others_does_not_close_a_key_to_its_own_account(client: Client) -> None:
    """A Deny counts for the principals that it names and when its conditions hold (moto denied DescribeKey to all)."""
    account = "333333333333"
    described = client("kms", account).describe_key(KeyId="alias/ledger")["KeyMetadata"]
    assert described["KeyManager"] == "CUSTOMER"
    assert error_of(client("kms", B).describe_key, KeyId=described["Arn"])[0] == "AccessDeniedException"
