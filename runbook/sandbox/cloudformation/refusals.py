"""What CloudFormation answers when it refuses: AWS's codes and statuses."""

from __future__ import annotations

from runbook.sandbox.errors import Refusal


class ValidationError(Refusal):
    """Wrong input, or a stack in a state that does not allow the operation."""

    def __init__(self, message: str) -> None:
        super().__init__("ValidationError", message, 400)


class AlreadyExists(Refusal):
    """A stack or change set of that name is there already."""

    def __init__(self, message: str) -> None:
        super().__init__("AlreadyExistsException", message, 400)


class InsufficientCapabilities(Refusal):
    """The template needs an acknowledgement that the caller did not give."""

    def __init__(self, capability: str) -> None:
        super().__init__("InsufficientCapabilitiesException", f"Requires capabilities : [{capability}]", 400)


class ChangeSetNotFound(Refusal):
    """No change set has that name or ARN."""

    def __init__(self, name: str) -> None:
        super().__init__("ChangeSetNotFound", f"ChangeSet [{name}] does not exist", 404)


class InvalidChangeSetStatus(Refusal):
    """The change set cannot be executed or deleted as it is."""

    def __init__(self, message: str) -> None:
        super().__init__("InvalidChangeSetStatus", message, 400)


class TokenAlreadyExists(Refusal):
    """A client request token was used for another operation."""

    def __init__(self, token: str) -> None:
        super().__init__("TokenAlreadyExistsException", f"A client request token already exists: {token}", 400)


def no_such_stack(name: str) -> ValidationError:
    """How most operations say it."""
    return ValidationError(f"Stack with id {name} does not exist")


def no_such_stack_to_change(name: str) -> ValidationError:
    """How updates, change sets and events say it."""
    return ValidationError(f"Stack [{name}] does not exist")
