"""Compare a saved plan with the same plan made again, and with the journal of its run. Reads and writes nothing.

A plan's fingerprint finds accidents only: whoever edits `plan.json` can compute another one. Therefore a saved plan is
made again from its own parameters before it is applied, and whatever differs is refused.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any

from runbook.aws.kinds import kind_of, same_json
from runbook.plan import Change, Observation, Plan, Resource
from runbook.policy import document

SIDES = ("saved plan", "planned now")


def differences(saved: Plan, planned: Plan) -> list[str]:
    """Return all that differs between a saved plan of which nothing was begun and the plan made again."""
    found = [
        *_of_values(saved, planned, ("format", "step", "scenario", "environment", "parameters")),
        *_of_changes(saved.changes, planned.changes),
    ]
    if not found and _resources(saved.changes) != _resources(planned.changes):
        found.append("The order of the changes differs.")
    found += _of_observations(saved.observed, planned.observed)
    return [*found, *_of_values(saved, planned, ("left_out", "notes", "overview"))]


def differences_of_rest(
    saved: Plan, planned: Plan, begun: Mapping[int, str | None], in_doubt: Iterable[int]
) -> list[str]:
    """Return all that differs between what is left of a saved plan that was begun, and the plan made again.

    `begun` holds the present value of the resource of every change that was begun, by the change's number. Those
    `in_doubt` may be made, not made, or made in part; the others are made.
    """
    again, doubted = {change.resource: change for change in planned.changes}, {*in_doubt}
    found = list(_of_values(saved, planned, ("format", "step", "scenario", "environment", "parameters")))
    for index, change in enumerate(saved.changes):
        other = again.get(change.resource)
        if index not in begun:
            found += _of_pair(change, other, ("before", "after", "effects"))
        elif index in doubted:
            found += _of_change_in_doubt(change, other, begun[index])
        elif not kind_of(change.resource).made(change, begun[index]):
            found.append(moved(change.resource, change.after, begun[index]))
    known = {change.resource for change in saved.changes}
    partial = {
        _place(saved.changes[index].resource) for index in doubted if _in_part(saved.changes[index], begun[index])
    }
    for change in planned.changes:
        # The rest of an update of a stack set is planned as a change of its instances.
        if change.resource not in known and _place(change.resource) not in partial:
            found += _of_pair(None, change)
    return found


def contradictions(plan: Plan, events: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return where the plan of a run says something else than the run's journal, which was written when it began."""
    found: dict[Any, str] = {}
    fingerprints = set()
    for event in events:
        if event["event"] == "run-started":
            fingerprints.add(event.get("fingerprint"))
        if event["event"] not in ("started", "undo-started"):
            continue
        index = event.get("index")
        if not isinstance(index, int) or not 0 <= index < len(plan.changes):
            found[index] = f"The journal says that change number {index} was begun. The plan has no such change."
            continue
        told = _of_journal(plan.changes[index], event)
        if told:
            found[index] = told
    if not found and fingerprints - {plan.fingerprint}:
        told = ", ".join(sorted(f"{each}"[:16] for each in fingerprints))
        return [f"The run was begun with the plan of fingerprint {told}. This one has {plan.fingerprint[:16]}."]
    return list(found.values())


def moved(resource: Resource, expected: str | None, present: str | None) -> str:
    """Return a sentence with the difference between what was expected of a resource and what was found."""
    difference = document.difference(expected, present, name=resource.kind, sides=("expected", "found"))
    return f"{resource} is not as expected:\n{difference}"


def between(change: Change, present: str | None) -> bool:
    """Return True if a change, nobody knows how far it came, was made in part, or taken back in part."""
    kind = kind_of(change.resource)
    return kind.in_part(change, present) or kind.in_part(change.reversed(), present)


# --- changes ---------------------------------------------------------------------------------------------------------


def _of_changes(saved: Sequence[Change], planned: Sequence[Change]) -> Iterator[str]:
    one, other = _by_resource(saved), _by_resource(planned)
    for resource in dict.fromkeys([*one, *other]):
        for pair in zip_longest(one.get(resource, []), other.get(resource, [])):
            yield from _of_pair(*pair)


def _of_pair(
    saved: Change | None,
    planned: Change | None,
    fields: Sequence[str] = ("before", "after", "effects", "summary", "outline"),
) -> Iterator[str]:
    """Compare one change of either plan."""
    if saved is None or planned is None:
        change = saved or planned
        assert change is not None
        which = "Only in the saved plan" if saved else "Only in the plan made now"
        yield f"{which}: {change.resource}\n{change.difference()}"
        return
    for field in fields:
        one, other = getattr(saved, field), getattr(planned, field)
        if field in ("before", "after"):
            if not same_json(one, other):
                difference = _texts(one, other, f"{saved.resource.kind}, {field}")
                yield f"{saved.resource} differs in `{field}`:\n{difference}"
        elif one != other:
            yield f"{saved.resource} differs in `{field}`:\n{_raw(one, other)}"


def _of_change_in_doubt(change: Change, planned: Change | None, present: str | None) -> Iterator[str]:
    """Compare a change that may be made, or made in part, with what planning again makes of it."""
    kind = kind_of(change.resource)
    if planned is None:
        if not kind.made(change, present) and not _in_part(change, present):
            yield from _of_pair(change, None)
        return
    if not (kind.made(change, present) or same_json(present, change.before) or between(change, present)):
        yield moved(change.resource, change.before, present)
    elif not (kind.same(planned.after, change.after) or (change.after and kind.made(change, planned.after))):
        yield from _of_pair(change, planned, ("after",))


def _in_part(change: Change, present: str | None) -> bool:
    """Return True if nothing is left to do on the resource itself but to reach what the change has not reached."""
    return kind_of(change.resource).in_part(change.model_copy(update={"before": change.after}), present)


def _of_journal(change: Change, event: Mapping[str, Any]) -> str:
    """Compare a change with what was written into the journal right before it was made or taken back."""
    missing = object()
    sides = ("journal", "plan.json")
    wanted = change if event["event"] == "started" else change.reversed()
    if event.get("resource", missing) != wanted.resource.model_dump(mode="json"):
        return f"{change.resource} is what plan.json says; the journal says {event.get('resource')!r}."
    differing = [
        document.difference(
            event.get(field), getattr(wanted, field), name=f"{change.resource.kind}, {field}", sides=sides
        )
        or _raw(event.get(field), getattr(wanted, field), sides)
        for field in ("before", "after")
        if event.get(field, missing) != getattr(wanted, field)
    ]
    return "\n".join([f"{change.resource} differs between journal and plan.json:", *differing]) if differing else ""


# --- the rest of a plan ----------------------------------------------------------------------------------------------


def _of_values(saved: Plan, planned: Plan, fields: Iterable[str]) -> Iterator[str]:
    for field in fields:
        one, other = getattr(saved, field), getattr(planned, field)
        if one != other:
            yield f"`{field}` differs:\n{_raw(one, other)}"


def _of_observations(saved: Sequence[Observation], planned: Sequence[Observation]) -> Iterator[str]:
    """Compare what the plans rest on without changing it."""
    one, other = ([(each.resource, each.value) for each in observed] for observed in (saved, planned))
    if len(one) == len(other) and all(
        first[0] == second[0] and same_json(first[1], second[1]) for first, second in zip(one, other, strict=True)
    ):
        return
    before, after = dict(one), dict(other)
    for resource in dict.fromkeys([*before, *after]):
        if resource not in after:
            yield f"Observed only in the saved plan: {resource}"
        elif resource not in before:
            yield f"Observed only in the plan made now: {resource}"
        elif not same_json(before[resource], after[resource]):
            difference = _texts(before[resource], after[resource], resource.kind)
            yield f"{resource}, which the plan rests on, differs:\n{difference}"
    if [resource for resource, _ in one] != [resource for resource, _ in other]:
        yield "The plans list what they observed differently."


def _texts(one: object, other: object, name: str, sides: tuple[str, str] = SIDES) -> str:
    """Return the difference between two values of a resource; both as they stand where it would show nothing."""
    if all(value is None or isinstance(value, str) for value in (one, other)):
        difference = document.difference(one, other, name=name, sides=sides)  # type: ignore[arg-type]
        return difference or _raw(one, other, sides)
    return _raw(one, other, sides)


def _raw(one: object, other: object, sides: tuple[str, str] = SIDES) -> str:
    """Return both values as they stand, one after the other."""
    return "\n".join(f"{side}: {_plain(value)!r}" for side, value in zip(sides, (one, other), strict=True))


def _plain(value: object) -> object:
    return [f"{each}" for each in value] if isinstance(value, tuple) else value


def _by_resource(changes: Iterable[Change]) -> dict[Resource, list[Change]]:
    found: dict[Resource, list[Change]] = {}
    for change in changes:
        found.setdefault(change.resource, []).append(change)
    return found


def _resources(changes: Iterable[Change]) -> list[Resource]:
    return [change.resource for change in changes]


def _place(resource: Resource) -> tuple[str, str, str]:
    return resource.account, resource.region, resource.name
