"""A CloudFormation template of the role that the runbook assumes in every account: ready for a stack set.

Which policies the role has depends on the account: bucketAV's, the management account, a delegated administrator, or
any other. One template serves them all.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import yaml

from runbook.environment import Environment
from runbook.errors import RunbookError
from runbook.review.permissions import grants, statements
from runbook.review.resources import DELEGATED, HOME, MANAGEMENT, Known, Scope
from runbook.steps import ASKED

LARGEST_POLICY = 6_144
"""Maximum number of characters of a managed policy, white space left out. Source: AWS, "IAM and AWS STS quotas"."""

MOST_POLICIES = 10
"""Maximum number of managed policies of a role. Source: the same."""

ROLE_NAME = "bucketAV-runbook"

SCOPE = Scope(
    partition="${AWS::Partition}",
    region="${BucketAVRegion}",
    home="${BucketAVAccountId}",
    management="${ManagementAccountId}",
    bucketav="${BucketAVStackName}",
    account="${AWS::AccountId}",
)

CONDITIONS: Mapping[str, str] = {HOME: "RunsBucketAV", MANAGEMENT: "ManagesOrganization", DELEGATED: "ManagesStackSets"}
"""The condition on which an account has a part; any other part belongs to the accounts that are neither."""

OTHER = "IsOtherAccount"

ANY_ACCOUNT: Mapping[str, tuple[str, ...]] = {"organizations:DescribeOrganization": ("*",)}
"""Calls to any account where the environment names no management account. The sandbox's environment names one, so that
they are not recorded there."""


def role_template(environment: Environment | None = None, notebooks: Iterable[str] = tuple(ASKED)) -> str:
    """Return the template in YAML, with the permissions of the notebooks; an environment fills in the defaults."""
    policies = dict(_policies(notebooks, ANY_ACCOUNT if _asks_any_account(environment) else {}))
    template = {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "Role that the bucketAV runbook assumes in this account. Created by its permissions command.",
        "Parameters": _parameters(environment),
        "Conditions": _conditions(),
        "Resources": {"Role": _role(), **policies},
        "Outputs": {"RoleArn": {"Value": {"Fn::GetAtt": ["Role", "Arn"]}}},
    }
    return yaml.dump(template, Dumper=_WithoutAliases, sort_keys=False, width=120)


def _asks_any_account(environment: Environment | None) -> bool:
    return environment is None or "management" not in environment.file.accounts


def _parameters(environment: Environment | None) -> dict[str, Any]:
    known = Scope.of(environment, "") if environment else None
    account = {"Type": "String", "AllowedPattern": "[0-9]{12}"}
    either = {"Type": "String", "AllowedPattern": r"[0-9]{12}|\*"}
    return {
        "TrustedPrincipal": {
            "Type": "String",
            "AllowedPattern": "arn:aws[a-z-]*:iam::[0-9]{12}:(root|(role|user)/.+)",
            "Description": "ARN of who may assume the role: a role, a user, or an account's root for all of an account",
        },
        "ExternalId": {
            "Type": "String",
            "AllowedPattern": r"([\w+=,.@:/-]{2,1224})?",
            "Default": "",
            "Description": "External id that has to be sent when the role is assumed. Empty: none",
        },
        "RoleName": {"Type": "String", "AllowedPattern": r"[\w+=,.@-]{1,64}", "Default": ROLE_NAME},
        "BucketAVAccountId": account | ({"Default": known.home} if known else {}),
        "BucketAVRegion": {"Type": "String"} | ({"Default": known.region} if known else {}),
        "BucketAVStackName": {"Type": "String", "Default": (known or Scope()).bucketav},
        "ManagementAccountId": either
        | {"Default": (known or Scope()).management, "Description": "The organization's management account; *: any"},
        "DelegatedAdministratorId": {
            "Type": "String",
            "AllowedPattern": "([0-9]{12})?",
            "Default": "",
            "Description": "Account that manages stack sets instead of the management account. Empty: none",
        },
    }


def _conditions() -> dict[str, Any]:
    def is_account(parameter: str) -> dict[str, Any]:
        return {"Fn::Equals": [{"Ref": "AWS::AccountId"}, {"Ref": parameter}]}

    return {
        "HasExternalId": {"Fn::Not": [{"Fn::Equals": [{"Ref": "ExternalId"}, ""]}]},
        CONDITIONS[HOME]: is_account("BucketAVAccountId"),
        CONDITIONS[MANAGEMENT]: is_account("ManagementAccountId"),
        CONDITIONS[DELEGATED]: is_account("DelegatedAdministratorId"),
        OTHER: {
            "Fn::Not": [{"Fn::Or": [{"Condition": CONDITIONS[HOME]}, {"Condition": CONDITIONS[MANAGEMENT]}]}],
        },
    }


def _role() -> dict[str, Any]:
    """Return the role. Who assumes it may name themselves (source identity) and the run (session tags)."""
    external_id = {"StringEquals": {"sts:ExternalId": {"Ref": "ExternalId"}}}
    trust = {
        "Effect": "Allow",
        "Principal": {"AWS": {"Ref": "TrustedPrincipal"}},
        "Action": ["sts:AssumeRole", "sts:SetSourceIdentity", "sts:TagSession"],
        "Condition": {"Fn::If": ["HasExternalId", external_id, {"Ref": "AWS::NoValue"}]},
    }
    return {
        "Type": "AWS::IAM::Role",
        "Properties": {
            "RoleName": {"Ref": "RoleName"},
            "AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": [trust]},
        },
    }


# --- the policies ----------------------------------------------------------------------------------------------------


def _policies(notebooks: Iterable[str], more: Mapping[str, tuple[str, ...]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Return the managed policies by their logical ids, each with the condition on which an account has it."""
    needs = {condition: {**more, **on} for condition, on in _needs(notebooks).items()}
    for condition, on in needs.items():
        for number, listed in enumerate(_parted(statements(on)), 1):
            yield (
                f"{condition}Policy{number}",
                {
                    "Type": "AWS::IAM::ManagedPolicy",
                    "Condition": condition,
                    "Properties": {
                        "Roles": [{"Ref": "Role"}],
                        "PolicyDocument": {"Version": "2012-10-17", "Statement": [_filled_in(each) for each in listed]},
                    },
                },
            )


def _needs(notebooks: Iterable[str]) -> dict[str, dict[str, tuple[str, ...]]]:
    """Return what all notebooks need together, action by action, by the condition on which an account needs it."""
    found: dict[str, dict[str, tuple[str, ...]]] = {condition: {} for condition in (*CONDITIONS.values(), OTHER)}
    for notebook in notebooks:
        for part, on in grants(notebook, known=Known(scope=SCOPE)).items():
            actions = found[CONDITIONS.get(part, OTHER)]
            for action, arns in on.items():
                actions[action] = _widest({*actions.get(action, ()), *arns})
    return {condition: on for condition, on in found.items() if on}


def _widest(arns: set[str]) -> tuple[str, ...]:
    """Return the patterns that no other one covers."""
    return tuple(sorted(arn for arn in arns if not any(arn != other and fnmatchcase(arn, other) for other in arns)))


def _parted(listed: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Return the statements divided into policies that are not too large for IAM.

    What a parameter is filled in for is longer than its value, but for the name of a stack.
    """
    parts: list[list[dict[str, Any]]] = [[]]
    for statement in listed:
        if _size([statement]) > LARGEST_POLICY:
            raise RunbookError(f"One statement alone is too large for a managed policy: {statement['Action']}.")
        if _size([*parts[-1], statement]) > LARGEST_POLICY:
            parts.append([])
        parts[-1].append(statement)
    if len(parts) > MOST_POLICIES:
        raise RunbookError(f"{len(parts)} managed policies are needed, and a role has {MOST_POLICIES} at most.")
    return parts


def _size(listed: Sequence[Mapping[str, Any]]) -> int:
    """Return the characters of a policy as IAM counts them, with the longest name that a stack may have filled in."""
    text = json.dumps({"Version": "2012-10-17", "Statement": listed}, separators=(",", ":"))
    return len(text.replace(SCOPE.bucketav, "x" * 128))


def _filled_in(statement: Mapping[str, Any]) -> dict[str, Any]:
    arns = statement["Resource"]
    return {**statement, "Resource": _sub(arns) if isinstance(arns, str) else [_sub(arn) for arn in arns]}


def _sub(arn: str) -> Any:
    return {"Fn::Sub": arn} if "${" in arn else arn


class _WithoutAliases(yaml.SafeDumper):
    """CloudFormation takes no YAML aliases."""

    def ignore_aliases(self, _data: Any) -> bool:
        return True
