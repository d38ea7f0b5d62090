"""The base of every step: a frozen, strict model of its parameters that reads AWS once, and then only thinks.

`observe` returns the state of the world; checks, plan and verification are worked out from it. A step displays nothing.
"""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from runbook.access import AccessMatrix
from runbook.checks import Checks
from runbook.environment import Environment
from runbook.parameters import Parameters
from runbook.plan import Plan, Resource
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
    def observe(self, environment: Environment, *, progress: Progress = silent) -> Any:
        """Read from AWS, once each, all that checks, plan and verification rest on. The type is the step's own."""

    def settle(self, environment: Environment, state: Any, *, progress: Progress = silent) -> Any:  # noqa: ARG002 (for steps that wait)
        """Return the state to plan from: the same one, or a new one once an operation that was going on is over."""
        return state

    @abstractmethod
    def checks(self, environment: Environment, state: Any) -> Checks:
        """Answer everything that would make the plan fail or be wrong. Calls nothing."""

    @abstractmethod
    def plan(self, environment: Environment, state: Any, scenario: str = "") -> Plan:
        """Plan the changes, leaving out resources with failed checks. Calls nothing."""

    def probe(self, environment: Environment, state: Any, run: Run, *, progress: Progress = silent) -> Any:  # noqa: ARG002 (for steps that try)
        """Read and try what only a verification needs, such as a test message; `state` is that of after an apply."""
        return None

    def present(self, environment: Environment, state: Any) -> Mapping[Resource, str | None]:  # noqa: ARG002 (for steps that have some)
        """Return the values in the state of resources that plans of the step change, as plans hold them."""
        return {}

    @abstractmethod
    def verify(self, environment: Environment, state: Any, run: Run, probed: Any) -> Verification:
        """Prove the result of an apply from the state after it; predict that of a preview. Calls nothing.

        `probed` is the answer of `probe`.
        """
