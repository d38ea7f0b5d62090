"""What StackSets answers when it refuses: AWS's codes and statuses. Wordings are AWS's where they are known."""

from __future__ import annotations

from runbook.sandbox.errors import Refusal


class StackSetNotFound(Refusal):
    """No stack set of that name or id, as far as the caller can see."""

    def __init__(self, name: str) -> None:
        super().__init__("StackSetNotFoundException", f"StackSet {name} not found", 404)


class StackSetNotEmpty(Refusal):
    """It has stack instances."""

    def __init__(self) -> None:
        super().__init__("StackSetNotEmptyException", "StackSet is not empty", 409)


class NameAlreadyExists(Refusal):
    """There is a stack set of that name in this Region."""

    def __init__(self, name: str) -> None:
        super().__init__("NameAlreadyExistsException", f"StackSet {name} already exists", 409)


class CreatedButModified(Refusal):
    """A repeated CreateStackSet, whose stack set has been changed since."""

    def __init__(self, name: str) -> None:
        super().__init__("CreatedButModifiedException", f"StackSet {name} exists, but has been modified", 409)


class OperationInProgress(Refusal):
    """AWS: one operation at a time."""

    def __init__(self, arn: str) -> None:
        super().__init__("OperationInProgressException", f"Another Operation on StackSet {arn} is in progress", 409)


class OperationIdAlreadyExists(Refusal):
    """The operation id was used for something else."""

    def __init__(self, operation_id: str) -> None:
        super().__init__("OperationIdAlreadyExistsException", f"Operation {operation_id} already exists", 409)


class OperationNotFound(Refusal):
    """The stack set has no operation of that id."""

    def __init__(self, operation_id: str) -> None:
        super().__init__("OperationNotFoundException", f"Operation {operation_id} not found", 404)


class StackInstanceNotFound(Refusal):
    """The stack set has no stack instance there."""

    def __init__(self, place: str) -> None:
        super().__init__("StackInstanceNotFoundException", f"Stack instance not found for {place}", 404)


class InvalidOperation(Refusal):
    """The operation is not possible as things are."""

    def __init__(self, message: str) -> None:
        super().__init__("InvalidOperationException", message, 400)
