"""The permissions that a notebook needs: as tables to read, as IAM policies to attach.

The data is `permissions/NOTEBOOK.yaml` beside this module, written by `runbook.review.observed`: place -> action ->
phase -> the ways that need it from that phase on, or `always` for all of them. A way is a scenario, or one of MORE.

Not in it: `sts:AssumeRole` on the roles of the environment file, and on bucketAV's roles for `probe: true`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from runbook import markdown
from runbook.environment import load_environment
from runbook.parameters import ParameterError, did_you_mean, load_yaml, shown
from runbook.plan import Plan
from runbook.policy.document import Document, new
from runbook.review.resources import DELEGATED, HOME, MANAGEMENT, Known, names_of, reason_for_any, resources
from runbook.steps import ASKED, asked_class, step_class
from runbook.steps.add_ons import AddOns
from runbook.steps.bucket_policy import BucketPolicy
from runbook.steps.findings_topic import FindingsTopic
from runbook.steps.iam_role import IamRole
from runbook.steps.scenarios import make_step, scenario_names
from runbook.steps.stack_sets import StackSets
from runbook.steps.step import Asked

FOLDER = Path(__file__).with_name("permissions")

PLACES = ("account a", "management account", "other accounts")

PHASES = ("look", "apply", "undo")
"""In the order in which they come; each needs what those before it need. Verifying belongs to `apply`."""

ALWAYS = "always"

NOTHING_KNOWN = Known()

MORE: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "01-allowlist": {
        "first and last entry": {
            "accounts": ["d"],
            "remove_accounts": ["b", "c", "f", "666666666666", "888888888888"],
        },
        "emptied": {"remove_accounts": ["b", "c", "f", "666666666666", "888888888888"]},
    },
    "03-stack-sets": {
        "allowlist and drift": {
            "targets": ["Workloads/Production"],
            "allowlist_organization": True,
            "detect_drift": True,
        },
        "deletion": {"delete": True, "stack_set_name": "bucketav-account-connection-pilot"},
    },
    "04-add-ons": {
        "two keys": {
            "source_buckets": ["b/documents-b"],
            "target_buckets": ["c/clean-documents-c"],
            "add_ons": ["bucketav-move-clean-documents"],
            "key_policy": "change",
        },
    },
    "06-findings-topic": {
        "filter and test message": {
            "queues": ["888888888888/bucketav-findings"],
            "statuses": "infected",
            "test_message": True,
        },
    },
}
"""What no scenario does but users may: parameters, by the notebook and a name beside those of its scenarios."""

Needs = Mapping[str, Mapping[str, Mapping[str, str | Sequence[str]]]]
"""Place -> action -> phase -> ways."""

OTHERS: Mapping[str, str] = {
    IamRole.notebook: "connected accounts",
    StackSets.notebook: "connected accounts",
    AddOns.notebook: "bucket accounts",
    BucketPolicy.notebook: "bucket accounts",
    FindingsTopic.notebook: "queue accounts",
}
"""The part that the other accounts have in a notebook."""

Grants = Mapping[str, Mapping[str, tuple[str, ...]]]
"""Part -> action -> the ARN patterns of the resources that it is needed on."""


def ways(notebook: str) -> list[str]:
    """The scenarios of a notebook, and the other ways that are observed."""
    return [*scenario_names(notebook), *MORE.get(notebook, {})]


def step_of(notebook: str, way: str) -> Asked:
    """The step that goes this way."""
    more = MORE.get(notebook, {})
    return make_step(asked_class(notebook), "" if way in more else way, more.get(way, {}))


def read(notebook: str) -> Needs:
    """What was observed of a notebook. Raises ParameterError for one that is not known."""
    asked_class(notebook)
    return load_yaml(FOLDER / f"{notebook}.yaml")


def needed(notebook: str, way: str = "", *, until: str = "undo") -> dict[str, list[str]]:
    """The actions that are needed up to a phase, by the place; for one way, or for all without it.

    Raises ParameterError for a notebook or a way that was not observed.
    """
    needs = read(notebook)
    if way and way not in ways(notebook):
        raise ParameterError([f"What `{way}` of {notebook} needs is not known.{did_you_mean(way, ways(notebook))}"])
    phases = PHASES[: PHASES.index(until) + 1]
    return {
        place: [
            action
            for action, found in needs.get(place, {}).items()
            if any(not way or listed == ALWAYS or way in listed for phase, listed in found.items() if phase in phases)
        ]
        for place in PLACES
    }


def needed_by_part(notebook: str, way: str = "", *, until: str = "undo") -> dict[str, list[str]]:
    """Return the same by the part that an account has: those of a delegated administrator apart from account a's.

    A delegated administrator needs what the management account needs otherwise.
    """
    home, management, others = needed(notebook, way, until=until).values()
    managing = read(notebook).get("management account", {})
    delegated: list[str] = []
    if any(map(partial(_is_delegated, notebook), [way] if way else ways(notebook))):
        by_delegated, own = (_of_ways(notebook, delegating, until) for delegating in (True, False))
        delegated = [action for action in home if action in by_delegated and action in managing]
        home = [action for action in home if action not in delegated or action in own]
    parts = {HOME: home, MANAGEMENT: management, DELEGATED: delegated, OTHERS.get(notebook, "other accounts"): others}
    return {part: found for part, found in parts.items() if found}


def grants(notebook: str, way: str = "", *, until: str = "undo", known: Known = NOTHING_KNOWN) -> Grants:
    """Return what every part of a notebook needs, on which resources: as narrow as `known` lets it be.

    Raises ParameterError for a notebook or a way that was not observed, and for parameters that cannot be used.
    """
    found: dict[str, dict[str, tuple[str, ...]]] = {}
    for part, actions in needed_by_part(notebook, way, until=until).items():
        names = names_of(notebook, part, known)
        on = {action: resources(notebook, action, names, known.plan) for action in actions}
        found[part] = {action: arns for action, arns in on.items() if arns}
    return found


def statements(needs: Mapping[str, tuple[str, ...]]) -> list[dict[str, Any]]:
    """Return the statements of an identity policy: one for each group of actions of a service on the same resources."""
    groups: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for action, arns in sorted(needs.items()):
        groups.setdefault((action.partition(":")[0], arns), []).append(action)
    return [
        {"Effect": "Allow", "Action": listed, "Resource": arns[0] if len(arns) == 1 else list(arns)}
        for (_, arns), listed in groups.items()
    ]


def policies(notebook: str, way: str = "", *, until: str = "undo", known: Known = NOTHING_KNOWN) -> dict[str, Document]:
    """The same as identity policies; none for a part without needs."""
    found = grants(notebook, way, until=until, known=known)
    return {part: new(statements(needs)) for part, needs in found.items() if needs}


def reasons(notebook: str, found: Mapping[str, Document]) -> list[str]:
    """Return why actions of these policies are needed on all resources, a line for each reason."""
    on_all: dict[str, list[str]] = {}
    actions = {action for policy in found.values() for each in policy.body["Statement"] for action in each["Action"]}
    for action in sorted(actions):
        if reason := reason_for_any(notebook, action):
            on_all.setdefault(reason, []).append(action)
    return [f"On all resources: {', '.join(listed)}. {reason}" for reason, listed in on_all.items()]


@dataclass(frozen=True)
class Chosen:
    """A notebook, one of its ways or none, and what is known of the run."""

    notebook: str
    way: str
    known: Known


def choose(
    notebook: str = "",
    scenario: str = "",
    given: Mapping[str, Any] = MappingProxyType({}),
    saved: Path | None = None,
    environment: str = "",
) -> Chosen:
    """Return what a command line chooses: a saved plan, or a notebook with or without parameters.

    Parameters are looked up in the sandbox unless an environment is named. Raises ParameterError.
    """
    if saved:
        if notebook or scenario or given or environment:
            raise ParameterError(["--plan: the plan says which notebook, environment and parameters; leave out yours."])
        return _of_plan(Plan.load(saved), shown(saved))
    if not notebook:
        raise ParameterError(["Which notebook? Name one, such as 05-bucket-policy, or give --plan or --role-template."])
    asked_class(notebook)
    if not (scenario or given):
        return Chosen(notebook, "", Known(load_environment(environment) if environment else None))
    more = MORE.get(notebook, {}).get(scenario)
    step = make_step(asked_class(notebook), "" if more else scenario, {**(more or {}), **given})
    loaded = load_environment(environment or "sandbox")
    step.examine(loaded)
    return Chosen(notebook, _way(notebook, scenario, step), Known(loaded, step))


def _of_plan(plan: Plan, where: str) -> Chosen:
    step = make_step(step_class(plan.step), "", plan.parameters, where)
    known = Known(load_environment(plan.environment), step, plan)
    return Chosen(plan.step, _way(plan.step, plan.scenario, step), known)


def _way(notebook: str, scenario: str, step: Asked) -> str:
    """Return the scenario, but nothing for one that was not observed, or whose parameters are others."""
    return scenario if scenario in ways(notebook) and step == step_of(notebook, scenario) else ""


def tables() -> str:
    """What every notebook needs, as Markdown: a table that folds for each place, an action a line."""
    return "\n\n".join(markdown.folded(place.capitalize(), table(place)) for place in PLACES)


def table(place: str) -> str:
    """What every notebook needs in one place, an action a line."""
    needs = {notebook: read(notebook).get(place, {}) for notebook in ASKED}
    actions = sorted({action for found in needs.values() for action in found})
    rows = [[f"`{action}`", *(_mark(found.get(action, {})) for found in needs.values())] for action in actions]
    return markdown.table(["Action", *needs], rows)


def _is_delegated(notebook: str, way: str) -> bool:
    """Return True if a delegated administrator works with the stack set, instead of the management account."""
    return bool(getattr(step_of(notebook, way), "administrator", ""))


def _of_ways(notebook: str, delegated: bool, until: str) -> set[str]:
    """Return what account a needs in all ways with a delegated administrator, or in all without one."""
    chosen = [way for way in ways(notebook) if _is_delegated(notebook, way) == delegated]
    return {action for way in chosen for action in needed(notebook, way, until=until)["account a"]}


def _mark(phases: Mapping[str, str | Sequence[str]]) -> str:
    """`look`, or `(undo)` for what only some ways need: the first phase that any of them needs it in."""
    first = next((phase for phase in PHASES if phase in phases), "")
    return first if phases.get(first, ALWAYS) == ALWAYS else f"({first})"
