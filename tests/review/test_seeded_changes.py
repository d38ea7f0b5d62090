"""Eleven mistakes that a pull request may bring are each found and named by their place; a clean tree is green."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runbook.parameters import ParameterError
from runbook.review.command import PARTS, review
from runbook.review.notebooks import NotebookError
from tests.review.checkout import Checkout, cell, copied

POLICY = "notebooks/05-bucket-policy.ipynb"
STATEMENTS = "runbook/policy/statements.py"

SMALL = """{"cells": [%s], "metadata": {"kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python",
"name": "python3"}, "language_info": {"name": "python"}}, "nbformat": 4, "nbformat_minor": 5}
"""
CODE = """{"cell_type": "code", "id": "%s", "metadata": {}, "source": "%s", "execution_count": %d, "outputs":
[{"output_type": "execute_result", "metadata": {}, "data": {"text/plain": "%s"}, "execution_count": %d}]}"""


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return copied(tmp_path / "checkout")


def of_cell(name: str, key: str, change: Callable[[Any], Any]) -> Callable[[dict[str, Any]], None]:
    """Change one key of a cell of a notebook."""

    def changed(content: dict[str, Any]) -> None:
        found = cell(content, name)
        found[key] = change(found[key])

    return changed


def shows(text: str) -> Callable[[dict[str, Any]], None]:
    """Put a line into what the cell `check` shows."""
    output = {"output_type": "stream", "name": "stdout", "text": [text]}
    return of_cell("check", "outputs", lambda outputs: [*outputs, output])


def leave_out(name: str) -> Callable[[dict[str, Any]], None]:
    def changed(content: dict[str, Any]) -> None:
        content["cells"] = [each for each in content["cells"] if each["id"] != name]

    return changed


def a_statement_widened(checkout: Checkout) -> None:
    checkout.replace(
        STATEMENTS, 'else "s3:GetObject*", sid="bucketAVRequired2"', 'else "s3:*", sid="bucketAVRequired2"'
    )


def a_sid_dropped(checkout: Checkout) -> None:
    checkout.replace(STATEMENTS, 'else "s3:GetObject*", sid="bucketAVRequired2"', 'else "s3:GetObject*"')


def a_step_left_out(checkout: Checkout) -> None:
    checkout.change(POLICY, leave_out("verify"))


def an_entry_left_out(checkout: Checkout) -> None:
    checkout.change("notebooks/03-stack-sets.ipynb", leave_out("steps"))


def an_undocumented_parameter(checkout: Checkout) -> None:
    checkout.replace(
        POLICY,
        "# literal (the documented statements) or hardened (narrower ones, not confirmed by the vendor)",
        "",
    )


def an_unknown_key(checkout: Checkout) -> None:
    checkout.replace("params/05-bucket-policy/one-bucket.yaml", "buckets:", "bukets:")


def a_token_in_an_output(checkout: Checkout) -> None:
    checkout.change(
        POLICY, shows(f"https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&Token={'2336412f' * 12}")
    )


def an_output_that_cannot_be_repeated(checkout: Checkout) -> None:
    checkout.change(POLICY, shows("<runbook.plan.Plan object at 0x7f3a5c0d2e80>"))


def a_broken_link(checkout: Checkout) -> None:
    checkout.change(
        POLICY, of_cell("closure", "source", lambda source: [*source, "\n\nNext: [add-ons](04-addons.ipynb)."])
    )


def a_renamed_tag(checkout: Checkout) -> None:
    checkout.change(POLICY, of_cell("parameters", "metadata", lambda _: {"tags": ["parameter"]}))


def a_changed_default(checkout: Checkout) -> None:
    checkout.replace(POLICY, "apply: bool = False", "apply: bool = True")


@pytest.mark.parametrize(
    ("seed", "part", "said"),
    [
        (a_step_left_out, "notebooks", f"{POLICY}, cell `verify`: The notebook has no such cell."),
        (
            an_entry_left_out,
            "outline",
            "notebooks/03-stack-sets.ipynb: No cell carries out `stack-sets.console` (L41 of the page): “",
        ),
        (
            an_undocumented_parameter,
            "parameters",
            f"{POLICY}, cell `parameters`, `mode`: The parameter is not documented.",
        ),
        (
            an_unknown_key,
            "parameters",
            "params/05-bucket-policy/one-bucket.yaml: `bukets` is not known here. Did you mean `buckets`?",
        ),
        (
            a_token_in_an_output,
            "secrets",
            f"{POLICY}, cell `check`, output text/plain: "
            "It holds the token that confirms a subscription: `Token=233641…`.",
        ),
        (
            an_output_that_cannot_be_repeated,
            "repeatable",
            f"{POLICY}, cell `check`, output text/plain: It shows the address of an object in memory, "
            "which another run will not show again: `at 0x7f3a5c0d2e80`.",
        ),
        (
            a_broken_link,
            "links",
            f"{POLICY}, cell `closure`: The link `04-addons.ipynb` leads to notebooks/04-addons.ipynb, "
            "which there is not. Correct it. Did you mean `04-add-ons.ipynb`?",
        ),
        (
            a_renamed_tag,
            "notebooks",
            f"{POLICY}, cell `parameters`: Its tag `parameter` means nothing to any program.",
        ),
        (
            a_changed_default,
            "parameters",
            f"{POLICY}, cell `parameters`, `apply`: Its default is `True`, where it should be `False`.",
        ),
    ],
)
def test_a_seeded_change_is_found_and_its_place_named(
    seed: Callable[[Checkout], None], part: str, said: str, checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed(checkout)
    assert f"- **{part}**, {said}" in checkout.reviewed(part, monkeypatch)


@pytest.mark.parametrize(
    ("seed", "said"),
    [
        (a_statement_widened, '`Action` is `"s3:*"`, where the page has `"s3:GetObject*"`; it allows'),
        (a_sid_dropped, '`Sid` is missing; the page has `"bucketAVRequired2"`.'),
    ],
)
def test_a_change_of_a_statement_is_found_and_named(
    seed: Callable[[Checkout], None], said: str, checkout: Checkout
) -> None:
    seed(checkout)
    found = checkout.review("--part", "documents")
    assert found.returncode == 1
    place = f"{STATEMENTS}, `scan_statements`, statement `bucketAVRequired2`"
    assert f"- **documents**, {place}: {said}" in found.stdout, found.stdout + found.stderr


def test_a_secret_is_not_told_in_whole(checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    a_token_in_an_output(checkout)
    assert "2336412f2336412f" not in checkout.reviewed("secrets", monkeypatch)


def test_stale_outputs_are_told_from_those_that_cannot_be_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout = copied(tmp_path / "checkout", ("params",))
    (checkout.root / "notebooks").mkdir()
    cells = [
        CODE % ("current", "6 * 7", 1, "42", 1),
        CODE % ("stale", "6 * 8", 2, "42", 2),
        CODE % ("now", "import time; time.time_ns()", 3, "42", 3),
    ]
    checkout.write("notebooks/01-small.ipynb", SMALL % ", ".join(cells))
    text = checkout.reviewed("outputs", monkeypatch)
    place = "notebooks/01-small.ipynb, cell"
    assert f"{place} `stale`: Its stored output is stale: a fresh run shows something else." in text
    assert f"{place} `now`: Its output is not repeatable: two fresh runs" in text
    assert "-42\n+48" in text
    assert f"{place} `current`" not in text


def test_a_notebook_that_does_not_run_is_named_with_its_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def raised(file: Path) -> str:
        raise NotebookError(f"{file.name}, cell `broken`: NameError: name 'nowhere' is not defined")

    monkeypatch.setattr("runbook.review.notebooks.renewed", raised)
    checkout = copied(tmp_path / "checkout", ("params",))
    (checkout.root / "notebooks").mkdir()
    checkout.write("notebooks/01-small.ipynb", SMALL % "")
    text = checkout.reviewed("outputs", monkeypatch)
    assert "notebooks/01-small.ipynb, cell `broken`: It does not run: NameError: name 'nowhere' is not defined" in text


def test_a_clean_tree_is_green() -> None:
    """But for the outputs, which nbval compares in the same run of the tests."""
    found = review(parts=[part for part in PARTS if part != "outputs"])
    assert list(found.findings) == []
    assert found.ok
    assert [part.name for part in found.parts] == list(PARTS)[:-1]


def test_an_unknown_part_is_bad_input() -> None:
    with pytest.raises(ParameterError, match=r"--part: there is no part `link`\. Did you mean `links`\?"):
        review(parts=["link"])
