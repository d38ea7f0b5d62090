"""The dialog in 00-start-here: the file that it writes, and what it shows of each account."""

from pathlib import Path

import pytest

from runbook.display.new_environment import NewEnvironment
from runbook.environment import load_environment
from runbook.sandbox import server
from runbook.sandbox.server import Sandbox

MEMBER = "arn:aws:iam::{account_id}:role/OrganizationAccountAccessRole"


@pytest.fixture
def dialog(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> NewEnvironment:
    """Filled in for an environment of one's own; boto3's default credentials reach the sandbox."""
    for name, value in server.variables(sandbox).items():
        if name != server.VARIABLE:
            monkeypatch.setenv(name, value)
    made = NewEnvironment()
    made.name.value = str(tmp_path / "own.yaml")
    made.fields["region"].value = "eu-west-1"
    made.fields["role_arn"].value = MEMBER
    made.accounts.value = "a=111111111111\n\n closed = 666666666666\nb=222222222222,external_id=4711\n"
    return made


def press(dialog: NewEnvironment, name: str) -> str:
    assert not dialog.buttons[name].disabled
    dialog.buttons[name].click()
    dialog.worker.wait()
    return str(dialog.result.value)


def test_accounts_are_tested_and_the_file_is_written(dialog: NewEnvironment, tmp_path: Path) -> None:
    shown = press(dialog, "Test")
    assert "<li>✓ a (111111111111): reached as" in shown
    assert "<li>✗ closed (666666666666): Account 666666666666 (closed) cannot be reached" in shown
    assert "<li>✓ b (222222222222): reached as" in shown
    assert list(tmp_path.iterdir()) == [], "testing writes nothing"
    shown = press(dialog, "Save")
    assert "<li>✗ closed (666666666666)" in shown
    assert f"Written: <code>{tmp_path}/own.yaml</code>" in shown
    file = load_environment(str(tmp_path / "own.yaml")).file
    assert (file.region, file.stack_name, file.role_arn, file.profile) == ("eu-west-1", "bucketav", MEMBER, None)
    assert list(file.accounts) == ["a", "closed", "b"]
    assert file.accounts["b"].external_id == "4711"


def test_the_organizations_accounts_are_added_to_those_that_are_there(dialog: NewEnvironment) -> None:
    assert "of the organization added" in press(dialog, "List accounts")
    lines = dialog.accounts.value.splitlines()
    assert lines[:3] == ["a=111111111111", "closed = 666666666666", "b=222222222222,external_id=4711"]
    assert {"management=999999999999", "media=777777777777"} <= set(lines[3:])
    assert not any("222222222222" in line or "111111111111" in line for line in lines[3:])
    assert "0 accounts of the organization added" in press(dialog, "List accounts")


def test_a_file_is_replaced_only_where_that_is_ticked(dialog: NewEnvironment, tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("mine")
    assert "exists. Choose another name" in press(dialog, "Save")
    assert (tmp_path / "own.yaml").read_text() == "mine"
    dialog.replace.value = True
    assert "Written:" in press(dialog, "Save")
    assert load_environment(str(tmp_path / "own.yaml")).account_a == "111111111111"


def test_what_is_wrong_is_said_and_nothing_is_written(dialog: NewEnvironment, tmp_path: Path) -> None:
    dialog.fields["region"].value = "europe"
    for name in dialog.buttons:
        assert "<code>region</code> is 'europe'" in press(dialog, name)
    dialog.fields["region"].value, dialog.accounts.value = "eu-west-1", "b=222222222222"
    assert "has no <code>a</code>" in press(dialog, "Save")
    dialog.accounts.value, dialog.name.value = "a=111111111111", " "
    assert "give the environment a name" in press(dialog, "Save")
    dialog.name.value = str(tmp_path / "none" / "own.yaml")
    assert "there is no folder" in press(dialog, "Save")
    assert list(tmp_path.iterdir()) == []
