"""Runs whose changes are independent, or may be made in part: what failed is told, gone on with, and taken back.

The kind is one of parameters in SSM, a few under one path and each written by a call of its own, so that real refusals
stop it anywhere.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from runbook.aws import kinds
from runbook.aws.kinds import AllAtOnce, MadeAsPlanned, Report, Told, register
from runbook.environment import Environment
from runbook.plan import Change, Plan, Resource
from runbook.run import ApplyFailed, StalePlan, UndoFailed, UndoRefused, apply, undo

A, B, C, D = "111111111111", "222222222222", "333333333333", "444444444444"
BOTH = {"one": "1", "two": "2"}


def path_of(resource: Resource) -> str:
    return resource.name.removeprefix("parameter")


class Settings(MadeAsPlanned):
    """The parameters under a path, as JSON; None when there are none."""

    name = "test.settings"
    independent = True

    def read(self, environment: Environment, resource: Resource) -> str | None:
        client = environment.client("ssm", resource.account)
        found = client.get_parameters_by_path(Path=path_of(resource))["Parameters"]
        values = {each["Name"].rsplit("/", 1)[-1]: each["Value"] for each in found}
        return json.dumps(values, sort_keys=True) if values else None

    def write(self, environment: Environment, change: Change, report: Report) -> Told:  # noqa: ARG002 (a protocol's)
        client, path = environment.client("ssm", change.resource.account), path_of(change.resource)
        present = json.loads(self.read(environment, change.resource) or "{}")
        wanted = json.loads(change.after or "{}")
        for name, value in wanted.items():
            if present.get(name) != value:
                client.put_parameter(Name=f"{path}/{name}", Value=value, Type="String", Overwrite=True)
        for name in present.keys() - wanted.keys():
            client.delete_parameter(Name=f"{path}/{name}")
        return ()

    def tidy(self, environment: Environment, change: Change) -> None:
        """There is nothing to take away."""

    def in_part(self, change: Change, present: str | None) -> bool:
        before, after, found = (json.loads(text or "{}") for text in (change.before, change.after, present))
        names = before.keys() | after.keys() | found.keys()
        return present not in (change.before, change.after) and all(
            found.get(name) in (before.get(name), after.get(name)) for name in names
        )

    def by_hand(self, change: Change) -> str:
        return change.summary


class LaterSettings(AllAtOnce, Settings):
    """Other parameters, whose changes may depend on each other."""

    name = "test.later-settings"
    independent = False
    in_part = AllAtOnce.in_part


@pytest.fixture(autouse=True)
def _kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds, "_READERS", dict(kinds._READERS))
    register(Settings)
    register(LaterSettings)


def change(account: str, path: str = "settings", kind: type[Settings] = Settings, **values: Any) -> Change:
    resource = Resource(
        kind=kind.name, account=account, region="eu-west-1", arn=f"arn:aws:ssm:eu-west-1:{account}:parameter/{path}"
    )
    return Change(resource=resource, summary="settings", before=values.get("before"), after=json.dumps(BOTH))


def plan_of(*changes: Change) -> Plan:
    return Plan(step="test", scenario="", environment="sandbox", parameters={}, changes=changes)


def settings(environment: Environment, account: str, path: str = "settings") -> Mapping[str, str]:
    resource = change(account, path).resource
    return json.loads(Settings().read(environment, resource) or "{}")  # type: ignore[no-any-return]


class Denied:
    """Keeps the role that the environment works with from a parameter, until it is lifted."""

    def __init__(
        self, environment: Environment, account: str, action: str = "ssm:PutParameter", last: str = ""
    ) -> None:
        self._client = environment.client("iam", account)
        resource = f"arn:aws:ssm:eu-west-1:{account}:parameter/settings/{last}*"
        statement = {"Effect": "Deny", "Action": action, "Resource": resource}
        self._client.put_role_policy(
            RoleName="OrganizationAccountAccessRole",
            PolicyName="denied",
            PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
        )

    def lift(self) -> None:
        self._client.delete_role_policy(RoleName="OrganizationAccountAccessRole", PolicyName="denied")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "run"


def last_events(folder: Path) -> dict[int, str]:
    entries = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]
    return {entry["index"]: entry["event"] for entry in entries if "index" in entry}


# --- independent -----------------------------------------------------------------------------------------------------


def test_one_that_fails_does_not_stop_the_others_of_its_kind_and_what_comes_later_is_not_begun(
    environment: Environment, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runbook.progress.WORKERS", 1)  # the failing one is first, and over before the next one begins
    Denied(environment, B)
    plan = plan_of(change(B), change(C), change(D), change(A, "later", LaterSettings))
    with pytest.raises(ApplyFailed) as failed:
        apply(plan, environment, folder)
    assert [settings(environment, account) for account in (B, C, D)] == [{}, BOTH, BOTH]
    assert settings(environment, A, "later") == {}
    assert last_events(folder) == {0: "failed", 1: "done", 2: "done"}
    told = str(failed.value)
    assert "of arn:aws:ssm:eu-west-1:222222222222:parameter/settings" in told
    assert "AccessDenied" in told
    assert "Changes made: 2. `runbook apply " in told
    assert "goes on from here, with what is not made yet" in told


def test_where_changes_may_depend_on_each_other_none_is_begun_after_a_failure(
    environment: Environment, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runbook.progress.WORKERS", 1)
    Denied(environment, B)
    with pytest.raises(ApplyFailed):
        apply(plan_of(change(B, kind=LaterSettings), change(C, kind=LaterSettings)), environment, folder)
    assert settings(environment, C) == {}


def test_all_that_failed_is_told_alike_ones_together(environment: Environment, folder: Path) -> None:
    for account in (B, C):
        Denied(environment, account)
    Denied(environment, D, last="two")
    with pytest.raises(ApplyFailed) as failed:
        apply(plan_of(*(change(account) for account in (A, B, C, D))), environment, folder)
    told = str(failed.value)
    assert told.count("AccessDenied") == 2
    assert f"The same of: {C} parameter/settings." in told
    assert f"arn:aws:ssm:eu-west-1:{D}:parameter/settings" in told
    assert "3 changes failed. Changes made: 1." in told


def test_going_on_makes_only_what_failed(environment: Environment, folder: Path) -> None:
    denied = Denied(environment, B)
    plan = plan_of(change(B), change(C))
    with pytest.raises(ApplyFailed):
        apply(plan, environment, folder)
    versions = environment.client("ssm", C).get_parameter(Name="/settings/one")["Parameter"]["Version"]
    denied.lift()
    run = apply(plan, environment, folder)
    assert [each.resource.account for each in run.changed] == [B]
    assert settings(environment, B) == BOTH
    assert environment.client("ssm", C).get_parameter(Name="/settings/one")["Parameter"]["Version"] == versions


def test_undoing_goes_on_with_the_others_too(environment: Environment, folder: Path) -> None:
    plan = plan_of(change(B), change(C))
    apply(plan, environment, folder)
    denied = Denied(environment, B, "ssm:DeleteParameter")
    with pytest.raises(UndoFailed, match=r"Taken back: 1 change\."):
        undo(folder, environment)
    assert [settings(environment, account) for account in (B, C)] == [BOTH, {}]
    denied.lift()
    assert [each.resource.account for each in undo(folder, environment).restored] == [B]
    assert settings(environment, B) == {}


# --- in part ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def half(environment: Environment, folder: Path) -> tuple[Plan, Denied]:
    """A run whose only change was made in part, and what kept it from the rest."""
    plan, denied = plan_of(change(B)), Denied(environment, B, last="two")
    with pytest.raises(ApplyFailed, match=r"The change was made in part\."):
        apply(plan, environment, folder)
    assert settings(environment, B) == {"one": "1"}
    return plan, denied


def test_a_change_made_in_part_is_gone_on_with(
    half: tuple[Plan, Denied], environment: Environment, folder: Path
) -> None:
    plan, denied = half
    denied.lift()
    apply(plan, environment, folder)
    assert settings(environment, B) == BOTH
    undo(folder, environment)
    assert settings(environment, B) == {}


def test_a_change_made_in_part_is_taken_back(half: tuple[Plan, Denied], environment: Environment, folder: Path) -> None:
    assert undo(folder, environment).restored == half[0].changes
    assert settings(environment, B) == {}


def test_what_was_taken_back_in_part_is_gone_on_with_both_ways(environment: Environment, folder: Path) -> None:
    plan = plan_of(change(B))
    apply(plan, environment, folder)
    denied = Denied(environment, B, "ssm:DeleteParameter", last="two")
    with pytest.raises(UndoFailed):
        undo(folder, environment)
    environment.client("ssm", B).delete_parameters(Names=["/settings/one"])  # whichever came first
    assert settings(environment, B) == {"two": "2"}
    denied.lift()
    apply(plan, environment, folder)
    assert settings(environment, B) == BOTH
    undo(folder, environment)
    assert settings(environment, B) == {}


def test_what_somebody_else_made_of_a_part_is_not_overwritten(
    half: tuple[Plan, Denied], environment: Environment, folder: Path
) -> None:
    plan, denied = half
    denied.lift()
    environment.client("ssm", B).put_parameter(Name="/settings/one", Value="theirs", Type="String", Overwrite=True)
    with pytest.raises(StalePlan, match="theirs"):
        apply(plan, environment, folder)
    with pytest.raises(UndoRefused, match="theirs"):
        undo(folder, environment)
    assert settings(environment, B) == {"one": "theirs"}


def test_a_part_counts_only_where_this_run_began(environment: Environment, folder: Path) -> None:
    """Somebody else may have made the same thing in part: a plan that knew nothing of it is out of date."""
    environment.client("ssm", B).put_parameter(Name="/settings/one", Value="1", Type="String")
    with pytest.raises(StalePlan):
        apply(plan_of(change(B)), environment, folder)
