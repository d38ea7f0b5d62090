"""What the credentials that a step starts from need to be allowed: as tables to read, as IAM policies to attach.

The data is `permissions/NOTEBOOK.yaml` beside this module, written by `runbook.review.observed`: place -> action ->
phase -> the ways that need it from that phase on, or `always` for all of them. A way is a scenario, or one of MORE.

Not in it: `sts:AssumeRole` on the roles of the environment file, and on bucketAV's roles for `probe: true`.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from runbook import markdown
from runbook.parameters import ParameterError, did_you_mean, load_yaml
from runbook.policy.document import Document, new
from runbook.steps import STEPS, step_class
from runbook.steps.scenarios import scenario_names

FOLDER = Path(__file__).with_name("permissions")

PLACES = ("account a", "management account", "other accounts")

PHASES = ("look", "apply", "undo")
"""In the order in which they come; each needs what those before it need. Verifying belongs to `apply`."""

ALWAYS = "always"

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


def ways(notebook: str) -> list[str]:
    """The scenarios of a notebook, and the other ways that are observed."""
    return [*scenario_names(notebook), *MORE.get(notebook, {})]


def read(notebook: str) -> Needs:
    """What was observed of a notebook. Raises ParameterError for one that is not known."""
    step_class(notebook)
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


def policies(notebook: str, way: str = "", *, until: str = "undo") -> dict[str, Document]:
    """The same as identity policies, a statement for each service, on all resources; none for a place without needs."""
    found = needed(notebook, way, until=until)
    return {place: new(_statements(actions)) for place, actions in found.items() if actions}


def tables() -> str:
    """What every notebook needs, as Markdown: a table that folds for each place, an action a line."""
    return "\n\n".join(markdown.folded(place.capitalize(), table(place)) for place in PLACES)


def table(place: str) -> str:
    """What every notebook needs in one place, an action a line."""
    needs = {notebook: read(notebook).get(place, {}) for notebook in STEPS}
    actions = sorted({action for found in needs.values() for action in found})
    rows = [[f"`{action}`", *(_mark(found.get(action, {})) for found in needs.values())] for action in actions]
    return markdown.table(["Action", *needs], rows)


def _statements(actions: Iterable[str]) -> list[dict[str, Any]]:
    services: dict[str, list[str]] = {}
    for action in sorted(actions):
        services.setdefault(action.partition(":")[0], []).append(action)
    return [{"Effect": "Allow", "Action": listed, "Resource": "*"} for listed in services.values()]


def _mark(phases: Mapping[str, str | Sequence[str]]) -> str:
    """`look`, or `(undo)` for what only some ways need: the first phase that any of them needs it in."""
    first = next((phase for phase in PHASES if phase in phases), "")
    return first if phases.get(first, ALWAYS) == ALWAYS else f"({first})"
