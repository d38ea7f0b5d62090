"""One module for each section of the product page."""

from runbook.parameters import ParameterError, did_you_mean
from runbook.steps.add_ons import AddOns
from runbook.steps.allowlist import Allowlist
from runbook.steps.bucket_policy import BucketPolicy
from runbook.steps.findings_topic import FindingsTopic
from runbook.steps.iam_role import IamRole
from runbook.steps.stack_sets import StackSets
from runbook.steps.step import Step

STEPS: dict[str, type[Step]] = {
    step.notebook: step for step in (Allowlist, IamRole, StackSets, AddOns, BucketPolicy, FindingsTopic)
}
"""The steps by the name of their notebook, in the order of the runbook."""


def step_class(notebook: str) -> type[Step]:
    """The step of a notebook, by its name (`05-bucket-policy`). Raises ParameterError for an unknown one."""
    if notebook not in STEPS:
        raise ParameterError([f"There is no notebook `{notebook}`.{did_you_mean(notebook, list(STEPS))}"])
    return STEPS[notebook]
