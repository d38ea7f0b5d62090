"""IAM as on AWS where moto is not: AWS-managed policies exist in every account, and a policy reads back as JSON."""

from __future__ import annotations

import json
from typing import Any

from moto.iam.models import AWSManagedPolicy, IAMBackend, Role

ADMINISTRATOR_ACCESS = "arn:aws:iam::aws:policy/AdministratorAccess"


def install() -> None:
    """Replace moto's list of AWS-managed policies, which is empty unless all 1,400 of them are loaded."""
    IAMBackend._init_aws_policies = _aws_managed_policies  # type: ignore[method-assign]
    Role.put_policy = _put_policy  # type: ignore[method-assign]


def _aws_managed_policies(backend: IAMBackend) -> list[Any]:
    """AWS, "AdministratorAccess": allows all actions on all resources. Managed policies are there in every account."""
    document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    return [
        AWSManagedPolicy(
            "AdministratorAccess",
            account_id=backend.account_id,
            region=backend.region_name,
            default_version_id="v1",
            path="/",
            document=json.dumps(document),
        )
    ]


def _put_policy(role: Role, policy_name: str, policy_json: Any) -> None:
    """API reference, GetRolePolicy: "The policy document ... JSON". moto keeps what a template says as a Python mapping."""
    role.policies[policy_name] = policy_json if isinstance(policy_json, str) else json.dumps(policy_json)
