"""What README.md says the credentials need is what they need: each step with a role that has that and no more."""

import json
import re
from pathlib import Path

import pytest

from runbook.environment import Environment, load_environment
from runbook.parameters import project_root
from runbook.procedure import Procedure
from runbook.run import undo
from runbook.steps import step_class
from runbook.steps.scenarios import make_step
from tests.world import everything

ROLE = "Runbook"


def documented(notebook: str) -> dict[str, list[str]]:
    """The actions of README's table, by the kind of account; ` `cloudformation:` `X`, `Y` ` names two."""
    lines = (project_root() / "README.md").read_text(encoding="utf-8").splitlines()
    head = next(index for index, line in enumerate(lines) if line.startswith("| Where |"))
    column = [cell.strip() for cell in lines[head].split("|")].index(notebook)
    found = {}
    for line in lines[head + 2 : head + 5]:
        cells = line.split("|")
        actions, prefix = [], ""
        for word in re.findall(r"`([^`]+)`", cells[column]):
            if word.endswith(":"):
                prefix = word
            else:
                actions.append(word if ":" in word else prefix + word)
        found[cells[1].partition(",")[0].strip()] = actions
    return found


@pytest.fixture
def limited(environment: Environment, tmp_path: Path) -> Environment:
    """The sandbox through roles that may do nothing yet."""
    content = environment.file.model_dump(exclude_none=True)
    role = "arn:aws:iam::{account_id}:role/" + ROLE
    content |= {"role_arn": role, "probe": False}
    # Its role is assumed as well, although the credentials to start from belong to it.
    content["accounts"]["management"]["role_arn"] = role
    file = tmp_path / "limited.yaml"
    file.write_text(json.dumps(content))
    return load_environment(str(file))


def grant(environment: Environment, account: str, actions: list[str]) -> None:
    trust = {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::999999999999:root"}, "Action": "sts:AssumeRole"}
    statements = [{"Effect": "Allow", "Action": actions, "Resource": "*"}] if actions else []
    iam = environment.client("iam", environment.account_id(account))
    iam.create_role(RoleName=ROLE, AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}))
    if statements:
        policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
        iam.put_role_policy(RoleName=ROLE, PolicyName="runbook", PolicyDocument=policy)


@pytest.mark.parametrize(
    ("notebook", "given"),
    [
        ("01-allowlist", {"accounts": ["d"], "remove_accounts": ["b", "c", "f", "666666666666", "888888888888"]}),
        ("01-allowlist", {"remove_accounts": ["b", "c", "f", "666666666666", "888888888888"]}),
        ("02-iam-role", {"accounts": ["b", "c"]}),
        ("02-iam-role", {"disconnect": ["c"]}),
        ("03-stack-sets", {"targets": ["Workloads/Production"], "allowlist_organization": True, "detect_drift": True}),
        ("03-stack-sets", {"delete": True, "stack_set_name": "bucketav-account-connection-pilot"}),
        (
            "04-add-ons",
            {
                "source_buckets": ["b/documents-b"],
                "target_buckets": ["c/clean-documents-c"],
                "add_ons": ["bucketav-move-clean-documents"],
                "key_policy": "change",
            },
        ),
        (
            "04-add-ons",
            {"source_buckets": ["c/archive-c"], "target_buckets": ["b/uploads-b"], "add_ons": ["quarantine"]},
        ),
        ("05-bucket-policy", {"buckets": ["b/documents-b", "c/quarantine-c"], "key_policy": "change"}),
        (
            "06-findings-topic",
            {
                "queues": ["c/bucketav-infected"],
                "dead_letter": "dead-letters",
                "encryption": "alias/events",
                "key_policy": "change",
                "test_message": True,
            },
        ),
        ("06-findings-topic", {"queues": ["c/security-events"], "subscriber": "queue-owner", "statuses": "infected"}),
    ],
)
def test_a_step_needs_what_the_readme_says(
    notebook: str, given: dict[str, object], environment: Environment, limited: Environment, tmp_path: Path
) -> None:
    needed = documented(notebook)
    assert needed["account a"]
    for name in environment.file.accounts:
        where = {"a": "account a", "management": "the management account"}.get(name, "the other accounts")
        grant(environment, name, needed[where])
    before_policies, before_stack, before_connections = everything(environment)
    step = make_step(step_class(notebook), "", given)
    procedure = Procedure(step, limited, apply=True, folder=str(tmp_path / "run"))
    procedure.check()
    verification = procedure.verify(procedure.apply(procedure.plan()))
    assert not verification.checks.failed
    assert procedure.plan().changes == ()
    undo(tmp_path / "run", limited)
    after_policies, after_stack, after_connections = everything(environment)
    assert (after_policies, after_stack.parameters) == (before_policies, before_stack.parameters)
    assert after_connections.stacks == before_connections.stacks
