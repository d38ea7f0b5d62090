"""What changes in meaning is told in sentences: who may do more, which plans differ, which default is another."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from runbook.parameters import ParameterError, project_root
from runbook.policy.statements import scan_statements
from runbook.review import base, snapshot
from runbook.review.base import State, extracted
from runbook.review.meaning import (
    grants,
    of_access,
    of_checks,
    of_defaults,
    of_grants,
    of_notebooks,
    of_permissions,
    of_plans,
    of_statements,
    what_changes,
)
from runbook.review.notebook_differences import notebook_differences
from tests.review.checkout import copied

ROLE = "arn:aws:iam::111111111111:role/bucketav-ScanRole-1ABC"


def planned(*buckets: str, extra: Mapping[str, Sequence[str]] | None = None, delete: bool = False) -> dict[str, Any]:
    """A scenario that opens buckets, with more actions for the role on some of them."""
    changes = []
    for bucket in buckets:
        statements = [dict(each) for each in scan_statements(ROLE, bucket, delete=delete)]
        more = (extra or {}).get(bucket)
        statements += [{**statements[1], "Sid": "More", "Action": list(more)}] if more else []
        resource = {"kind": "s3.bucket-policy", "account": "222222222222", "arn": f"arn:aws:s3:::{bucket}"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
        changes.append({"resource": resource, "after": policy, "effects": []})
    return {"changes": changes, "plan": f"{len(buckets)} changes", "checks": [], "access": []}


def answered(answer: str) -> list[dict[str, Any]]:
    return [{"principal": ROLE, "resources": ["b/one"], "answers": [{"action": "s3:PutObject", "after": answer}]}]


# --- who may do what -------------------------------------------------------------------------------------------------


def test_what_a_role_may_do_besides_is_a_sentence() -> None:
    before = {"05-x/one": planned("one"), "05-x/two": planned("two"), "05-x/three": planned("three")}
    now = {**before, "05-x/one": planned("one", delete=True), "05-x/two": planned("two", delete=True)}
    (line,), _ = of_grants(before, now)
    assert line == (
        "**The scan role `bucketav-ScanRole-1ABC` may now also** `s3:DeleteObject*` (6 actions) on objects of `one`, "
        "objects of `two`, in 2 of 3 scenarios of 05-x (`one`, `two`)."
    )
    (line,), _ = of_grants(now, before)
    assert "may no longer** `s3:DeleteObject*`" in line


def test_a_narrower_pattern_is_told_by_the_actions_that_it_leaves_out() -> None:
    before = {"05-x/one": planned("one", extra={"one": ["s3:PutObjectAcl", "s3:PutObject"]})}
    (line,), _ = of_grants(before, {"05-x/one": planned("one", extra={"one": ["s3:PutObject"]})})
    assert "may no longer** `s3:PutObjectAcl` on objects of `one`" in line


def test_what_only_reads_otherwise_grants_nothing_else() -> None:
    before = {"05-x/one": planned("one", extra={"one": ["s3:PutObject", "s3:putobjectacl"]})}
    now = {"05-x/one": planned("one", extra={"one": ["s3:PutObjectAcl", "s3:PutObject"]})}
    assert of_grants(before, now) == ([], [])


def test_a_condition_a_denial_and_a_wildcard_are_grants_of_their_own() -> None:
    condition = {"Bool": {"aws:SecureTransport": "false"}}
    statement = {"Effect": "Deny", "Principal": "*", "NotAction": "s3:Get*", "Resource": "r", "Condition": condition}
    ((grant, _),) = grants(statement)
    assert (grant.effect, grant.principal, grant.action) == ("Deny", "*", "all but s3:Get*")
    assert grant.condition == "`aws:SecureTransport` Bool `false`"
    ((everything, pattern),) = grants({"Effect": "Allow", "Principal": {"AWS": ROLE}, "Action": "*", "Resource": "*"})
    assert (everything.action, pattern) == ("*", "*")


def test_an_answer_that_comes_out_differently_is_counted_and_shown() -> None:
    before, now = ({"05-x/one": {"access": answered(answer)}} for answer in ("denied", "allowed"))
    (line,), (detail,) = of_access(before, now)
    assert "1 answer to who can do what come out differently, 1 of them now allowed" in line
    assert "| `s3:PutObject` | `b/one` | denied → **allowed** |" in detail.text
    assert of_access(now, now) == ([], [])


# --- the rest --------------------------------------------------------------------------------------------------------


def test_a_statement_of_the_package_is_told_by_its_sid() -> None:
    before = {"scan literal": [{"Sid": "One", "Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}]}
    now = {"scan literal": [{"Sid": "One", "Effect": "Allow", "Action": "s3:GetObject*", "Resource": "*"}]}
    (line,), (detail,) = of_statements(before, now)
    assert line.startswith(
        '`scan literal`, statement `One`: `Action` is `"s3:GetObject*"`, where it was `"s3:GetObject"`; it allows'
    )
    assert '-      "Action": "s3:GetObject",\n+      "Action": "s3:GetObject*",' in detail.text


def test_plans_that_differ_are_shown_once_for_all_that_it_is_the_same_for() -> None:
    before = {"05-x/one": planned("one"), "05-x/two": planned("two"), "05-x/three": planned("three")}
    now = {"05-x/one": planned("one", delete=True), "05-x/two": planned("two", delete=True), "05-x/three": planned()}
    (line,), (detail,) = of_plans(before, now)
    assert line == "The plans of 3 of 3 scenarios are not the same: see “Plans”."
    assert detail.text.count("```diff") == 2
    assert "05-x/one: `one`; 05-x/two: `two`\n\n```diff" in detail.text
    assert "| 05-x/three | 1 changes | 0 changes | 1 less |" in detail.text


def test_a_scenario_that_cannot_be_planned_any_more_is_told() -> None:
    before = {"05-x/one": planned("one"), "05-x/gone": planned("one")}
    lines, _ = of_plans(before, {"05-x/one": {"error": "KeyError: 'x'"}})
    assert sorted(lines) == [
        "**`05-x/one` cannot be planned any more**: KeyError: 'x'",
        "The scenario `05-x/gone` is gone.",
    ]


def test_checks_defaults_and_permissions_are_told() -> None:
    had, has = (
        [["Is it there?", "b/one", status], *more] for status, more in (("ok", [["Old", "x", "ok"]]), ("failed", []))
    )
    lines, _ = of_checks({"05-x/one": {"checks": had}}, {"05-x/one": {"checks": has}})
    assert lines == [
        "**05-x no longer checks** `Old` (`one`).",
        "The check `Is it there?` of 05-x now comes out failed for `b/one`, and was ok (`one`).",
    ]
    lines, _ = of_defaults({"notebook 05-x": {"mode": '""', "old": "[]"}}, {"notebook 05-x": {"mode": '"hardened"'}})
    assert lines == [
        '**The default** of `mode` in notebook 05-x is now `"hardened"`; it was `""`.',
        "notebook 05-x no longer has the parameter `old`.",
    ]
    before = {"05-x": {"account a": {"iam:GetRole": {"look": "always"}}}}
    now = {"05-x": {"account a": {"iam:GetRole": {"look": ["one"]}, "iam:PutRole": {"apply": "always"}}}}
    assert of_permissions(before, now)[0] == [
        "05-x now also needs `iam:PutRole` in account a.",
        "05-x needs `iam:GetRole` in account a in other cases than before: look: one.",
    ]


def test_notebooks_are_told_apart_by_what_is_written_and_what_they_show(tmp_path: Path) -> None:
    checkout = copied(tmp_path / "checkout", ("notebooks",))
    folder = checkout.root / "notebooks"
    assert notebook_differences(project_root() / "notebooks", folder) == []
    checkout.replace("notebooks/05-bucket-policy.ipynb", "Reads only.", "Only reads.")
    checkout.replace("notebooks/06-findings-topic.ipynb", "| `sqs:SendMessage` |", "| `sqs:SendMessages` |")
    lines, (written, shown) = of_notebooks(notebook_differences(project_root() / "notebooks", folder))
    assert lines == [
        "Notebooks that are written otherwise than before: 05-bucket-policy.",
        "Notebooks that show something else than before: 06-findings-topic.",
    ]
    assert "## modified /cells/check-help/source:" in written.text
    assert "/cells/verify/outputs" in shown.text


# --- two states ------------------------------------------------------------------------------------------------------


def test_a_changed_default_of_a_step_is_on_top(tmp_path: Path) -> None:
    checkout = copied(tmp_path / "checkout", ("runbook", "params", "notebooks"))
    mode = 'mode: Mode = Field("literal"'
    checkout.replace("runbook/steps/bucket_policy.py", mode, mode.replace("literal", "hardened"))
    say = "import json; from runbook.review.snapshot import parameters; print(json.dumps(dict(parameters())))"
    changed = json.loads(checkout.run("-c", say).stdout)
    before = State(project_root(), {"parameters": dict(snapshot.parameters())})
    found = what_changes("`main`", before, State(checkout.root, {"parameters": changed}))
    assert found.headlines == (
        '**The default** of `mode` in the step of 05-bucket-policy is now `"hardened"`; it was `"literal"`.',
    )


def test_a_state_that_cannot_be_run_is_told_and_its_files_are_compared(tmp_path: Path) -> None:
    checkout = copied(tmp_path / "checkout", ("runbook/review", "params", "notebooks"))
    checkout.replace("params/05-bucket-policy/one-bucket.yaml", "uploads-b", "website-uploads-b")
    before = State(project_root(), {}, "ImportError: cannot import name 'prepare'")
    found = what_changes("`v0`", before, State(checkout.root, {"parameters": {}, "scenarios": {}}))
    first, second = found.headlines
    assert first.startswith(
        "The base cannot be run as this review runs it, so that plans are not compared: ImportError"
    )
    assert second == (
        "params/05-bucket-policy/one-bucket.yaml: `buckets` is now `['b/website-uploads-b']`; it was `['b/uploads-b']`."
    )


def test_the_same_state_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    state = State(
        project_root(), {"statements": dict(snapshot.statements()), "parameters": dict(snapshot.parameters())}
    )
    found = what_changes("`main`", state, state)
    assert found.headlines == ("Nothing that has a meaning for anybody's accounts.",)
    assert found.details == ()
    assert not [name for name, made in state.snapshot["statements"].items() if isinstance(made, str)]


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone with a project in a folder of it, and one commit."""
    project = tmp_path / "clone" / "project"
    for folder in ("notebooks", "params", "runbook"):
        (project / folder).mkdir(parents=True)
        (project / folder / "file").write_text("committed", encoding="utf-8")
    monkeypatch.setattr("runbook.parameters.__file__", str(project / "runbook" / "parameters.py"))
    identity = ["-c", "user.name=nobody", "-c", "user.email=nobody@example.com", "-c", "commit.gpgsign=false"]
    for command in (["init", "-q", "-b", "main"], ["add", "."], [*identity, "commit", "-q", "-m", "first"]):
        subprocess.run(["git", *command], cwd=tmp_path / "clone", check=True)
    return project


def stopped_in(folder: Path, folders: list[Path]) -> None:
    folders.append(folder)
    assert (folder / "params" / "file").read_text(encoding="utf-8") == "committed"
    raise KeyboardInterrupt


def test_a_revision_is_taken_out_beside_what_is_being_worked_on_and_gone_afterwards(repository: Path) -> None:
    (repository / "params" / "file").write_text("not committed", encoding="utf-8")
    folders: list[Path] = []
    with pytest.raises(KeyboardInterrupt), extracted("main") as folder:
        stopped_in(folder, folders)
    assert not folders[0].parent.exists()
    assert (repository / "params" / "file").read_text(encoding="utf-8") == "not committed"
    listed = subprocess.run(["git", "worktree", "list"], cwd=repository, capture_output=True, text=True, check=True)
    assert len(listed.stdout.splitlines()) == 1


@pytest.mark.parametrize(
    ("revision", "said"), [("mian", r"no revision `mian`\. Did you mean `main`\?"), ("--help", "no revision `--help`")]
)
def test_an_unknown_revision_is_bad_input(revision: str, said: str, repository: Path) -> None:
    with pytest.raises(ParameterError, match=said), extracted(revision):
        pass


def test_outside_of_a_repository_there_is_no_base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("notebooks", "params"):
        (tmp_path / folder).mkdir()
    monkeypatch.setattr("runbook.parameters.__file__", str(tmp_path / "runbook" / "parameters.py"))
    with pytest.raises(ParameterError, match="is not in a git repository"):
        base.described("main")
