"""What there is to choose from: named by the environment or looked up in the live account, searched, and ticked."""

import threading
from typing import Any

import ipywidgets
import pytest

from runbook.display import candidates
from runbook.display.candidates import Candidate, look_up
from runbook.display.picker import FEW, MOST, Picker
from runbook.environment import Environment
from runbook.errors import RunbookError


@pytest.mark.parametrize(
    ("offer", "account", "value", "label"),
    [
        ("bucket", "b", "b/uploads-b", "uploads-b"),
        ("queue", "f", "f/old-findings", "old-findings"),
        ("OU", "", "Workloads/Production", "Workloads/Production (ou-examp-production)"),
        ("organization", "", "o-exampleorg", "o-exampleorg"),
        ("add-on", "", "bucketav-move-clean", "bucketav-move-clean (move-clean)"),
    ],
)
def test_what_an_account_has_is_looked_up(
    offer: str, account: str, value: str, label: str, environment: Environment
) -> None:
    assert (value, label) in {(each.value, each.label) for each in look_up(offer, environment, account)}


def test_what_may_not_be_looked_up_is_said(environment: Environment) -> None:
    with pytest.raises(RunbookError, match="there is no account"):
        look_up("bucket", environment, "x")


@pytest.fixture
def lines() -> Any:
    return ipywidgets.Textarea()


def made(lines: Any, environment: Environment, *names: str) -> Picker:
    known = [Candidate(name, f"{name} (long)", frozenset({f"alias of {name}"})) for name in names]
    return Picker("", known, environment, lines)


def ticked(found: Picker) -> list[str]:
    shown = found._ticks[: len(found._shown)]
    return [tick.description for tick in shown if tick.value]


def test_ticks_and_lines_are_the_same(lines: Any, environment: Environment) -> None:
    found = made(lines, environment, "x", "y", "z")
    lines.value = "somebody else's\ny"
    assert ticked(found) == ["y (long)"]
    found._ticks[0].value = True
    assert lines.value == "somebody else's\ny\nx"
    found._ticks[1].value = False
    assert lines.value == "somebody else's\nx"
    lines.value = "alias of z"
    assert ticked(found) == ["z (long)"]
    found._ticks[2].value = False
    assert lines.value == ""


def test_many_are_searched_and_what_is_ticked_stays(lines: Any, environment: Environment) -> None:
    names = [f"bucket-{number:03}" for number in range(MOST + 60)]
    found = made(lines, environment, *names)
    assert found._search.layout.display is None
    assert len(found._shown) == MOST
    assert "60 more" in found._list.children[-1].value
    lines.value = "bucket-001"
    found._search.value = "BUCKET-09"
    assert [each.value for each in found._shown] == names[90:100]
    assert ticked(found) == []
    found._ticks[3].value = True
    assert lines.value == "bucket-001\nbucket-093"
    found._search.value = ""
    assert ticked(found) == ["bucket-001 (long)"]
    assert made(lines, environment, *names[:FEW])._search.layout.display == "none"


def test_a_look_up_that_fails_says_why_where_it_was_asked_for(
    lines: Any, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a defect")

    found = Picker("bucket", (), environment, lines)
    monkeypatch.setattr(candidates, "look_up", fail)
    found._look_up("b", 0)
    assert "a defect" in found._told.value
    assert not found._look.disabled


def test_what_is_looked_up_last_is_shown_however_late_the_answer_before_comes(
    lines: Any, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    later, first_is_through = threading.Event(), threading.Event()

    def answer(_offer: str, _environment: Environment, account: str) -> list[Candidate]:
        if account == "a":
            later.wait(10)
        return [Candidate(account, f"of {account}", frozenset())]

    monkeypatch.setattr(candidates, "look_up", answer)
    found = Picker("bucket", (), environment, lines)
    look_up_in = found._look_up

    def noted(account: str, asked: int) -> None:
        look_up_in(account, asked)
        (first_is_through if account == "a" else later).set()

    monkeypatch.setattr(found, "_look_up", noted)
    for account in ("a", "b"):
        found._account.value = account
        found._look.click()
    assert first_is_through.wait(10)
    assert [each.label for each in found._shown] == ["of b"]
    assert found._told.value == "1 bucket found."
    assert not found._look.disabled
