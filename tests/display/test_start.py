"""What 00-start-here shows of a recommendation, and that its commands are ones that the command line takes."""

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from runbook.cli import _given
from runbook.display.access_list import AccessList
from runbook.display.start import Advice, start_here
from runbook.environment import Identity
from runbook.environments import AccountAccess
from runbook.jobs import prepare
from runbook.parameters import ParameterError
from runbook.sandbox import server
from runbook.sandbox.server import Sandbox
from runbook.steps.approach import recommend
from runbook.steps.scenarios import make_step
from runbook.steps.start_here import StartHere
from tests.steps.topologies import topology


def advice(**values: Any) -> Advice:
    return Advice(recommend(make_step(StartHere, "", values), topology()), "sandbox")


def test_running_in_the_same_account_comes_first() -> None:
    shown = advice(accounts=["b"])._repr_markdown_()
    assert shown.startswith("**Before all else** ([L5](https://bucketav.com/")
    assert shown.index("in the account of the buckets?") < shown.index("### Recommended: IAM role-based access")
    assert advice(same_account=True)._repr_markdown_().startswith("### Recommended: run bucketAV in the account")


def test_the_notebooks_are_links_with_the_parameters_to_fill_in() -> None:
    shown = advice(accounts=["d", "b"])._repr_markdown_()
    assert "| 1 | [01-allowlist](01-allowlist.ipynb) |" in shown
    assert "| 2 | [02-iam-role](02-iam-role.ipynb) |" in shown
    assert "`accounts`: `d`, `b`" in shown
    assert (
        "still to be named: `source_buckets` or `target_buckets`"
        in advice(accounts=["c"], add_ons=["quarantine"])._repr_markdown_()
    )


def test_the_commands_describe_the_same_runs() -> None:
    made = advice(accounts=["d"], buckets=["b/documents-b"], organizational_units=["Workloads"], add_ons=["quarantine"])
    assert made.recommendation
    for call in made.recommendation.calls:
        words = shlex.split(call.runbook_command("sandbox"))
        options = list(zip(words[3::1], words[4::1], words[5::1], strict=False))
        given = _given([(name, value) for option, name, value in options if option == "-p"])
        (job,) = prepare(call.notebook, scenario=None, params=None, given=given, environment="sandbox")
        assert {
            name: list(value) if isinstance(value, tuple) else value for name, value in _dumped(job).items()
        } == dict(call.values)


def _dumped(job: Any) -> dict[str, Any]:
    return dict(job.asked.as_given())


def test_when_nothing_is_left_to_do_that_is_said() -> None:
    assert "**Nothing is left to do here:**" in advice(accounts=["c"])._repr_markdown_()


def test_answers_start_from_the_parameters_and_bad_ones_are_refused() -> None:
    start = start_here(environment="sandbox", scenario="few-accounts", accounts=["b"], create_roles="false")
    assert start.answers == StartHere(accounts=("b",), create_roles=False)
    assert "accounts: b\n" in repr(start)
    with pytest.raises(ParameterError, match="there is no account `x`"):
        start_here(environment="sandbox", accounts=["x"])


def test_an_empty_form_recommends_nothing(environment: object) -> None:
    for made in (
        start_here(environment="sandbox").recommend(),
        start_here(environment="sandbox", scenario="")._advice(),
    ):
        told = "Nothing is recommended yet: say which accounts, buckets or organizational units are to be scanned."
        assert made.headline == repr(made) == made._repr_markdown_().strip() == told
    assert start_here(environment="sandbox", accounts=["b"]).recommend().recommendation


def test_an_environment_of_ones_own_begins_with_a_line_for_each_account(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One out of reach stops neither the others nor the page."""
    for name, value in server.variables(sandbox).items():
        monkeypatch.setenv(name, value)
    accounts = {name: {"account_id": digit * 12} for name, digit in (("a", "1"), ("b", "2"), ("closed", "6"))}
    role = "arn:aws:iam::{account_id}:role/OrganizationAccountAccessRole"
    file = {"region": "eu-west-1", "role_arn": role, "endpoint_url": sandbox.endpoint_url, "accounts": accounts}
    (tmp_path / "own.yaml").write_text(json.dumps(file))  # which is YAML
    start = start_here(environment=str(tmp_path / "own.yaml"), accounts=["b"])
    shown = start._repr_mimebundle_()
    a, b, closed, band, _, where, *_ = shown["text/plain"].splitlines()
    assert a == "✓ a (111111111111): reached as assumed-role/OrganizationAccountAccessRole/runbook-administrator"
    assert b.startswith("✓ b (222222222222)")
    assert closed.startswith("✗ closed (666666666666): Account 666666666666 (closed) cannot be reached: assuming")
    assert "*real accounts*" in band
    assert where.startswith("**What you have**, ")
    assert shown["text/markdown"].startswith("- ✓ a (111111111111): reached as")
    assert "- ✗ closed (666666666666)" in shown["text/markdown"]
    assert start.recommend().recommendation
    assert start.check().failed, "the account that is out of reach"
    assert start_here(environment="sandbox", accounts=["b"]).access == (), "nothing new about the sandbox"


def test_accounts_are_tested_again_on_the_page() -> None:
    """After a login, and where an MFA code is to be entered in the form."""
    first = AccountAccess("222222222222", "b", None, "the credentials have expired.")
    second = AccountAccess("222222222222", "b", Identity("222222222222", "arn:aws:iam::222222222222:user/me"))
    found = iter([second])
    shown = AccessList((first,), lambda _: (next(found),))
    assert "✗ b (222222222222): the credentials have expired." in shown.lines.value
    shown.again.click()
    shown.worker.wait()
    assert "✓ b (222222222222): reached as user/me" in shown.lines.value
    shown.again.click()  # what is raised is shown
    shown.worker.wait()
    assert "StopIteration" in shown.lines.value
    assert not shown.again.disabled
