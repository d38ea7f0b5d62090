"""The only code that calls AWS: one module per kind of resource. Importing the package registers every kind."""

from runbook.aws import cloudformation, iam, kms, organizations, s3, stack_parameters, stacks

__all__ = ["cloudformation", "iam", "kms", "organizations", "s3", "stack_parameters", "stacks"]
