"""The only code that calls AWS: one module per kind of resource. Importing the package registers every kind."""

from runbook.aws import (
    add_ons,
    cloudformation,
    kms,
    s3,
    sns,
    sqs,
    stack_instances,
    stack_parameters,
    stack_set_definition,
    stacks,
    subscriptions,
    trusted_access,
)

__all__ = [
    "add_ons",
    "cloudformation",
    "kms",
    "s3",
    "sns",
    "sqs",
    "stack_instances",
    "stack_parameters",
    "stack_set_definition",
    "stacks",
    "subscriptions",
    "trusted_access",
]
