"""Saved plans that somebody edited and signed again: each is refused before any write, with what differs.

A fingerprint is no signature: whoever can write `plan.json` can compute it.
"""

import copy
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook import saved_plan
from runbook.aws.cloudformation import read_stack
from runbook.aws.s3 import BucketPolicy as Kind
from runbook.checks import ChecksFailed
from runbook.environment import Environment
from runbook.errors import RunbookError
from runbook.jobs import procedure_of
from runbook.journal import Journal
from runbook.parameters import ParameterError
from runbook.plan import Change, Effect, Observation, Plan, Resource
from runbook.procedure import Procedure
from runbook.progress import silent
from runbook.run import ApplyFailed, PlanEdited, StalePlan, Undone, UndoRefused, preview_undo, undo
from runbook.steps.allowlist import Allowlist
from runbook.steps.scenarios import make_step
from tests.steps.way import Through, foreign_statement, open_buckets, put_policy
from tests.world import bucket_policy, policies, whole_stack

if TYPE_CHECKING:
    from tests.faults.middleware import Middleware

Body = dict[str, Any]
EVIL = {
    "Effect": "Allow",
    "Principal": {"AWS": "arn:aws:iam::666666666666:root"},
    "Action": "s3:*",
    "Resource": "arn:aws:s3:::documents-b/*",
}
TWO = ["b/uploads-b", "b/website-uploads-b"]


def signed(body: Body) -> str:
    """`plan.json` with this content and the fingerprint that belongs to it."""
    body = {name: value for name, value in body.items() if name != "fingerprint"}
    return Plan.model_validate_json(json.dumps(body)).to_json()


def forge(folder: Path, forgery: Callable[[Body], None]) -> Plan:
    """Edit the plan in a run folder and sign it again."""
    file = folder / "plan.json"
    body = json.loads(file.read_text())
    forgery(body)
    file.write_text(signed(body))
    return Plan.load(folder)


def apply_saved(folder: Path, shown: list[Plan] | None = None) -> Procedure:
    """Apply a saved plan as `runbook apply FOLDER` does."""
    plan = Plan.load(folder)
    applying = procedure_of(plan, folder, silent)
    applying.verify(applying.apply_saved(plan, (shown if shown is not None else []).append))
    return applying


def planned(procedure: Procedure) -> Path:
    procedure.plan()
    assert procedure.folder
    return procedure.folder


def granted(text: str | None, statement: Body) -> str:
    policy = json.loads(text or '{"Version": "2012-10-17", "Statement": []}')
    policy["Statement"].append(statement)
    return json.dumps(policy)


# --- before the first change -----------------------------------------------------------------------------------------


def _change(index: int, field: str, value: Any) -> Callable[[Body], None]:
    def forgery(body: Body) -> None:
        change = body["changes"][index]
        change[field] = value(change[field]) if callable(value) else value

    return forgery


def _resource(field: str, value: str, index: int = 1) -> Callable[[Body], None]:
    return lambda body: body["changes"][index]["resource"].update({field: value})


def _plan(field: str, value: Any) -> Callable[[Body], None]:
    def forgery(body: Body) -> None:
        body[field] = value(body[field]) if callable(value) else value

    return forgery


def _other_bucket(body: Body) -> None:
    other = copy.deepcopy(body["changes"][1])
    other["resource"]["arn"] = "arn:aws:s3:::uploads-b"
    other["before"] = None
    body["changes"].append(other)


def _key_twice(text: str) -> str:
    """JSON readers disagree about which of two equal keys counts."""
    return '{"Statement": [' + json.dumps(EVIL) + "], " + text.lstrip()[1:]


def _nobody_is_kept_out(text: str) -> str:
    policy = json.loads(text)
    policy["Statement"][0]["Principal"] = {"AWS": "*"}
    return json.dumps(policy)


FORGERIES: dict[str, tuple[Callable[[Body], None], str]] = {
    "one more grant": (_change(1, "after", lambda text: granted(text, EVIL)), r"differs in `after`(.|\n)*666666666666"),
    "a grant on the key": (
        _change(0, "after", lambda text: granted(text, {**EVIL, "Resource": "*", "Action": "kms:*"})),
        r"kms.key-policy(.|\n)*differs in `after`(.|\n)*kms:\*",
    ),
    "anybody as principal": (_change(1, "after", _nobody_is_kept_out), r"\+?.*differs in `after`"),
    "a key that stands twice": (_change(1, "after", _key_twice), "differs in `after`(.|\n)*666666666666"),
    "another state before, for undo": (_change(1, "before", json.dumps({})), "differs in `before`"),
    "no state before, for undo": (_change(0, "before", None), r"differs in `before`(.|\n)*\(none\)"),
    "the policy goes": (_change(1, "after", None), r"differs in `after`(.|\n)*saved plan \(none\)"),
    "a bucket that the parameters do not name": (
        _resource("arn", "arn:aws:s3:::uploads-b"),
        r"Only in the saved plan: s3.bucket-policy of arn:aws:s3:::uploads-b(.|\n)*Only in the plan made now: ",
    ),
    "one more bucket": (_other_bucket, "Only in the saved plan: s3.bucket-policy of arn:aws:s3:::uploads-b"),
    "another account": (_resource("account", "333333333333"), r"Only in the saved plan: .*\(333333333333, eu-west-1\)"),
    "an account that nobody knows": (_resource("account", "666666666666"), r"Only in the saved plan: .*\(666666666666"),
    "another Region": (_resource("region", "eu-central-1"), "Only in the saved plan: .*eu-central-1"),
    "another partition": (_resource("arn", "arn:aws-cn:s3:::documents-b"), "Only in the saved plan: .*arn:aws-cn:s3"),
    "another kind": (_resource("kind", "kms.key-policy"), "Only in the saved plan: kms.key-policy of arn:aws:s3"),
    "a kind that does not exist": (_resource("kind", "iam.everything"), "Only in the saved plan: iam.everything"),
    "a change less": (_plan("changes", lambda changes: changes[1:]), "Only in the plan made now: kms.key-policy"),
    "no change": (_plan("changes", []), "Only in the plan made now: kms.key-policy"),
    "a change twice": (_plan("changes", lambda changes: [*changes, changes[0]]), "Only in the saved plan: kms"),
    "the bucket before its key": (_plan("changes", lambda changes: changes[::-1]), "The order of the changes differs"),
    "a harmless summary": (_change(1, "summary", "change nothing of importance"), "differs in `summary`"),
    "no documentation": (_change(1, "outline", []), "differs in `outline`"),
    "an effect": (
        _change(1, "effects", [{"action": "remove", "name": "Table", "kind": "AWS::DynamoDB::Table", "holds": 3}]),
        "differs in `effects`(.|\n)*remove Table",
    ),
    "nothing observed": (_plan("observed", []), "Observed only in the plan made now: cloudformation"),
    "something else observed": (
        _plan("observed", lambda observed: [{**observed[0], "value": "{}"}]),
        "which the plan rests on, differs",
    ),
    "the same observed twice": (_plan("observed", lambda observed: observed * 2), "list what they observed"),
    "no notes": (_plan("notes", []), "`notes` differs"),
    "a note": (_plan("notes", ["Reviewed by security."]), "`notes` differs(.|\n)*Reviewed by security"),
    "something left out": (_plan("left_out", ["b/legacy-b"]), "`left_out` differs"),
    "another overview": (_plan("overview", "All is well."), "`overview` differs"),
    "another bucket in the parameters": (
        lambda body: body["parameters"].update(buckets=["b/uploads-b"]),
        "Only in the saved plan: s3.bucket-policy of arn:aws:s3:::documents-b",
    ),
    "another mode in the parameters": (lambda body: body["parameters"].update(mode="hardened"), "differs in `after`"),
    "a parameter that says nothing": (lambda body: body["parameters"].update(mode="literal"), "`parameters` differs"),
    "another step": (_plan("step", "01-allowlist"), "`buckets` is not known here"),
    "a step that does not exist": (_plan("step", "99-everything"), "99-everything"),
    "an environment that does not exist": (_plan("environment", "production"), "production"),
}


@pytest.mark.parametrize("case", FORGERIES)
def test_a_forged_plan_is_refused_before_any_write_with_what_differs(
    case: str, procedure: Through, environment: Environment, faults: "Middleware"
) -> None:
    forgery, said = FORGERIES[case]
    folder, before = planned(procedure("encrypted-bucket")), policies(environment)
    forge(folder, forgery)
    shown: list[Plan] = []
    with faults.watching() as seen, pytest.raises((StalePlan, ParameterError), match=said):
        apply_saved(folder, shown)
    assert not seen.changed
    assert not [call for call in seen.calls if call.changes]
    assert policies(environment) == before
    assert shown == [], "nothing of a forged plan is shown as if it were going to be applied"


def test_an_environment_of_somebody_elses_making_gives_another_plan(
    procedure: Through, environment: Environment, elsewhere: Callable[..., Environment]
) -> None:
    """In it, `b` is another account."""
    accounts = environment.file.model_dump(exclude_none=True)["accounts"]
    other = elsewhere(accounts=accounts | {"b": accounts["c"], "c": accounts["b"]})
    folder, before = planned(procedure("encrypted-bucket")), policies(environment)
    forge(folder, _plan("environment", other.name))
    with pytest.raises((ChecksFailed, StalePlan), match="documents-b"):
        apply_saved(folder)
    assert policies(environment) == before


def test_effects_that_were_hidden_are_found(environment: Environment, tmp_path: Path, faults: "Middleware") -> None:
    step = make_step(Allowlist, "", {"remove_accounts": _everyone(environment)})
    folder, before = planned(Procedure(step, environment, folder=str(tmp_path / "run"))), whole_stack(environment)
    assert Plan.load(folder).changes[0].effects
    forge(folder, _change(0, "effects", []))
    with faults.watching() as seen, pytest.raises(StalePlan, match=r"differs in `effects`(.|\n)*remove "):
        apply_saved(folder)
    assert not seen.changed
    assert whole_stack(environment) == before


def _everyone(environment: Environment) -> list[str]:
    return read_stack(environment).parameters["AWSAccountRestriction"].split(",")


def test_the_plan_that_was_made_again_is_applied_shown_and_written(
    procedure: Through, environment: Environment
) -> None:
    """Another order in AWS's answer is no difference; `plan.md` and the result are not those of the file."""
    folder = planned(procedure("one-bucket"))
    honest = Plan.load(folder)
    policy = json.loads(honest.changes[0].after or "")
    for statement in policy["Statement"]:
        if isinstance(statement["Action"], list):
            statement["Action"].reverse()
    forge(folder, _change(0, "after", json.dumps(policy, indent=4)))
    (folder / "plan.md").write_text("Nothing of importance is changed.\n")
    shown: list[Plan] = []
    apply_saved(folder, shown)
    assert shown == [honest] == [Plan.load(folder)]
    assert (folder / "plan.md").read_text() == honest.to_markdown(most=1) + "\n"
    assert bucket_policy(environment, "uploads-b") == honest.changes[0].after


PLAN = Plan(
    step="05-bucket-policy",
    scenario="one",
    environment="sandbox",
    parameters={"buckets": ["b/uploads-b", "b/documents-b"], "mode": "literal"},
    changes=tuple(
        Change(
            resource=Resource(
                kind="s3.bucket-policy", account="222222222222", region="eu-west-1", arn=f"arn:aws:s3:::{name}"
            ),
            summary="let it read",
            before=json.dumps({"Version": "2012-10-17", "Statement": [{**EVIL, "Effect": "Deny"}]}),
            after=json.dumps({"Version": "2012-10-17", "Statement": [EVIL], "Flag": True, "Number": 1}),
            outline=("bucket-policy.statements",),
            effects=(Effect(action="remove", name="Table", kind="AWS::DynamoDB::Table", holds=2),),
        )
        for name in ("uploads-b", "documents-b")
    ),
    observed=(
        Observation(
            resource=Resource(kind="cloudformation.scan-settings", account="111111111111", region="eu-west-1", arn="x"),
            value='{"a": 1}',
        ),
    ),
    notes=("a note",),
    left_out=("b/legacy-b",),
    overview="all",
)


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [*found, *(place for key, inner in items for place in _places(inner, (*path, key)))]


@given(st.data())
def test_no_value_of_a_plan_can_be_another_without_a_word(data: st.DataObject) -> None:
    """Replace, remove or repeat any value, also inside the documents."""
    body = PLAN.model_dump(mode="json")
    for change in body["changes"]:
        change |= {side: json.loads(change[side]) for side in ("before", "after")}
    place = data.draw(st.sampled_from(_places(body)))
    parent: Any = body
    for key in place[:-1]:
        parent = parent[key]
    match data.draw(st.sampled_from(["replace", "remove", "repeat"])):
        case "replace":
            scalar = (
                st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["*", "[]", "{}"])
            )
            parent[place[-1]] = data.draw(scalar)
        case "remove":
            del parent[place[-1]]
        case _ if isinstance(parent, list):
            parent.insert(place[-1], copy.deepcopy(parent[place[-1]]))
        case _:
            parent[f"{place[-1]}2"] = copy.deepcopy(parent[place[-1]])
    for change in body["changes"] if isinstance(body.get("changes"), list) else ():
        for side in ("before", "after"):
            if isinstance(change, dict) and not isinstance(change.get(side), str | None):
                change[side] = json.dumps(change[side])
    try:
        forged = Plan.model_validate_json(json.dumps(body))
    except ValueError:
        return  # no plan at all, which is refused when it is read
    same = json.dumps(_opened(forged), sort_keys=True) == json.dumps(_opened(PLAN), sort_keys=True)
    assert bool(saved_plan.differences(forged, PLAN)) is not same


def _opened(plan: Plan) -> Any:
    body = plan.model_dump(mode="json")
    for change in body["changes"]:
        for side in ("before", "after"):
            try:
                change[side] = json.loads(change[side]) if change[side] is not None else None
            except ValueError:
                continue
    for each in body["observed"]:
        each["value"] = json.loads(each["value"]) if each["value"] == '{"a": 1}' else each["value"]
    return body


# --- runs that were begun --------------------------------------------------------------------------------------------


def begun(procedure: Through, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a run that failed at the second of its three changes; the third was not begun."""
    applying = procedure(buckets=[*TWO, "b/frankfurt-b"])
    plan = applying.plan()
    write, calls = Kind.write, list[int]()

    def failing(self: Any, *arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise RuntimeError("out of order")
        return write(self, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr("runbook.progress.WORKERS", 1)
        patched.setattr(Kind, "write", failing)
        with pytest.raises(ApplyFailed):
            applying.apply(plan)
    assert applying.folder
    return applying.folder


def rewrite_journal(folder: Path, edit: Callable[[Body], None]) -> None:
    """Edit every event, as somebody who can write the run folder might, and sign it with the plan's fingerprint."""
    path = folder / "journal.jsonl"
    events = [json.loads(line) for line in path.read_text().split("\n") if line]
    for event in events:
        edit(event)
        if event["event"] == "run-started":
            event["fingerprint"] = Plan.load(folder).fingerprint
    write_journal(folder, events)


def write_journal(folder: Path, events: Sequence[Body]) -> None:
    """Put another journal in place, numbered and signed as the package would."""
    (folder / "journal.jsonl").unlink(missing_ok=True)
    journal, written = Journal(folder), ("number", "time", "event", "checksum")
    for event in events:
        journal.write(event["event"], **{name: value for name, value in event.items() if name not in written})
    if (result := folder / "result.json").exists():
        end = journal.end()
        said = json.loads(result.read_text()) | {"journal": {"lines": end.number, "checksum": end.checksum}}
        result.write_text(json.dumps(said))


def test_what_is_left_of_a_run_is_made_and_shown(
    procedure: Through, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, folder, shown = policies(environment), begun(procedure, monkeypatch), list[Plan]()
    apply_saved(folder, shown)
    assert [[change.name for change in plan.changes] for plan in shown] == [["website-uploads-b", "frankfurt-b"]]
    undo(folder, environment)
    assert policies(environment) == before


@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize("field", ["before", "after", "resource", "summary"])
@pytest.mark.parametrize("command", ["apply", "undo"])
def test_a_plan_that_was_edited_after_its_run_began_is_refused(
    command: str, field: str, index: int, procedure: Through, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Undo with a forged `before` would replace a policy; the journal knows what was there."""
    folder = begun(procedure, monkeypatch)
    present = policies(environment)
    values: dict[str, Any] = {
        "before": json.dumps({"Version": "2012-10-17", "Statement": [EVIL]}),
        "after": json.dumps({"Version": "2012-10-17", "Statement": [EVIL]}),
        "resource": lambda resource: {**resource, "arn": "arn:aws:s3:::documents-b"},
        "summary": "something else",
    }
    said = {
        "before": r"arn:aws:s3:::(website-)?uploads-b(.|\n)*, before, journal(.|\n)*, before, plan.json(.|\n)*66666666",
        "after": r"arn:aws:s3:::(website-)?uploads-b(.|\n)*, after, journal(.|\n)*, after, plan.json(.|\n)*66666666",
        "resource": r"documents-b (.|\n)* is what plan.json says; the journal says .*uploads-b",
        "summary": r"was begun with the plan of fingerprint [0-9a-f]{16}",
    }
    forge(folder, _change(index, field, values[field]))
    with pytest.raises(PlanEdited, match=said[field]):
        apply_saved(folder) if command == "apply" else undo(folder, environment)
    assert policies(environment) == present


@pytest.mark.parametrize("index", [0, 1, 2], ids=["made", "in doubt", "not begun"])
def test_a_grant_that_was_forged_into_plan_and_journal_is_not_made_when_the_run_goes_on(
    index: int, procedure: Through, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planning again does not give it, whatever the run folder says."""
    folder = begun(procedure, monkeypatch)
    present = policies(environment)
    plan = forge(folder, _change(index, "after", lambda text: granted(text, EVIL)))

    def edit(event: Body) -> None:
        if event.get("index") == index and event["event"] == "started":
            event["after"] = plan.changes[index].after

    rewrite_journal(folder, edit)
    with pytest.raises(StalePlan, match=r"nothing more was changed(.|\n)*6666666666"):
        apply_saved(folder)
    assert policies(environment) == present


def test_a_change_that_the_journal_calls_begun_is_not_believed(procedure: Through, environment: Environment) -> None:
    """A run that never began, and whose change is none of its parameters': plan and journal are both forged."""
    folder, present = planned(procedure("one-bucket")), policies(environment)
    plan = forge(folder, _resource("arn", "arn:aws:s3:::website-uploads-b", index=0))
    plan = forge(folder, _change(0, "before", present["arn:aws:s3:::website-uploads-b"]))
    change = plan.changes[0]
    events: list[Body] = [
        {"event": "run-started", "fingerprint": plan.fingerprint},
        {
            "event": "started",
            "index": 0,
            "resource": change.resource.model_dump(),
            "before": change.before,
            "after": change.after,
        },
    ]
    write_journal(folder, events)
    with pytest.raises(StalePlan, match=r"Only in the saved plan: s3.bucket-policy of arn:aws:s3:::website-uploads-b"):
        apply_saved(folder)
    assert policies(environment) == present


def test_a_journal_with_a_change_that_the_plan_has_not_is_refused(procedure: Through, environment: Environment) -> None:
    folder = open_buckets(procedure("one-bucket"))
    present = policies(environment)
    forge(folder, _plan("changes", []))
    with pytest.raises(PlanEdited, match=r"change number 0 was begun\. The plan has no such change"):
        undo(folder, environment)
    assert policies(environment) == present


def test_what_somebody_changed_is_not_overwritten_when_a_run_goes_on(
    procedure: Through, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = begun(procedure, monkeypatch)
    put_policy(environment, "b", "uploads-b", foreign_statement("uploads-b"))
    present = policies(environment)
    with pytest.raises(StalePlan, match=r"nothing more was changed(.|\n)*SomebodyElse"):
        apply_saved(folder)
    assert policies(environment) == present


# --- undo shows before it acts ---------------------------------------------------------------------------------------


class Declined(RunbookError):
    """Somebody said no."""


def test_undo_shows_each_difference_and_whose_access_ends_before_it_writes(
    procedure: Through, environment: Environment, faults: "Middleware"
) -> None:
    folder = open_buckets(procedure("encrypted-bucket"))
    present = policies(environment)
    with faults.watching() as seen:
        back = preview_undo(folder, environment)
    assert not [call for call in seen.calls if call.writes]
    shown = back.to_markdown()
    assert back.question == "Put these 2 resources back?"
    assert "2 resources in 1 account go back to the state before the run." in shown
    assert shown.index("(s3.bucket-policy,") < shown.index("(kms.key-policy,"), "last change first"
    assert '-      "Sid": "bucketAVRequired1"' in shown
    assert "- ends: Allow, Principal `arn:aws:iam::111111111111:role/bucketav-ScanRole" in shown
    assert "Fingerprint" not in shown

    def decline(now: Any) -> None:
        assert now == back
        raise Declined

    with pytest.raises(Declined):
        undo(folder, environment, confirm=decline)
    assert policies(environment) == present
    assert undo(folder, environment).restored


def test_undo_shows_what_it_leaves_and_what_needs_nothing(procedure: Through, environment: Environment) -> None:
    folder = open_buckets(procedure(buckets=TWO))
    environment.client("s3", "222222222222").delete_bucket_policy(Bucket="uploads-b")
    shown = preview_undo(folder, environment, leave=["arn:aws:s3:::website-uploads-b"])
    assert shown.changes == ()
    assert "`uploads-b` of account 222222222222: is as before the run." in shown.to_markdown()
    assert "`website-uploads-b` of account 222222222222: stays as it is now" in shown.to_markdown()


def test_a_run_that_cannot_be_undone_shows_nothing(procedure: Through, environment: Environment) -> None:
    folder = open_buckets(procedure("one-bucket"))
    put_policy(environment, "b", "uploads-b", foreign_statement("uploads-b"))
    with pytest.raises(UndoRefused, match="SomebodyElse"):
        preview_undo(folder, environment)


def test_an_undo_without_a_question_answers_as_before(procedure: Through, environment: Environment) -> None:
    folder = open_buckets(procedure("one-bucket"))
    undone = undo(folder, environment)
    assert isinstance(undone, Undone)
    assert "uploads-b: put back as it was" in repr(undone)
