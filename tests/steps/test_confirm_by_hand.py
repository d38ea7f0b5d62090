"""A confirmation that is left to a person: its address is shown whole and right, and kept nowhere."""

import re
from pathlib import Path

import pytest

from runbook.display.views import view
from runbook.environment import Environment
from runbook.procedure import Procedure
from runbook.run import Run
from runbook.steps.findings_topic import FindingsTopic
from runbook.steps.scenarios import make_step
from tests.queues import stored_queues

ADDRESS = re.compile(r"https://sns\.eu-west-1\.amazonaws\.com/\?Action=ConfirmSubscription\S+")


@pytest.fixture
def run(environment: Environment, tmp_path: Path) -> Run:
    step = make_step(FindingsTopic, "new-queue", {"confirm": "by_hand"})
    procedure = Procedure(step, environment, scenario="new-queue", apply=True, folder=str(tmp_path / "run"))
    made = procedure.apply(procedure.plan())
    procedure.verify(made)
    return made


def test_the_address_is_printed_as_it_is_and_confirms_the_subscription(run: Run, environment: Environment) -> None:
    (address,) = ADDRESS.findall(repr(run))
    assert "&amp;" not in address
    assert "[REDACTED]" not in address
    assert environment.fetch(address).startswith(b"<ConfirmSubscriptionResponse")
    assert any("bucketav-findings" in arn for arn in stored_queues())
    (in_html,) = {found.partition('"')[0].partition("<")[0] for found in ADDRESS.findall(view(run))}
    assert in_html.replace("&amp;", "&") == address
    (in_markdown,) = ADDRESS.findall(run._repr_markdown_())
    assert in_markdown.replace("&amp;", "&") == address


def test_its_token_is_in_no_file(run: Run) -> None:
    (address,) = ADDRESS.findall(repr(run))
    token = address.rpartition("Token=")[2]
    assert len(token) > 30
    assert run.folder
    files = {file.name: file.read_text(encoding="utf-8") for file in run.folder.iterdir()}
    assert {"journal.jsonl", "result.json", "plan.json"} <= files.keys()
    assert [name for name, text in files.items() if token[:12] in text] == []
    for name in ("journal.jsonl", "result.json"):
        assert "open the address that was shown when this ran, and that message" in files[name]


def test_other_lines_are_shown_in_text_as_they_are(run: Run) -> None:
    told = Run(run.plan, True, run.folder, run.changed, ("a < b & c, `d`",))
    assert repr(told).endswith("\n- a < b & c, `d`")
    assert told._repr_markdown_().endswith("\n- a &lt; b &amp; c, `d`")
