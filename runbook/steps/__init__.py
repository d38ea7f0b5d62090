"""One module for each section of the product page."""

from runbook.parameters import ParameterError, did_you_mean
from runbook.steps.add_ons import AddOns
from runbook.steps.allowlist import Allowlist
from runbook.steps.bucket_policy import BucketPolicy
from runbook.steps.findings_topic import FindingsTopic
from runbook.steps.iam_role import IamRole
from runbook.steps.stack_sets import StackSets
from runbook.steps.start_here import StartHere
from runbook.steps.step import Asked, Step
from runbook.untrusted import code

STEPS: dict[str, type[Step]] = {
    step.notebook: step for step in (Allowlist, IamRole, StackSets, AddOns, BucketPolicy, FindingsTopic)
}
"""The steps by the name of their notebook, in the order of the runbook."""

ASKED: dict[str, type[Asked]] = {StartHere.notebook: StartHere, **STEPS}
"""What every notebook asks for, the one among them that changes nothing."""


def step_class(notebook: str) -> type[Step]:
    """The step of a notebook, by its name (`05-bucket-policy`). Raises ParameterError for one that has none."""
    if notebook in ASKED and notebook not in STEPS:
        raise ParameterError([f"{notebook} changes nothing: there is no plan to make."])
    if notebook not in STEPS:
        raise ParameterError([f"There is no notebook {code(notebook)}.{did_you_mean(notebook, list(ASKED))}"])
    return STEPS[notebook]


def asked_class(notebook: str) -> type[Asked]:
    """What a notebook asks for, by its name. Raises ParameterError for an unknown one."""
    return ASKED[notebook] if notebook in ASKED else step_class(notebook)
