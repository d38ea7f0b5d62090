"""What every step is: a frozen, strict model of its parameters that can check, plan and verify; it displays nothing."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from runbook.access import AccessMatrix
from runbook.checks import Checks
from runbook.environment import Environment
from runbook.parameters import Parameters
from runbook.plan import Plan
from runbook.progress import Progress, silent
from runbook.run import Run


@dataclass(frozen=True)
class Verification:
    """What was found after a run (or would be, after a preview): checks, and who can do what."""

    checks: Checks
    access: AccessMatrix

    def __repr__(self) -> str:
        return f"{self.access!r}\n{self.checks!r}"

    def _repr_markdown_(self) -> str:
        return f"{self.access._repr_markdown_()}\n\n{self.checks._repr_markdown_()}"


class Asked(Parameters):
    """What a notebook asks for: its parameters.

    `notebook` names the notebook, its folder in `params/` and its runs. `alternatives` are groups of parameters of
    which one is given: giving one puts a scenario's value for another aside. `default_scenario` is the sample that the
    notebook starts with in the sandbox.
    """

    notebook: ClassVar[str]
    title: ClassVar[str]
    default_scenario: ClassVar[str] = ""
    alternatives: ClassVar[tuple[tuple[str, ...], ...]] = ()

    def examine(self, environment: Environment) -> None:
        """Raise ParameterError for what the environment shows to be wrong without a call: unknown accounts, files."""

    def as_given(self) -> Mapping[str, Any]:
        """The parameters as a scenario file would hold them."""
        return self.model_dump(mode="json", exclude_defaults=True)


class Step(Asked):
    """One section of the product page."""

    @abstractmethod
    def check(self, environment: Environment, *, progress: Progress = silent) -> Checks:
        """Everything that would make the plan fail or be wrong. Reads only."""

    @abstractmethod
    def plan(self, environment: Environment, scenario: str = "", *, progress: Progress = silent) -> Plan:
        """What is to be changed, from one look at the present state; without what a failed check stands against."""

    @abstractmethod
    def verify(self, environment: Environment, run: Run, *, progress: Progress = silent) -> Verification:
        """After an apply: look again and prove the result. After a preview: predict it from the plan."""
