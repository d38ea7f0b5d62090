"""What the processes that a review starts get of its surroundings: nobody's AWS accounts, and no other sandbox."""

from collections.abc import Mapping

from runbook.jobs import SANDBOX_VARIABLE


def without_accounts(variables: Mapping[str, str]) -> dict[str, str]:
    """Environment variables without any that lead to another sandbox, or to somebody's AWS account."""
    foreign = [name for name in variables if name == SANDBOX_VARIABLE or name.startswith("AWS_")]
    return {name: value for name, value in variables.items() if name not in foreign}
