"""Environment files as the dialog writes them, and the test of access; on the command line and in a terminal."""

import json
import os
import pty
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runbook import environments, sessions
from runbook import run as runs
from runbook.aws_errors import AwsRefused
from runbook.environment import Environment, EnvironmentFile, load_environment
from runbook.environments import Values, as_yaml, check_access, draft, organization_members, parse_account, save
from runbook.parameters import ParameterError, build, mapping_in, project_root
from runbook.plan import Plan
from runbook.sandbox import server
from runbook.sandbox.server import Sandbox
from runbook.steps.iam_role import IamRole
from runbook.steps.scenarios import make_step
from tests.command import Command

if TYPE_CHECKING:
    from tests.faults.middleware import Middleware

MANAGEMENT, A, B, CLOSED, F = "999999999999", "111111111111", "222222222222", "666666666666", "777777777777"
MEMBER = "arn:aws:iam::{account_id}:role/OrganizationAccountAccessRole"


@pytest.fixture
def own(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The path of an environment that is to be written; boto3's default credentials reach the sandbox."""
    for name, value in server.variables(sandbox).items():
        if name != server.VARIABLE:
            monkeypatch.setenv(name, value)
    return str(tmp_path / "own.yaml")


def words(name: str, *accounts: str) -> list[str]:
    given = ["--region", "eu-west-1", "--role-arn", MEMBER]
    return ["environment", "new", name, *given, *(word for each in accounts for word in ("--account", each))]


# --- on the command line ---------------------------------------------------------------------------------------------


def test_three_accounts_of_which_one_is_out_of_reach_and_the_others_are_connected_and_undone(
    own: str, runbook: Command, tmp_path: Path
) -> None:
    ended = runbook(*words(own, f"a={A}", f"closed={CLOSED}", f"b={B}", f"f={F}"))
    assert ended.status == 0, ended.said
    a, closed, b, f, written, following = ended.out.splitlines()
    assert a == f"✓ a ({A}): reached as assumed-role/OrganizationAccountAccessRole/runbook-administrator"
    assert closed.startswith(f"✗ closed ({CLOSED}): Account {CLOSED} (closed) cannot be reached: assuming ")
    assert "`external_id`" in closed, "what to do"
    assert b == f"✓ b ({B}): reached as assumed-role/OrganizationAccountAccessRole/runbook-administrator"
    assert f == b.replace(f"b ({B})", f"f ({F})")
    assert written == f"Written: {own}"
    assert following == f"Next: runbook run 00-start-here --environment {own} -p accounts '[\"closed\"]'"

    tested = runbook("environment", "test", own)
    assert (tested.status, tested.out.splitlines()) == (1, [a, closed, b, f])

    environment = load_environment(own)
    step = make_step(IamRole, "", {"accounts": ["b", "f"]})

    def planned(environment: Environment) -> Plan:
        return step.plan(environment, step.observe(environment))

    plan = planned(environment)
    assert {change.resource.account for change in plan.changes} == {B, F}
    runs.apply(plan, environment, tmp_path / "run")
    assert not planned(load_environment(own)).changes, "both are connected"
    assert len(runs.undo(tmp_path / "run", load_environment(own)).restored) == len(plan.changes)
    assert planned(load_environment(own)).fingerprint == plan.fingerprint


def test_exit_status_is_0_when_all_are_reached(own: str, runbook: Command) -> None:
    assert runbook(*words(own, f"a={A}", f"b={B}")).status == 0
    assert runbook("environment", "test", own).status == 0
    assert runbook("environment", "test", "nowhere").status == 2


def test_the_accounts_of_the_organization_are_listed(own: str, runbook: Command) -> None:
    assert runbook(*words(own, f"a={A}"), "--organization").status == 0
    accounts = {name: entry.account_id for name, entry in load_environment(own).file.accounts.items()}
    assert (accounts["a"], accounts["management"], accounts["uploads"], accounts["media"]) == (A, MANAGEMENT, B, F)
    assert "antivirus" not in accounts, "account a has its name already"
    assert "000000000000" not in accounts.values()


def test_accounts_that_cannot_be_listed_are_an_error_before_anything_is_written(
    own: str, runbook: Command, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.mfa import administrators_client

    role = f"arn:aws:iam::{B}:role/OrganizationAccountAccessRole"
    granted = administrators_client(sandbox, "sts").assume_role(RoleArn=role, RoleSessionName="me")["Credentials"]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", granted["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", granted["SecretAccessKey"])
    monkeypatch.setenv("AWS_SESSION_TOKEN", granted["SessionToken"])
    ended = runbook(*words(own, f"a={A}"), "--organization")
    assert ended.status == 1
    assert f"cannot be listed by account {B}" in ended.err
    assert not Path(own).exists()


def test_a_file_is_never_overwritten_without_being_told(own: str, runbook: Command) -> None:
    Path(own).write_text("mine")
    ended = runbook(*words(own, f"a={A}"))
    assert (ended.status, Path(own).read_text()) == (2, "mine")
    assert f"{own}: exists." in ended.err
    assert ended.out == "", "nothing was asked or tested"
    assert runbook(*words(own, f"a={A}"), "--replace").status == 0
    assert load_environment(own).account_a == A


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["--account", f"a={A}"], "--region cannot be left out"),
        (["--region", "eu-west-1"], "--account a=ACCOUNT_ID cannot be left out"),
        (["--region", "eu-west-1", "--account", "a=1"], "`accounts.a.account_id` is '1', which has 1 digits"),
        (["--region", "eu-west-1", "--account", f"a={A},profil=x"], "Did you mean `profile`?"),
        (["--region", "eu-west-1", "--account", A], "write NAME=ACCOUNT_ID"),
        (["--region", "eu-west-1", "--account", f"a={A}", "--account", f"a={B}"], "'a': is given twice"),
        (["--region", "europe", "--account", f"a={A}"], "`region` is 'europe'"),
        (["--region", "eu-west-1", "--account", f"a={A}", "--role-arn", "Admin"], "`role_arn` is 'Admin'"),
    ],
)
def test_bad_answers_are_named_and_nothing_is_written(
    given: list[str], told: str, runbook: Command, tmp_path: Path
) -> None:
    ended = runbook("environment", "new", str(tmp_path / "own.yaml"), *given)
    assert ended.status == 2
    assert told in ended.err
    assert list(tmp_path.iterdir()) == []


def test_the_sandboxs_own_file_is_not_replaced(runbook: Command) -> None:
    before = (project_root() / "params/environments/sandbox.yaml").read_text()
    ended = runbook(*words("sandbox", f"a={A}"), "--replace")
    assert ended.status == 2
    assert "is the sandbox's own" in ended.err
    assert (project_root() / "params/environments/sandbox.yaml").read_text() == before


def test_own_environments_are_ignored_by_git_and_the_sandboxs_is_not() -> None:
    """Account ids of a company do not belong into a public repository."""

    def ignored(path: str) -> bool:
        return subprocess.run(["git", "check-ignore", "-q", path], cwd=project_root(), check=False).returncode == 0

    assert ignored("params/environments/production.yaml")
    assert not ignored("params/environments/sandbox.yaml")


# --- in a terminal ---------------------------------------------------------------------------------------------------


def test_the_dialog_asks_for_what_no_option_says(own: str, sandbox: Sandbox, tmp_path: Path) -> None:
    """In a pseudo-terminal, as people type it; a wrong answer is asked again."""
    answers = {
        "Region bucketAV runs in": "europe\n",
        "`region` is 'europe'": "eu-west-1\n",
        "Name of bucketAV's stack": "\n",
        "AWS profile to start from": "\n",
        "Role to assume": f"{MEMBER}\n",
        "External id": "\n",
        "MFA device": "\n",
        "Account that runs bucketAV": f"{A}\n",
        "List the accounts of the organization?": "y\n",
        f"{F} media (media)": "",
        "Which, by id or name?": f"uploads {F}\n",
        f"Written: {own}": "",
    }
    environment = {**os.environ, **server.variables(sandbox), "COLUMNS": "200"}
    environment.pop(server.VARIABLE)
    environment.pop("AWS_DEFAULT_REGION")
    shown = type_in_terminal([*words(own)[:3]], answers, environment)
    assert f"✓ media ({F}): reached as" in shown
    accounts = {name: entry.account_id for name, entry in load_environment(own).file.accounts.items()}
    assert accounts == {"a": A, "uploads": B, "media": F}


def type_in_terminal(arguments: list[str], answers: dict[str, str], environment: dict[str, str]) -> str:
    """Type each answer once its question is there; all that was shown. Ends with an error when a question is not."""
    primary, secondary = pty.openpty()
    command = [sys.executable, "-c", "from runbook.cli import main; main()", *arguments]
    with subprocess.Popen(
        command, stdin=secondary, stdout=secondary, stderr=secondary, start_new_session=True, env=environment
    ) as running:
        os.close(secondary)
        watchdog = threading.Timer(60, running.kill)
        watchdog.start()
        shown = ""
        try:
            for question, answer in answers.items():
                while question not in shown:
                    shown += os.read(primary, 4096).decode()
                os.write(primary, answer.encode())
            while data := os.read(primary, 4096):
                shown += data.decode()
        except OSError:  # the other end is closed
            pass
        finally:
            watchdog.cancel()
            os.close(primary)
    assert all(question in shown for question in answers), shown
    return shown


# --- the parts of it -------------------------------------------------------------------------------------------------


def test_wrong_profiles_and_expired_sessions_are_a_line_each_and_stop_nothing(
    own: str, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, faults: "Middleware"
) -> None:
    from tests.faults.rules import Call, Fault, FromThen

    (tmp_path / "config").write_text("[profile broken]\nregion = eu-west-1\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    accounts = {
        "a": {"account_id": A},
        "b": {"account_id": B, "profile": "nobody"},
        "f": {"account_id": F, "profile": "broken"},
    }
    values = {"region": "eu-west-1", "role_arn": MEMBER, "accounts": accounts}
    a, b, f = map(str, check_access(draft(own, values)))
    assert a.startswith(f"✓ a ({A})")
    assert "The config profile (nobody) could not be found" in b
    assert "Unable to locate credentials" in f
    assert "aws sso login" in f
    assert all("\n" not in line for line in (a, b, f))
    first = Call("sts", "GetCallerIdentity", MANAGEMENT, "", 1)
    with faults.watching(FromThen(first, Fault.EXPIRED)) as seen:
        (line, *_) = map(str, check_access(draft(own, values)))
    assert seen.met
    assert line.startswith(f"✗ a ({A})")
    assert "Log in again" in line


def test_an_organization_is_listed_by_whoever_may(own: str) -> None:
    values = {"region": "eu-west-1", "role_arn": MEMBER, "accounts": {"a": {"account_id": A}}}
    members = {member.account: member.name for member in organization_members(draft(own, values))}
    assert members[A] == "a"
    assert members[MANAGEMENT] == "management"
    assert members[B] == "uploads"
    assert len({name.lower() for name in members.values()}) == len(members)


def test_members_get_names_that_an_environment_can_have(own: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from runbook.aws.organizations import Organization
    from runbook.untrusted import Untrusted

    titles = {"1" * 12: "A", "2" * 12: "Media & Co. (prod)", "3" * 12: "media Co-prod", "4" * 12: "名前", "5" * 12: "x"}
    found = Organization("o-1", {account: (Untrusted(title), "ACTIVE") for account, title in titles.items()})
    monkeypatch.setattr(environments, "read_organization", lambda *_: found)
    values = {"region": "eu-west-1", "accounts": {"a": {"account_id": "9" * 12}, "X": {"account_id": "8" * 12}}}
    names = [member.name for member in organization_members(draft(own, values))]
    assert names == ["account-111111111111", "Media-Co-prod", "account-333333333333", "account-444444444444",
                     "account-555555555555"]  # fmt: skip


@pytest.mark.parametrize(
    "values",
    [
        {"region": "eu-west-1", "accounts": {"a": {"account_id": "012345678901"}}},
        {"region": "eu-west-1", "accounts": {"a": {"account_id": A}, "no": {"account_id": "012345670123"}}},
        {
            "region": "us-gov-west-1",
            "stack_name": "bucketav-2",
            "profile": "on",
            "role_arn": MEMBER,
            "external_id": "0123",
            "mfa_serial": "arn:aws:iam::999999999999:mfa/me",
            "accounts": {"a": {"account_id": A, "profile": "it's: a, {profile}", "role_arn": MEMBER}},
        },
    ],
)
def test_what_is_written_is_read_as_it_is_meant(values: Values) -> None:
    assert build(EnvironmentFile, mapping_in(as_yaml(values), "x"), "x") == build(EnvironmentFile, values, "x")
    for entry in values["accounts"].values():
        assert json.dumps(entry["account_id"]) in as_yaml(values), "in quotes"


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"external_id": "4711"}, "`external_id` is for roles, and there is no `role_arn`"),
        ({"session_tags": {"team": "x"}}, "`session_tags` is for roles, and there is no `role_arn`"),
        (
            {"role_arn": MEMBER, "accounts": {"a": {"account_id": A, "profile": "x", "external_id": "4711"}}},
            "`accounts.a.external_id` is for a role, and the account is reached by none",
        ),
    ],
)
def test_what_is_for_roles_takes_a_role(values: Values, told: str) -> None:
    """It would do nothing, while somebody relies on it."""
    with pytest.raises(ParameterError, match=told):
        draft("own", {"region": "eu-west-1", "accounts": {"a": {"account_id": A}}, **values})


def test_an_account_is_given_in_a_line() -> None:
    assert parse_account(f"b={B}, profile=x ,external_id=1/2=3") == (
        "b",
        {"account_id": B, "profile": "x", "external_id": "1/2=3"},
    )
    for text in ("b", f"b={B},profile", ""):
        with pytest.raises(ParameterError, match="write NAME=ACCOUNT_ID"):
            parse_account(text)


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"region": "eu-west-1", "accounts": {"a": {"account_id": A}}}
    path = save(str(tmp_path / "own.yaml"), values)
    before = path.read_text()

    def fails(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fails)
    for name, replace in (("own.yaml", True), ("new.yaml", False)):
        with pytest.raises(Exception, match="No space left"):
            save(str(tmp_path / name), {**values, "region": "eu-central-1"}, replace=replace)
    assert [each.name for each in tmp_path.iterdir()] == ["own.yaml"]
    assert path.read_text() == before


def test_what_aws_refuses_is_a_line_as_well(own: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AwsRefused("AWS refused a call:\nfor a reason.")

    monkeypatch.setattr(sessions.Sessions, "verify", refuse)
    (line,) = map(str, check_access(draft(own, {"region": "eu-west-1", "accounts": {"a": {"account_id": A}}})))
    assert line == f"✗ a ({A}): AWS refused a call: for a reason."
