"""What is different in meaning between two states of the project, in sentences, and what proves them.

Two snapshots say what each state checks, plans and grants (`runbook.review.snapshot`); the files say the rest. Nothing
here runs anything.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from runbook import markdown
from runbook.policy import actions, document
from runbook.policy.document import new, same_meaning
from runbook.review.base import State
from runbook.review.bones import PARAMETERS
from runbook.review.documents import statement_difference
from runbook.review.notebook_differences import NotebookDifference, notebook_differences
from runbook.review.parameter_cells import parsed
from runbook.review.report import Changed, Detail
from runbook.review.stored import read_cells

MOST = 25
"""So many sentences of one kind are on top; of more it is said how many there are."""

Told = tuple[list[str], list[Detail]]
"""Sentences, and what proves them."""


@dataclass(frozen=True, order=True)
class Grant:
    """One action that a statement allows, or denies, to one principal on one resource, under one condition."""

    effect: str
    principal: str
    action: str
    resource: str
    condition: str


def what_changes(base: str, before: State, now: State) -> Changed:
    """All that is different in meaning in `now`. `base` says what `before` is."""
    told = [
        _of_states(before, now),
        of_grants(_scenarios(before), _scenarios(now)),
        of_access(_scenarios(before), _scenarios(now)),
        of_statements(_of_both("statements", before, now), _of_both("statements", now, before)),
        of_checks(_scenarios(before), _scenarios(now)),
        of_defaults(_of_both("parameters", before, now), _of_both("parameters", now, before)),
        of_defaults(_cells(before.root), _cells(now.root)),
        of_permissions(_permissions(before.root), _permissions(now.root)),
        of_plans(_scenarios(before), _scenarios(now)),
        of_scenario_files(_scenario_files(before.root), _scenario_files(now.root)),
        of_outline(_entries(before.root), _entries(now.root)),
        of_notebooks(notebook_differences(before.root / "notebooks", now.root / "notebooks")),
    ]
    headlines = [line for lines, _ in told for line in markdown.first(lines, MOST)]
    details = tuple(detail for _, some in told for detail in some)
    return Changed(base, tuple(headlines) or ("Nothing that has a meaning for anybody's accounts.",), details)


# --- what is granted -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, order=True)
class _Said:
    """What one sentence says of a notebook: gained or lost, what, and on what; of which scenarios; not yet of whom."""

    lost: bool
    effect: str
    notebook: str
    named: tuple[str, ...]
    condition: str
    resources: tuple[str, ...]
    scenarios: tuple[str, ...]


def of_grants(before: Mapping[str, Any], now: Mapping[str, Any]) -> Told:
    """What the policies that scenarios write would allow, or deny, and did not; and the other way round."""
    places: dict[tuple[bool, str, str, str, tuple[str, ...], str], list[tuple[str, str]]] = {}
    for notebook, scenario in (name.split("/", 1) for name in now if name in before):
        had, has = (_granted(side[f"{notebook}/{scenario}"]) for side in (before, now))
        for lost, some, others in ((False, has, had), (True, had, has)):
            differing = {grant: pattern for grant, pattern in some.items() if grant not in others}
            for (effect, principal, resource, condition), named in _by_resource(differing, some).items():
                key = (lost, effect, notebook, principal, named, condition)
                places.setdefault(key, []).append((resource, scenario))
    said: dict[_Said, list[str]] = {}
    for (lost, effect, notebook, principal, named, condition), where in places.items():
        resources, scenarios = (tuple(sorted(set(some))) for some in zip(*where, strict=True))
        each = _Said(lost, effect, notebook, named, condition, resources, scenarios)
        said.setdefault(each, []).append(principal)
    return [_in_words(each, said[each], now) for each in sorted(said)], []


def _in_words(said: _Said, principals: Sequence[str], now: Mapping[str, Any]) -> str:
    """The scan role `…` may now also `s3:DeleteObject*` …"""
    words = {
        ("Allow", False): "may now also",
        ("Allow", True): "may no longer",
        ("Deny", False): "is now kept from",
        ("Deny", True): "is no longer kept from",
    }
    number = markdown.count(sum(name.startswith(f"{said.notebook}/") for name in now), "scenario")
    where = f"in {len(said.scenarios)} of {number} of {said.notebook} ({markdown.names(said.scenarios, 6)})"
    under = f", if {said.condition}" if said.condition else ""
    on = markdown.joined(list(dict.fromkeys(map(_resource, said.resources))), 4)
    verb, what = words[said.effect, said.lost], markdown.joined(said.named, 6)
    return f"**{_principals(principals)} {verb}** {what} on {on}{under}, {where}."


def _granted(scenario: Mapping[str, Any]) -> dict[Grant, str]:
    """What all documents that a scenario would leave allow or deny, and the pattern that says so."""
    return {
        grant: pattern
        for change in scenario.get("changes", ())
        for statement in _statements(change["after"])
        for grant, pattern in grants(statement)
    }


def grants(statement: Mapping[str, Any]) -> Iterator[tuple[Grant, str]]:
    """What a statement allows or denies, action by action, each with the pattern that covers it.

    An action that AWS does not list stays the pattern that it is; a statement with `NotAction` or the like is one grant
    of its own.
    """
    condition = _condition(statement.get("Condition", {}))
    principal = statement.get("Principal", statement.get("NotPrincipal", "whom it is attached to"))
    kinds = principal if isinstance(principal, Mapping) else {"": principal}
    not_ = "not " if "NotPrincipal" in statement else ""
    who = [
        f"{not_}{'' if kind == 'AWS' else kind}{' ' if kind not in ('', 'AWS') else ''}{each}"
        for kind in kinds
        for each in _listed(kinds[kind])
    ]
    what = {each: (actions.covered_by(each) or (each,)) for each in _listed(statement.get("Action", ()))}
    what |= {f"all but {each}": (f"all but {each}",) for each in _listed(statement.get("NotAction", ()))}
    where = [
        *_listed(statement.get("Resource", ())),
        *(f"all but {each}" for each in _listed(statement.get("NotResource", ()))),
    ]
    for principal in who:
        for pattern, covered in what.items():
            for action in covered:
                for resource in where or [""]:
                    yield Grant(statement["Effect"], principal, action, resource, condition), pattern


def _by_resource(
    differing: Mapping[Grant, str], all_: Mapping[Grant, str]
) -> dict[tuple[str, str, str, str], tuple[str, ...]]:
    """For each principal and resource the actions, named by their patterns where all that one covers is different."""
    found: dict[tuple[str, str, str, str], dict[str, list[str]]] = {}
    for grant, pattern in sorted(differing.items()):
        key = (grant.effect, grant.principal, grant.resource, grant.condition)
        found.setdefault(key, {}).setdefault(pattern, []).append(grant.action)
    covered = Counter((*_key(grant), pattern) for grant, pattern in all_.items())
    return {
        key: tuple(
            name
            for pattern, some in patterns.items()
            for name in _named(pattern, some, whole=len(some) == covered[(*key, pattern)])
        )
        for key, patterns in found.items()
    }


def _key(grant: Grant) -> tuple[str, str, str, str]:
    return grant.effect, grant.principal, grant.resource, grant.condition


def _named(pattern: str, some: Sequence[str], *, whole: bool) -> list[str]:
    if whole and len(some) > 1:
        return [f"`{pattern}` ({markdown.count(len(some), 'action')})"]
    return [f"`{action}`" for action in some]


def _statements(text: str | None) -> Iterator[Mapping[str, Any]]:
    """Every policy statement in the JSON of a change, however deep, and in texts that are JSON themselves."""
    try:
        pending: list[Any] = [json.loads(text)] if text else []
    except ValueError:
        return
    while pending:
        value = pending.pop()
        if isinstance(value, str) and value.startswith("{"):
            try:
                pending.append(json.loads(value))
            except ValueError:
                continue
        elif isinstance(value, Mapping):
            found = value.get("Statement")
            if found is None:
                pending += value.values()
            else:
                yield from (each for each in (found if isinstance(found, list) else [found]) if "Effect" in each)


# --- who can do what, as the steps prove it --------------------------------------------------------------------------


def of_access(before: Mapping[str, Any], now: Mapping[str, Any]) -> Told:
    """Answers of the access matrices that come out differently."""
    found: dict[tuple[str, str, str, str, str], dict[str, list[str]]] = {}
    for scenario in (name for name in now if name in before):
        had, has = _answers(before[scenario]), _answers(now[scenario])
        for (principal, resource, action), answer in has.items():
            was = had.get((principal, resource, action), answer)
            if was != answer:
                key = (scenario.partition("/")[0], principal, action, was, answer)
                found.setdefault(key, {}).setdefault(scenario.partition("/")[2], []).append(resource)
    rows = [
        (
            f"{notebook}: {', '.join(scenarios)}",
            _principals([principal]),
            f"`{action}`",
            markdown.names(list(dict.fromkeys(each for some in scenarios.values() for each in some))),
            f"{was} → **{answer}**",
        )
        for (notebook, principal, action, was, answer), scenarios in found.items()
    ]
    if not rows:
        return [], []
    opened = sum(row[-1].endswith("**allowed**") for row in rows)
    told = f"Worked out from all policies together, {markdown.count(len(rows), 'answer')} to who can do what come out "
    told += f"differently, {opened} of them now allowed: see “Access”."
    head = ["Scenarios", "Who", "Action", "On", "Before → now"]
    return [told], [Detail("Access", markdown.count(len(rows), "answer"), markdown.table(head, rows))]


def _answers(scenario: Mapping[str, Any]) -> dict[tuple[str, str, str], str]:
    return {
        (group["principal"], resource, answer["action"]): answer["after"]
        for group in scenario.get("access", ())
        for resource in group["resources"]
        for answer in group["answers"]
    }


# --- the statements of the package -----------------------------------------------------------------------------------


def of_statements(before: Mapping[str, Any], now: Mapping[str, Any]) -> Told:
    """What the functions of `runbook.policy.statements` make, statement by statement."""
    lines, parts = [], []
    for name in dict.fromkeys([*before, *now]):
        had, has = before.get(name), now.get(name)
        if had == has:
            continue
        if not isinstance(had, list) or not isinstance(has, list):
            lines.append(f"`{name}`: {_what_became(had, has)}")
            continue
        difference = document.difference(new(had).text, new(has).text, name=name)
        parts.append(markdown.code_block(difference, "diff"))
        lines += [f"`{name}`, {line}" for line in _statement_lines(had, has)]
    detail = Detail("Statements of the package", markdown.count(len(parts), "function"), "\n\n".join(parts))
    return lines, [detail] if parts else []


def _statement_lines(had: Sequence[Mapping[str, Any]], has: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    gone = [each for each in had if each not in has]
    for number, statement in enumerate(has, start=1):
        if statement in had:
            continue
        called = f"statement `{statement.get('Sid', number)}`"
        same = [each for each in gone if each.get("Sid") == statement.get("Sid")] or gone[:1]
        if not same:
            yield f"{called} is new."
            continue
        gone.remove(same[0])
        said = (
            "in other words the same"
            if same_meaning(same[0], statement)
            else statement_difference(same[0], statement, theirs_is="it was").rstrip(".")
        )
        yield f"{called}: {said}."
    yield from (f"statement `{each.get('Sid', '')}` is gone." for each in gone)


def _what_became(had: Any, has: Any) -> str:
    if had is None:
        return "is new."
    if has is None:
        return "is gone."
    return f"could not be compared ({had if isinstance(had, str) else has})."


# --- checks, defaults, permissions -----------------------------------------------------------------------------------


def of_checks(before: Mapping[str, Any], now: Mapping[str, Any]) -> Told:
    """Checks that are new or gone, and those that come out differently."""
    lines: dict[str, list[str]] = {}
    for scenario in (name for name in now if name in before):
        notebook, _, name = scenario.partition("/")
        had, has = _checks(before[scenario]), _checks(now[scenario])
        for title in dict.fromkeys(title for title, _ in (*has, *had)):
            if not any(title == each for each, _ in had):
                lines.setdefault(f"{notebook} has a new check, `{title}`", []).append(name)
            elif not any(title == each for each, _ in has):
                lines.setdefault(f"**{notebook} no longer checks** `{title}`", []).append(name)
        for (title, subject), status in has.items():
            if (was := had.get((title, subject), status)) != status:
                line = f"The check `{title}` of {notebook} now comes out {status} for `{subject}`, and was {was}"
                lines.setdefault(line, []).append(name)
    return [f"{line} ({markdown.names(names, 4)})." for line, names in lines.items()], []


def _checks(scenario: Mapping[str, Any]) -> dict[tuple[str, str], str]:
    return {(title, subject): status for title, subject, status in scenario.get("checks", ())}


def of_defaults(before: Mapping[str, Mapping[str, str]], now: Mapping[str, Mapping[str, str]]) -> Told:
    """Parameters whose default is another, that are new, or gone; by the step or notebook that they are of."""
    lines = []
    for place in (name for name in now if name in before):
        had, has = before[place], now[place]
        for name in dict.fromkeys([*had, *has]):
            if name not in had:
                lines.append(f"{place} has a new parameter, `{name}`, by default `{has[name]}`.")
            elif name not in has:
                lines.append(f"{place} no longer has the parameter `{name}`.")
            elif had[name] != has[name]:
                lines.append(f"**The default** of `{name}` in {place} is now `{has[name]}`; it was `{had[name]}`.")
    return lines, []


def of_permissions(before: Mapping[str, Any], now: Mapping[str, Any]) -> Told:
    """What the credentials of each notebook need, and did not, and the other way round."""
    lines = []
    for notebook in dict.fromkeys([*before, *now]):
        had, has = _needs(before.get(notebook, {})), _needs(now.get(notebook, {}))
        if notebook not in before or notebook not in now:
            lines.append(f"What {notebook} needs is written down {'for the first time' if has else 'no longer'}.")
            continue
        for more, some, others in ((True, has, had), (False, had, has)):
            places: dict[str, list[str]] = {}
            for place, action in (each for each in some if each not in others):
                places.setdefault(place, []).append(some[place, action][0])
            for place, named in places.items():
                verb = "now also needs" if more else "no longer needs"
                lines.append(f"{notebook} {verb} {markdown.names(named, 6)} in {place}.")
        for place, action in (each for each in has if each in had and had[each][1] != has[each][1]):
            name, when = has[place, action]
            lines.append(f"{notebook} needs `{name}` in {place} in other cases than before: {when}.")
    return lines, []


def _needs(needs: Mapping[str, Any]) -> dict[tuple[str, str], tuple[str, str]]:
    """By place and action, whose case does not matter: the action as it is written, and when it is needed."""
    return {
        (place, action.lower()): (
            action,
            "; ".join(f"{when}: {', '.join(_listed(ways))}" for when, ways in phases.items()),
        )
        for place, found in needs.items()
        for action, phases in found.items()
    }


# --- plans -----------------------------------------------------------------------------------------------------------


def of_plans(before: Mapping[str, Any], now: Mapping[str, Any]) -> Told:
    """The plans of scenarios that are not the same: what is planned besides, no longer, or otherwise."""
    lines, rows = [], []
    differences: dict[str, dict[str, list[str]]] = {}
    if not before or not now:
        return [], []
    for scenario in dict.fromkeys([*before, *now]):
        had, has = before.get(scenario), now.get(scenario)
        if had is None or has is None:
            lines.append(f"The scenario `{scenario}` is {'new' if had is None else 'gone'}.")
            continue
        if "error" in has or "error" in had:
            lines += [_of_error(scenario, had.get("error"), has.get("error"))] if had != has else []
            continue
        one, other = ({_place(change): change for change in side["changes"]} for side in (had, has))
        what = {
            "more": [place for place in other if place not in one],
            "less": [place for place in one if place not in other],
            "otherwise": [place for place in other if place in one and not _same(one[place], other[place])],
        }
        if any(what.values()):
            counts = ", ".join(f"{len(places)} {word}" for word, places in what.items() if places)
            rows.append((scenario, had["plan"], has["plan"], counts))
            for place in (place for places in what.values() for place in places):
                of = differences.setdefault(_difference(one.get(place), other.get(place)), {})
                of.setdefault(scenario, []).append(place[2].rsplit(":", 1)[-1])
    if not rows:
        return lines, []
    lines.append(f"The plans of {len(rows)} of {markdown.count(len(now), 'scenario')} are not the same: see “Plans”.")
    parts = [markdown.table(["Scenario", "Before", "Now", "Changes"], rows)]
    for text, of in differences.items():
        where = "; ".join(f"{scenario}: {markdown.names(names)}" for scenario, names in of.items())
        parts.append(f"{where}\n\n{markdown.code_block(text, 'diff')}")
    return lines, [Detail("Plans", markdown.count(len(rows), "scenario"), "\n\n".join(parts))]


def _of_error(scenario: str, before: str | None, now: str | None) -> str:
    if now is None:
        return f"`{scenario}` can be planned; before, it could not ({before})."
    return f"**`{scenario}` cannot be planned any more**: {now}" if before is None else f"`{scenario}`: {now}"


def _place(change: Mapping[str, Any]) -> tuple[str, str, str]:
    resource = change["resource"]
    return resource["kind"], resource["account"], resource["arn"]


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return all(one[name] == other[name] for name in ("after", "effects"))


def _difference(one: Mapping[str, Any] | None, other: Mapping[str, Any] | None) -> str:
    """What the plan would leave, before and now, but for the name of the resource and the numbers of lines."""
    place = _place(one or other or {})
    name = place[2].rsplit(":", 1)[-1]
    texts = [None if side is None else side["after"] for side in (one, other)]
    text = document.difference(*texts, name=f"{place[0]} that is left", sides=("before", "now"))
    return re.sub(r"(?m)^@@ .*", "@@", text.replace(name, "…"))


# --- files -----------------------------------------------------------------------------------------------------------


def of_scenario_files(before: Mapping[str, Any], now: Mapping[str, Any]) -> Told:
    """Values that scenario files give and did not, or gave otherwise."""
    lines = []
    for file in (name for name in now if name in before):
        had, has = before[file], now[file]
        for key in dict.fromkeys([*had, *has]):
            if had.get(key) != has.get(key):
                lines.append(
                    f"{file}: `{key}` is now `{has.get(key, 'not given')}`; it was `{had.get(key, 'not given')}`."
                )
    return lines, []


def of_outline(before: Mapping[str, Any], now: Mapping[str, Any]) -> Told:
    """Entries of the outline that are new, gone, or say something else."""
    lines = []
    for word, names in (
        ("has new entries", [name for name in now if name not in before]),
        ("no longer has", [name for name in before if name not in now]),
        ("says something else of", [name for name in now if name in before and before[name] != now[name]]),
    ):
        lines += [f"The outline {word}: {markdown.names(names, 6)}."] if names else []
    return lines, []


def of_notebooks(differences: Sequence[NotebookDifference]) -> Told:
    """Notebooks that are written otherwise, or show something else."""
    written = [each for each in differences if each.sources]
    shown = [each for each in differences if each.outputs]
    lines, details = [], []
    for some, verb, title in (
        (written, "are written otherwise", "Notebooks: what is written"),
        (shown, "show something else", "Notebooks: what they show"),
    ):
        if some:
            names = markdown.joined([each.notebook for each in some], len(some))
            lines.append(f"Notebooks that {verb} than before: {names}.")
            texts = [(each.notebook, each.sources if some is written else each.outputs) for each in some]
            parts = [f"**{name}**\n\n{markdown.code_block(text, 'diff')}" for name, text in texts]
            details.append(Detail(title, markdown.count(len(some), "notebook"), "\n\n".join(parts)))
    return lines, details


# --- reading states --------------------------------------------------------------------------------------------------


def _of_states(before: State, now: State) -> Told:
    """A state that cannot be run is told as such; the files of both are compared all the same."""
    lines = []
    for word, state in (("The base", before), ("The present state", now)):
        if state.error:
            lines.append(f"{word} cannot be run as this review runs it, so that plans are not compared: {state.error}")
    return lines, []


def _scenarios(state: State) -> Mapping[str, Any]:
    found: Mapping[str, Any] = state.snapshot.get("scenarios", {})
    return found


def _of_both(name: str, state: State, other: State) -> Mapping[str, Any]:
    """A part of a state's snapshot, if the other has it as well."""
    found: Mapping[str, Any] = state.snapshot.get(name, {})
    return found if name in other.snapshot else {}


def _cells(root: Path) -> dict[str, dict[str, str]]:
    """The defaults that the cells of notebooks have."""
    found = {}
    for file in sorted((root / "notebooks").glob("*.ipynb")):
        cells = [cell for cell in read_cells(file) if PARAMETERS in cell.tags]
        lines = [line for cell in cells for line in map(parsed, cell.source.splitlines()) if line]
        found[f"notebook {file.stem}"] = {line.name: line.default for line in lines}
    return found


def _permissions(root: Path) -> dict[str, Any]:
    return {file.stem: _yaml(file) for file in sorted((root / "runbook/review/permissions").glob("[0-9]*.yaml"))}


def _scenario_files(root: Path) -> dict[str, Any]:
    return {file.relative_to(root).as_posix(): _yaml(file) for file in sorted((root / "params").glob("*/*.yaml"))}


def _entries(root: Path) -> dict[str, Any]:
    file = root / "runbook/review/outline.yaml"
    found = _yaml(file) if file.exists() else {}
    return {entry["id"]: entry for entry in found.get("entries", []) if isinstance(entry, dict) and "id" in entry}


def _yaml(file: Path) -> Any:
    """What a file holds; nothing when it is damaged, which another part of the review tells."""
    try:
        found = yaml.load(file.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError:
        return {}
    return found if isinstance(found, dict) else {}


# --- names -----------------------------------------------------------------------------------------------------------


def _principals(arns: Iterable[str]) -> str:
    """The scan role `bucketav-ScanRole-…`, role `other`."""
    told = list(dict.fromkeys(map(_principal, arns)))
    text = markdown.joined(told, 4)
    return text[:1].upper() + text[1:]


def _principal(arn: str) -> str:
    name = arn.rsplit(":", 1)[-1]
    if arn == "*":
        return "anybody"
    if not name.startswith("role/"):
        return f"account `{name}`" if name.isdigit() else arn
    name = name.removeprefix("role/")
    if "-ScanRole" in name:
        return f"the scan role `{name}`"
    account = arn.split(":")[4] if arn.count(":") > 4 else ""
    return f"the connection role `{name}` of {account}" if "AccountConnection" in name else f"the role `{name}`"


def _resource(arn: str) -> str:
    """`objects of `uploads-b``, ``uploads-b``, or what the ARN ends with."""
    if arn in ("", "*"):
        return "all that the policy is of"
    name = arn.split(":", 5)[-1]
    return f"objects of `{name.removesuffix('/*')}`" if name.endswith("/*") else f"`{name}`"


def _condition(condition: Any) -> str:
    if not condition:
        return ""
    return ", ".join(
        f"`{key}` {operator} {' or '.join(f'`{value}`' for value in _listed(values))}"
        for operator, keys in condition.items()
        for key, values in keys.items()
    )


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]
