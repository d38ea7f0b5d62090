"""Where moto's KMS is not like AWS's: AWS-managed keys, keys of other accounts, key policies."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from flask import has_request_context, request
from moto.core.exceptions import JsonRESTError
from moto.kms import models
from moto.kms.models import Key, KmsBackend, kms_backends
from moto.kms.responses import KmsResponse

from runbook.sandbox import stored_policies
from runbook.sandbox.authorization import require
from runbook.sandbox.callers import caller_of
from runbook.sandbox.errors import AccessDenied
from runbook.sandbox.moto_methods import replace

SIZE_LIMIT = 32_768
"""Bytes. KMS Developer Guide, "Resource quotas": key policy document size."""

CROSS_ACCOUNT_OPERATIONS = frozenset(
    {
        "CreateGrant", "Decrypt", "DeriveSharedSecret", "DescribeKey", "Encrypt", "GenerateDataKey",
        "GenerateDataKeyPair", "GenerateDataKeyPairWithoutPlaintext", "GenerateDataKeyWithoutPlaintext", "GenerateMac",
        "GetKeyRotationStatus", "GetPublicKey", "ListGrants", "ReEncrypt", "RetireGrant", "RevokeGrant", "Sign",
        "Verify", "VerifyMac",
    }
)  # fmt: skip
"""KMS API Reference: those whose page says "Cross-account use: Yes". All others never reach another account's key."""

_CHARACTERS = re.compile(r"[\t\n\r -~\u00a0-\u00ff]+")


class KmsError(JsonRESTError):
    """Status 400, as of all errors of KMS that a caller can bring about."""


def find_key(identifier: str, *, account: str, region: str) -> Key | None:
    """moto's key for a key id, alias name, key ARN or alias ARN, as seen from `account` in `region`.

    Only an ARN leads into another account. A key of another Region is not found.
    """
    if identifier.startswith("arn:"):
        _, _, _, arn_region, account, identifier = identifier.split(":", 5)
        if arn_region != region or not stored_policies.account_exists(account):
            return None
    backend = kms_backends[account][region]
    if identifier.startswith("alias/"):
        identifier = backend.get_key_id_from_alias(identifier) or ""
    return backend.keys.get(identifier.removeprefix("key/"))


def key_of_call(operation: str, parameters: Mapping[str, Any], *, account: str, region: str) -> Key | None:
    """The key that a KMS call is about: named in its parameters (the request's JSON) or by its ciphertext.

    None when the call names none, or one that does not exist. `account` is the caller's.
    """
    named = {"CreateAlias": "TargetKeyId", "UpdateAlias": "TargetKeyId", "DeleteAlias": "AliasName"}
    identifier = parameters.get(named.get(operation, "KeyId"))
    if identifier:
        return find_key(str(identifier), account=account, region=region)
    if operation in ("Decrypt", "ReEncrypt"):
        return _key_of_ciphertext(base64.b64decode(parameters.get("CiphertextBlob", "")), region)
    return None


@cache
def install() -> None:
    """Change moto, process-wide. Idempotent."""
    replace(models, "generate_private_key", makes_no_key_pair_for_a_symmetric_key)
    replace(KmsBackend, "_generate_default_keys", makes_aws_managed_keys)
    replace(KmsBackend, "create_key", checks_the_policy_of_a_new_key)
    replace(KmsBackend, "put_key_policy", checks_a_key_policy)
    replace(KmsBackend, "get_key_policy", shows_the_policy_as_kms_writes_it)
    replace(KmsResponse, "create_key", keeps_a_new_key_manageable)
    replace(KmsResponse, "put_key_policy", keeps_a_key_manageable)
    replace(KmsResponse, "list_aliases", lists_aliases_that_have_no_key_yet_without_one)
    replace(KmsResponse, "_validate_key_policy", leaves_authorization_to_the_gate)
    KmsResponse.kms_backend = property(backend_of_the_key)  # type: ignore[method-assign, assignment]


# Rules. The first parameter is moto's own method.


def makes_aws_managed_keys(original: Callable[..., str | None], backend: KmsBackend, alias: str) -> str | None:
    """`alias/aws/s3` and its like are AWS-managed keys, made when first needed, with a policy of AWS's.

    DescribeKey: "If you specify a predefined AWS alias (an AWS alias with no key ID), KMS associates the alias with an
    AWS managed key". Developer Guide, "AWS managed keys": nobody but AWS can change their policy, which lets the
    account's principals use the key through that service alone. The policy's text is what GetKeyPolicy shows.
    """
    key_id = original(backend, alias)
    if key_id is not None:
        service = alias.removeprefix("alias/aws/")
        key = backend.keys[key_id]
        key.key_manager = "AWS"
        key.description = f"Default key that protects my {service.upper()} objects when no other key is defined"
        key.policy = json.dumps(_aws_managed_policy(service, key))
    return key_id


def makes_no_key_pair_for_a_symmetric_key(original: Callable[..., Any], specification: str) -> Any:
    """Nobody would ever use it. moto makes an RSA key pair for each, which takes a tenth of a second."""
    return None if specification == "SYMMETRIC_DEFAULT" else original(specification)


def checks_the_policy_of_a_new_key(
    original: Callable[..., Key], backend: KmsBackend, policy: str | None, *rest: Any, **options: Any
) -> Key:
    """CreateKey: the policy must meet the criteria of PutKeyPolicy; without one the key gets the default policy."""
    if policy:
        _check(policy)
    key = original(backend, policy, *rest, **options)
    stored_policies.remember_principals(key, key.policy)
    return key


def checks_a_key_policy(original: Callable[..., None], backend: KmsBackend, key_id: str, policy: str) -> None:
    """PutKeyPolicy refuses a document that is no policy, is too large, or names a principal that does not exist.

    Developer Guide, "AWS managed keys": you cannot change the policies of AWS managed keys.
    """
    key = backend.keys[backend.get_key_id(key_id)]
    if key.key_manager == "AWS":
        raise KmsError(
            "AccessDeniedException",
            f"User: {_caller_arn(key)} is not authorized to perform: kms:PutKeyPolicy on resource: {key.arn} "
            "because no resource-based policy allows the kms:PutKeyPolicy action",
        )
    _check(policy)
    original(backend, key_id, policy)
    stored_policies.remember_principals(key, policy)


def shows_the_policy_as_kms_writes_it(_original: Callable[..., str], backend: KmsBackend, key_id: str) -> str:
    """GetKeyPolicy answers with KMS's own writing of the policy, not with the text that was put.

    API Reference, GetKeyPolicy, example response: two spaces of indentation, ` : ` after names, lists on one line.
    Principals that were deleted show as their ids (IAM User Guide, "AWS JSON policy elements: Principal").
    """
    key = backend.keys[backend.get_key_id(key_id)]
    return _as_kms_writes(stored_policies.as_written(key, key.policy))


def keeps_a_new_key_manageable(original: Callable[..., str], response: KmsResponse) -> str:
    """CreateKey: as PutKeyPolicy, the policy has to let the caller change it again."""
    answer = original(response)
    key = response.kms_backend.keys[json.loads(answer)["KeyMetadata"]["KeyId"]]
    if not _manageable(response, key):
        response.kms_backend.delete_key(key.id)
        raise _locked_out()
    return answer


def keeps_a_key_manageable(original: Callable[..., str], response: KmsResponse) -> str:
    """PutKeyPolicy: "The key policy must allow the calling principal to make a subsequent PutKeyPolicy request on the
    KMS key. [...] (To omit this condition, set BypassPolicyLockoutSafetyCheck to true.)"
    """
    key = find_key(response._get_param("KeyId"), account=response.current_account, region=response.region)
    before = dict(vars(key)) if key else {}
    answer = original(response)
    if key and not _manageable(response, key):
        vars(key).update(before)
        raise _locked_out()
    return answer


def lists_aliases_that_have_no_key_yet_without_one(original: Callable[..., str], response: KmsResponse) -> str:
    """ListAliases: "The response might also include aliases that have no TargetKeyId field. These are predefined
    aliases that [AWS] has created but has not yet associated with a KMS key." moto makes up a key id for them.
    """
    answer = json.loads(original(response))
    for alias in answer["Aliases"]:
        if alias["TargetKeyId"] not in response.kms_backend.keys:
            del alias["TargetKeyId"]
    return json.dumps(answer)


def leaves_authorization_to_the_gate(_original: Callable[..., None], *_: Any) -> None:
    """moto applies every Deny of a key policy to DescribeKey, whoever asks and whatever its conditions say."""


def backend_of_the_key(response: KmsResponse) -> KmsBackend:
    """A key ARN, or a ciphertext, leads to the key of another account, for the operations that AWS allows it for.

    API Reference, "Cross-account use" of each operation; Developer Guide, "Allowing users in other accounts to use a
    KMS key": permissions for any other operation have no effect.
    """
    operation, account = response._get_action(), response.current_account
    parameters = json.loads(response.body or "{}")
    key = key_of_call(operation, parameters, account=account, region=response.region)
    if key is None or key.account_id == account:
        return kms_backends[account][response.region]
    if operation not in CROSS_ACCOUNT_OPERATIONS:
        raise KmsError(
            "AccessDeniedException",
            f"User: {_caller_arn(key)} is not authorized to perform: kms:{operation} on this resource because the "
            "resource does not exist in this Region, no resource-based policies allow access, or a resource-based "
            "policy explicitly denies access",
        )
    return kms_backends[key.account_id][response.region]


def _key_of_ciphertext(ciphertext: bytes, region: str) -> Key | None:
    """AWS, Decrypt: KMS finds the key in the ciphertext's metadata. moto's ciphertext begins with the key's id."""
    key_id = ciphertext[:36].decode(errors="replace")
    keys = (backends[region].keys.get(key_id) for backends in list(kms_backends.values()))
    return next((key for key in keys if key), None)


def _aws_managed_policy(service: str, key: Key) -> dict[str, Any]:
    name = service.upper()
    use = f"Allow access through {name} for all principals in the account that are authorized to use {name}"
    return {
        "Version": "2012-10-17",
        "Id": f"auto-{service}-2",
        "Statement": [
            {
                "Sid": use,
                "Effect": "Allow",
                "Principal": {"AWS": "*"},
                "Action": ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"],
                "Resource": "*",
                "Condition": {
                    "StringEquals": {
                        "kms:CallerAccount": key.account_id,
                        "kms:ViaService": f"{service}.{key.region}.amazonaws.com",
                    }
                },
            },
            {
                "Sid": "Allow direct access to key metadata to the account",
                "Effect": "Allow",
                "Principal": {"AWS": f"arn:aws:iam::{key.account_id}:root"},
                "Action": ["kms:Describe*", "kms:Get*", "kms:List*"],
                "Resource": "*",
            },
        ],
    }


def _check(policy: str) -> None:
    """Raise KMS's error unless KMS would take the policy.

    A statement without Action or Resource is taken and has no effect, as the API Reference says; one without a
    principal is not.
    """
    if len(policy.encode()) > SIZE_LIMIT:
        raise KmsError("LimitExceededException", f"Key policy document exceeds the limit of {SIZE_LIMIT} bytes")
    try:
        document = stored_policies.parsed(policy)
    except ValueError:
        document = {}
    statements = stored_policies.statements(document)
    if not statements or not all(isinstance(item, Mapping) for item in statements) or not _CHARACTERS.fullmatch(policy):
        raise _malformed(
            "The request was rejected because the specified policy is not syntactically or semantically correct."
        )
    if not all(statement.get("Principal") or statement.get("NotPrincipal") for statement in statements):
        raise _malformed("Policy contains a statement with no principal.")
    if stored_policies.unknown_principals(document):
        raise _malformed("Policy contains a statement with one or more invalid principals.")


def _manageable(response: KmsResponse, key: Key) -> bool:
    if not response._get_param("BypassPolicyLockoutSafetyCheck"):
        try:
            require(caller_of(response.headers, service="kms"), "kms:PutKeyPolicy", key.arn, key.account_id)
        except AccessDenied:
            return False
    return True


def _locked_out() -> KmsError:
    return _malformed("The new key policy will not allow you to update the key policy in the future.")


def _malformed(message: str) -> KmsError:
    return KmsError("MalformedPolicyDocumentException", message)


def _caller_arn(key: Key) -> str:
    if has_request_context():
        return caller_of(dict(request.headers), service="kms").arn
    return f"arn:aws:iam::{key.account_id}:root"


def _as_kms_writes(value: Any, indentation: str = "") -> str:
    if isinstance(value, Mapping):
        deeper = indentation + "  "
        members = (f"{deeper}{json.dumps(name)} : {_as_kms_writes(item, deeper)}" for name, item in value.items())
        return "{\n" + ",\n".join(members) + f"\n{indentation}}}"
    if isinstance(value, list):
        return f"[ {', '.join(_as_kms_writes(item, indentation) for item in value)} ]"
    return json.dumps(value, ensure_ascii=False)
