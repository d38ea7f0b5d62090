"""What the processes that a review starts get of its surroundings: nobody's AWS accounts, and no other sandbox."""

from collections.abc import Mapping

from runbook.sandbox.server import PRIVATE, VARIABLE


def without_accounts(variables: Mapping[str, str]) -> dict[str, str]:
    """Environment variables without any that lead to somebody's AWS account, and none of another sandbox."""
    own = {name: value for name, value in variables.items() if not name.startswith("AWS_")}
    return {**own, VARIABLE: PRIVATE}
