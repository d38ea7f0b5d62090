"""IAM as on AWS where moto is not: AWS-managed policies exist in every account, and a policy reads back as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from typing import Any

from moto.iam.models import AWSManagedPolicy, IAMBackend, Role

from runbook.sandbox.moto_methods import replace

ADMINISTRATOR_ACCESS = "arn:aws:iam::aws:policy/AdministratorAccess"


@cache
def install() -> None:
    """Change moto, process-wide. Idempotent."""
    replace(IAMBackend, "_init_aws_policies", has_the_aws_managed_policies)
    replace(Role, "put_policy", keeps_a_policy_as_json)


# Rules. The first parameter is moto's own method.


def has_the_aws_managed_policies(_original: Callable[..., list[Any]], backend: IAMBackend) -> list[Any]:
    """AWS, "AdministratorAccess": allows all actions on all resources. Managed policies are there in every account.

    moto has none, unless all 1,400 of them are loaded. The sandbox has those that its world uses.
    """
    document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    return [
        AWSManagedPolicy(  # type: ignore[abstract]  # moto's own, which mypy takes for abstract
            "AdministratorAccess",
            account_id=backend.account_id,
            region=backend.region_name,
            default_version_id="v1",
            path="/",
            document=json.dumps(document),
        )
    ]


def keeps_a_policy_as_json(original: Callable[..., None], role: Role, name: str, policy: Any) -> None:
    """AWS, GetRolePolicy: the policy document is JSON. moto keeps what a template says as a Python mapping."""
    original(role, name, policy if isinstance(policy, str) else json.dumps(policy))
