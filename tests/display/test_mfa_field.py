"""The field for an MFA code: hidden until it is needed, and empty again afterwards."""

import getpass
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from IPython.core.error import StdinNotImplementedError

from runbook import mfa
from runbook.display import mfa_field
from runbook.display.mfa_field import MfaField


def asking(field: MfaField, results: list[str], prompt: str = "Enter MFA code for me: ") -> threading.Thread:
    thread = threading.Thread(target=lambda: results.append(field.ask(prompt)))
    thread.start()
    return thread


def shown(field: MfaField) -> bool:
    return field.box.layout.display is None


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("button", ["enter", "none"])
def test_a_code_is_asked_and_forgotten(button: str) -> None:
    field, results = MfaField(), list[str]()
    assert not shown(field)
    thread = asking(field, results, "Enter MFA code for <me>: ")
    wait_until(lambda: shown(field))
    assert "Enter MFA code for &lt;me&gt;" in field._prompt.value
    if button == "enter":
        field.code.value = "12345"
        field.enter.click()
    else:
        field.code.value = "123456"
    thread.join(10)
    assert results == ["12345" if button == "enter" else "123456"]
    assert not shown(field)
    assert field.code.value == "", "not in the state of the widget, which a notebook can be saved with"


def test_nothing_is_entered_by_cancel_or_when_it_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    field, results = MfaField(), list[str]()
    thread = asking(field, results)
    wait_until(lambda: shown(field))
    field.code.value = "123"
    field.cancel.click()
    thread.join(10)
    monkeypatch.setattr(mfa_field, "ANSWER_SECONDS", 0.01)
    asking(field, results).join(10)
    assert results == ["", ""]


def test_those_who_ask_at_the_same_time_are_answered_one_after_the_other() -> None:
    field, results = MfaField(), list[str]()
    threads = [asking(field, results, f"{name}: ") for name in "ab"]
    for code in ("111111", "222222"):
        wait_until(lambda: shown(field) and len(results) == int(code[0]) - 1 and not field._answered.is_set())  # noqa: B023
        field.code.value = code
        wait_until(lambda: len(results) == int(code[0]))  # noqa: B023
    for thread in threads:
        thread.join(10)
    assert results == ["111111", "222222"]


class Kernel:
    """Stands for ipykernel's while a cell runs, whose method is in place of `getpass` then."""

    def __init__(self, *, has_stdin: bool) -> None:
        self._has_stdin = has_stdin

    def getpass(self, _prompt: str) -> str:
        if not self._has_stdin:
            raise StdinNotImplementedError
        return "123456"


@pytest.fixture
def cell(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def run(*, has_stdin: bool) -> None:
        kernel = Kernel(has_stdin=has_stdin)
        shell: Any = type("Shell", (), {"kernel": kernel})()
        monkeypatch.setattr(mfa_field, "get_ipython", lambda: shell)
        monkeypatch.setattr(getpass, "getpass", kernel.getpass)

    return run


def test_while_a_cell_runs_the_front_end_asks(cell: Callable[..., None]) -> None:
    cell(has_stdin=True)
    assert mfa_field.ask("code: ") == "123456"


def test_headless_nobody_is_asked_and_voila_says_where(
    cell: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    cell(has_stdin=False)
    with pytest.raises(mfa.NoCode, match="Nobody can be asked"):
        mfa_field.ask("code: ")
    monkeypatch.setenv("VOILA_REQUEST_URL", "http://127.0.0.1")
    with pytest.raises(mfa.NoCode, match="Press a button of the page"):
        mfa_field.ask("code: ")
