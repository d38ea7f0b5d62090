"""The buttons without a browser: they do what the cells do, offer no more than is safe, and hide nothing."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from runbook.display import Choice, choose
from runbook.display.buttons import Buttons
from runbook.display.panel import Panel
from runbook.display.worker import Worker
from runbook.environment import Environment
from runbook.progress import Progress
from runbook.sandbox.server import Sandbox
from runbook.steps.allowlist import Allowlist
from runbook.steps.bucket_policy import BucketPolicy
from tests.steps.way import foreign_statement, put_policy
from tests.world import policies, whole_stack


@pytest.fixture
def panel(environment: Environment, tmp_path: Path) -> Panel:
    choice: Choice = choose(
        BucketPolicy, environment="sandbox", scenario="one-bucket", run_folder=str(tmp_path / "run")
    )
    return choice.panel


def press(buttons: Buttons, name: str) -> str:
    """Press a button that can be pressed, wait until it is done, and say what is shown of it."""
    assert not buttons._buttons[name].disabled, name
    buttons._buttons[name].click()
    buttons._worker.wait()
    return str(buttons._results[name].value)


def offered(buttons: Buttons) -> set[str]:
    return {name for name, button in buttons._buttons.items() if not button.disabled}


def choose_buckets(panel: Panel, text: str) -> None:
    panel.form._fields["buckets"].input.control.value = text


def test_the_buttons_do_what_the_cells_do(panel: Panel, environment: Environment, tmp_path: Path) -> None:
    before = policies(environment)
    buttons = panel.buttons
    assert offered(buttons) == {"Check", "Plan"}
    assert "9 ok" in press(buttons, "Check")
    assert "<strong>1 bucket</strong> in <strong>account 222222222222</strong> will let" in press(buttons, "Plan")
    assert "would be able to do" in press(buttons, "Verify")
    assert policies(environment) == before
    assert "1 change made" in press(buttons, "Apply")
    by_buttons = policies(environment)
    assert "can do" in press(buttons, "Verify")
    assert json.loads((tmp_path / "run" / "result.json").read_text())["status"] == "done"
    assert offered(buttons) == {"Check", "Plan", "Verify", "Undo"}
    assert "put back as it was" in press(buttons, "Undo")
    assert policies(environment) == before

    choice = choose(BucketPolicy, environment="sandbox", scenario="one-bucket", run_folder=str(tmp_path / "cells"))
    choice.verify(choice.apply(choice.plan()))
    assert policies(environment) == by_buttons


def test_nothing_that_a_check_stands_against_can_be_applied(panel: Panel) -> None:
    choose_buckets(panel, "b/crowded-b\nb/uploads-b")
    shown = press(panel.buttons, "Plan")
    assert "Left out because a check failed" in shown
    assert "uploads-b" in shown
    assert "S3 takes 20,480" in panel.buttons._results["Check"].value
    assert offered(panel.buttons) == {"Check", "Plan", "Verify"}


def test_a_plan_for_other_values_than_those_of_now_cannot_be_applied(panel: Panel) -> None:
    press(panel.buttons, "Plan")
    assert "Apply" in offered(panel.buttons)
    choose_buckets(panel, "b/website-uploads-b")
    assert offered(panel.buttons) == {"Check", "Plan"}
    assert "Plan again" in panel.buttons._worker.line.value
    choose_buckets(panel, "website-uploads-b")
    assert "does not say whose bucket it is" in press(panel.buttons, "Plan")
    choose_buckets(panel, "b/uploads-b")
    assert offered(panel.buttons) == {"Check", "Plan"}


def test_a_plan_that_is_out_of_date_changes_nothing_and_says_why(panel: Panel, environment: Environment) -> None:
    press(panel.buttons, "Plan")
    put_policy(environment, "b", "uploads-b", foreign_statement("uploads-b"))
    present = policies(environment)
    assert "StalePlan" in press(panel.buttons, "Apply")
    assert policies(environment) == present
    assert "Undo" not in offered(panel.buttons)


@pytest.fixture
def real(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Panel:
    """An environment that is no sandbox, as far as anybody can tell."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", sandbox.access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", sandbox.secret_access_key)
    file = tmp_path / "real.yaml"
    text = Path("params/environments/sandbox.yaml").read_text()
    file.write_text(text.replace("sandbox: true", f"endpoint_url: {sandbox.endpoint_url}"))
    given = {"buckets": ["b/uploads-b"], "run_folder": str(tmp_path / "run")}
    choice: Choice = choose(BucketPolicy, environment=str(file), scenario="one-bucket", **given)
    return choice.panel


def test_outside_the_sandbox_apply_asks_and_names_account_and_number(real: Panel, environment: Environment) -> None:
    panel, before = real, policies(environment)
    press(panel.buttons, "Plan")
    asked = press(panel.buttons, "Apply")
    assert "Apply 1 change in account 222222222222 (b)?" in asked
    assert "real accounts" in asked
    assert policies(environment) == before, "the first click only asks"
    assert panel.buttons._buttons["Apply"].description == "Apply now"
    press(panel.buttons, "Plan")
    assert panel.buttons._buttons["Apply"].description == "Apply", "something else was done meanwhile"
    press(panel.buttons, "Apply")
    assert policies(environment) == before
    assert "1 change made" in press(panel.buttons, "Apply")
    assert policies(environment) != before
    shown = press(panel.buttons, "Undo")
    assert "1 resource in 1 account goes back to the state before the run." in shown
    assert "ends: Allow, Principal" in shown
    assert panel.buttons._buttons["Undo"].description == "Put back"
    assert "put back as it was" in press(panel.buttons, "Undo")
    assert panel.buttons._buttons["Undo"].description == "Undo"


def test_outside_the_sandbox_nothing_is_put_back_but_what_was_shown(real: Panel, environment: Environment) -> None:
    buttons, before = real.buttons, policies(environment)
    press(buttons, "Plan")
    press(buttons, "Apply")
    press(buttons, "Apply")
    applied = policies(environment)
    press(buttons, "Undo")
    assert policies(environment) == applied, "the first click only shows"
    press(buttons, "Verify")
    assert buttons._buttons["Undo"].description == "Undo", "something else was done meanwhile"
    press(buttons, "Undo")
    environment.client("s3", "222222222222").delete_bucket_policy(Bucket="uploads-b")
    assert "something has changed since it was shown" in press(buttons, "Undo")
    assert "was already as before" in press(buttons, "Undo")
    assert policies(environment) == before


def test_cancel_stops_the_work_and_the_kernel_stays_free(panel: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    under_way, pressed = threading.Event(), threading.Event()

    def slow(_self: BucketPolicy, _environment: Environment, *, progress: Progress) -> Any:
        under_way.set()
        pressed.wait(30)
        progress(1, 100, "buckets looked at")
        raise AssertionError("was not stopped")

    monkeypatch.setattr(BucketPolicy, "observe", slow)
    buttons = panel.buttons
    buttons._buttons["Check"].click()
    assert under_way.wait(30)
    assert offered(buttons) == set()
    assert not buttons._worker.cancel.disabled
    buttons._worker.cancel.click()
    pressed.set()
    buttons._worker.wait()
    assert "Stopped. Nothing was changed." in buttons._results["Check"].value
    assert offered(buttons) == {"Check", "Plan"}


def test_a_defect_of_ours_is_shown_with_where_it_was_raised(panel: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("<b>a defect</b>")

    monkeypatch.setattr(BucketPolicy, "plan", fail)
    press(panel.buttons, "Plan")
    shown = panel.buttons._results["Plan"].value
    assert "RuntimeError: &lt;b&gt;a defect&lt;/b&gt;" in shown
    assert "Where it was raised" in shown


def test_an_apply_that_is_cancelled_goes_on_or_is_taken_back(
    environment: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel = choose(
        Allowlist, environment="sandbox", scenario="several-accounts", run_folder=str(tmp_path / "run")
    ).panel
    buttons, before = panel.buttons, whole_stack(environment)
    press(buttons, "Plan")
    said = Worker.say

    def cancel_at_once(worker: Worker, text: str) -> None:
        said(worker, text)
        if "UPDATE_IN_PROGRESS" in text:
            worker._stop.set()

    monkeypatch.setattr(Worker, "say", cancel_at_once)
    assert "Apply goes on, Undo takes it back" in press(buttons, "Apply")
    assert {"Apply", "Undo"} <= offered(buttons)
    monkeypatch.setattr(Worker, "say", said)
    assert "Applied" in press(buttons, "Apply")
    assert whole_stack(environment) != before
    assert "put back as it was" in press(buttons, "Undo")
    assert whole_stack(environment) == before
