"""The credentials of real organizations: what roles ask for, MFA, certificates and proxies."""

import hashlib
import json
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from moto.iam.models import iam_backends
from moto.sts.models import sts_backends

from runbook import credentials, mfa
from runbook.environment import AccountError, AddressError, Environment, Identity, load_environment
from runbook.parameters import ParameterError
from runbook.progress import in_parallel
from runbook.sandbox import server
from runbook.sandbox.server import Sandbox
from runbook.sessions import session_name
from tests import tls
from tests.command import Command
from tests.kernels import kernels
from tests.mfa import Device, administrators_client

if TYPE_CHECKING:
    from tests.faults.middleware import Middleware

MANAGEMENT, A, B, C = "999999999999", "111111111111", "222222222222", "333333333333"
ROLE = "arn:aws:iam::{account_id}:role/Runbook"
ACCOUNTS = f"{{a: {{account_id: '{A}'}}, b: {{account_id: '{B}'}}, c: {{account_id: '{C}'}}}}"

Write = Callable[..., Environment]


@pytest.fixture
def own(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """An environment of one's own, of three accounts in which a role `Runbook` is assumed by boto3's credentials."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name, value in server.variables(sandbox).items():
        if not name.startswith("AWS_ENDPOINT"):
            monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", sandbox.endpoint_url)  # for calls that botocore makes by itself

    def write(*lines: str, accounts: str = ACCOUNTS, endpoint: str = sandbox.endpoint_url) -> Environment:
        text = ["region: eu-west-1", f"accounts: {accounts}", f"endpoint_url: {endpoint}", f"role_arn: {ROLE}", *lines]
        (tmp_path / "own.yaml").write_text("\n".join(text))
        return load_environment(str(tmp_path / "own.yaml"))

    return write


@pytest.fixture
def roles(environment: Environment) -> Callable[..., None]:
    """Make the role `Runbook` in accounts a, b and c, which may do everything, with a trust policy's condition."""
    everything = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}

    def make(*actions: str, **condition: Any) -> None:
        statement = {
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:aws:iam::{MANAGEMENT}:root"},
            "Action": ["sts:AssumeRole", *actions],
            "Condition": condition,
        }
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        for account in (A, B, C):
            iam = environment.client("iam", account)
            iam.create_role(RoleName="Runbook", AssumeRolePolicyDocument=document)
            iam.put_role_policy(RoleName="Runbook", PolicyName="all", PolicyDocument=json.dumps(everything))

    return make


@pytest.fixture
def device(sandbox: Sandbox) -> Device:
    return Device.of(administrators_client(sandbox, "iam"), "administrator")


@pytest.fixture
def asked(device: Device, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Somebody reads the code from the device whenever it is asked for; the prompts."""
    prompts: list[str] = []

    def answer(prompt: str) -> str:
        prompts.append(prompt)
        return device.code()

    monkeypatch.setattr(mfa._way, "ask", answer)
    return prompts


@pytest.fixture
def mfa_profile(own: Write, device: Device, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A profile of a role that asks for MFA, as people have it in `~/.aws/config`; it may assume other roles."""
    iam = administrators_client(sandbox, "iam")
    condition = {"Bool": {"aws:MultiFactorAuthPresent": "true"}}
    trust = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{MANAGEMENT}:root"},
        "Action": "sts:AssumeRole",
        "Condition": condition,
    }
    allowed = {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*"}
    for name, statement in (("trust", trust), ("allowed", allowed)):
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        if name == "trust":
            iam.create_role(RoleName="Operator", AssumeRolePolicyDocument=document)
        else:
            iam.put_role_policy(RoleName="Operator", PolicyName="assume", PolicyDocument=document)
    (tmp_path / "config").write_text(
        f"[profile user]\naws_access_key_id = {sandbox.access_key_id}\n"
        f"aws_secret_access_key = {sandbox.secret_access_key}\n"
        f"[profile operator]\nrole_arn = arn:aws:iam::{MANAGEMENT}:role/Operator\nsource_profile = user\n"
        f"mfa_serial = {device.serial}\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    return "operator"


# --- what roles ask for ----------------------------------------------------------------------------------------------


def test_an_external_id_that_the_trust_policy_asks_for(own: Write, roles: Callable[..., None]) -> None:
    roles(StringEquals={"sts:ExternalId": "4711"})
    for lines in ((), ("external_id: other",)):
        with pytest.raises(AccountError) as error:
            own(*lines).identity(B)
        assert f"Account {B} (b) cannot be reached: assuming {ROLE.format(account_id=B)} failed." in str(error.value)
        assert "`external_id`" in str(error.value)
    assert own("external_id: '4711'").identity(B).account == B


def test_an_accounts_own_external_id_wins(own: Write, roles: Callable[..., None]) -> None:
    roles(StringEquals={"sts:ExternalId": "4711"})
    accounts = f"{{a: {{account_id: '{A}'}}, b: {{account_id: '{B}', external_id: '4711'}}}}"
    environment = own("external_id: other", accounts=accounts)
    assert environment.identity(B).account == B
    with pytest.raises(AccountError, match="cannot be reached"):
        environment.identity(A)


def test_source_identity_and_session_tags_that_the_trust_policy_asks_for(
    own: Write, roles: Callable[..., None]
) -> None:
    condition = {"sts:SourceIdentity": "jane", "aws:RequestTag/team": "security"}
    roles("sts:SetSourceIdentity", "sts:TagSession", StringEquals=condition)
    for lines in (("source_identity: jane",), ("session_tags: {team: security}",), ()):
        with pytest.raises(AccountError, match="cannot be reached"):
            own(*lines).identity(B)
    environment = own("source_identity: jane", "session_tags: {team: security}")
    assert environment.identity(B).account == B
    (session,) = [each for each in sts_backends[B]["aws"].assumed_roles if each.role_arn.endswith("/Runbook")]
    assert (session.source_identity, session.tags) == ("jane", {"team": "security"})  # type: ignore[attr-defined]


def test_a_session_is_named_after_who_works_and_in_which_run(own: Write, roles: Callable[..., None]) -> None:
    roles()
    environment = own()
    environment.works_in(Path("/elsewhere/20261201T155030Z-05-bucket-policy-one-bucket"))
    assert environment.identity(B).arn.endswith(
        "/Runbook/runbook-administrator-20261201T155030Z-05-bucket-policy-one-buck"
    )
    assert own().identity(B).arn.endswith("/Runbook/runbook-administrator")
    assert own("role_session_name: jane").identity(B).arn.endswith("/Runbook/jane")


@pytest.mark.parametrize(
    ("arn", "name"),
    [
        ("arn:aws:sts::1:assumed-role/AWSReservedSSO_Admin_0/jane@example.com", "runbook-jane@example.com-run"),
        ("arn:aws:iam::1:user/path/to/j.doe", "runbook-j.doe-run"),
        ("arn:aws:iam::1:root", "runbook-root-run"),
        (f"arn:aws:sts::1:assumed-role/Admin/{'x' * 64}", f"runbook-{'x' * 24}-run"),
    ],
)
def test_whoever_works_has_a_name_that_sts_takes(arn: str, name: str) -> None:
    assert session_name(Identity("1", arn), "run") == name
    assert len(session_name(Identity("1", arn), "run" * 40)) == 64
    assert session_name(Identity("1", arn), "batch/jobs/05 [b]") == f"{name[:-3]}batch-jobs-05--b-"


def test_a_session_lasts_as_long_as_the_file_says(own: Write, roles: Callable[..., None]) -> None:
    roles()
    own("duration_seconds: 1800").identity(B)
    (session,) = [each for each in sts_backends[B]["aws"].assumed_roles if each.role_arn.endswith("/Runbook")]
    end = session.expiration.replace(tzinfo=UTC)
    assert timedelta(minutes=29) < end - datetime.now(UTC) <= timedelta(minutes=30)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("external_id: x", "`external_id` is 'x', which is not an external id"),
        ("duration_seconds: 900", "`duration_seconds` is 900"),
        ("role_session_name: a b", "`role_session_name` is 'a b', which is not a session name"),
        ("source_identity: 'aws:x'", "`source_identity` is 'aws:x', which is not a source identity"),
        ("mfa_serial: me", "`mfa_serial` is 'me', which is not an MFA device"),
        ("session_tags: {'aws:x': y}", "which is not a tag's key"),
        ("session_tags: {x: [y]}", "`session_tags.x` is \\['y'\\]"),
    ],
)
def test_what_sts_would_not_take_is_refused_in_the_file(own: Write, line: str, told: str) -> None:
    with pytest.raises(ParameterError, match=f"own.yaml: .*{told}"):
        own(line)


def test_a_role_is_assumed_from_the_accounts_own_profile(
    own: Write, roles: Callable[..., None], mfa_profile: str, asked: list[str]
) -> None:
    roles()
    accounts = f"{{a: {{account_id: '{A}'}}, b: {{account_id: '{B}', profile: {mfa_profile}, role_arn: '{ROLE}'}}}}"
    assert "/Runbook/runbook-botocore-session" in own(accounts=accounts).identity(B).arn
    assert len(asked) == 1


def test_a_session_that_is_over_says_to_log_in(
    own: Write, roles: Callable[..., None], sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    roles()
    role = f"arn:aws:iam::{B}:role/OrganizationAccountAccessRole"
    sts = administrators_client(sandbox, "sts")
    granted = sts.assume_role(RoleArn=role, RoleSessionName="me")["Credentials"]
    for name, value in (
        ("AWS_ACCESS_KEY_ID", granted["AccessKeyId"]),
        ("AWS_SECRET_ACCESS_KEY", granted["SecretAccessKey"]),
        ("AWS_SESSION_TOKEN", granted["SessionToken"]),
    ):
        monkeypatch.setenv(name, value)
    sts_backends[B]["aws"].assumed_roles[-1].expiration = datetime(2020, 1, 1)  # noqa: DTZ001 (as moto has it)
    with pytest.raises(AccountError, match=r"Log in again \(for example `aws sso login"):
        own().identity(A)


# --- one session for each identity -----------------------------------------------------------------------------------


def test_all_accounts_share_the_credentials_that_they_start_from(
    own: Write, roles: Callable[..., None], mfa_profile: str, asked: list[str], faults: "Middleware"
) -> None:
    roles()
    environment = own(f"profile: {mfa_profile}")
    with faults.watching() as seen:
        found = in_parallel(environment.identity, [A, B, C])
    assert [identity.account for identity in found] == [A, B, C]
    assert asked == [f"Enter MFA code for arn:aws:iam::{MANAGEMENT}:mfa/administrator: "]
    of_the_source = [call for call in seen.calls if call.account == MANAGEMENT]
    assert [call.operation for call in of_the_source].count("GetCallerIdentity") == 1
    assert [call.operation for call in of_the_source].count("AssumeRole") == 4, "the source's role, and one an account"


# --- MFA -------------------------------------------------------------------------------------------------------------


def test_a_session_with_mfa_is_remembered_as_the_aws_cli_does(
    own: Write, roles: Callable[..., None], mfa_profile: str, device: Device, asked: list[str], tmp_path: Path
) -> None:
    roles()
    own(f"profile: {mfa_profile}").identity(B)
    (kept,) = (tmp_path / ".aws/cli/cache").iterdir()
    parameters = {"RoleArn": f"arn:aws:iam::{MANAGEMENT}:role/Operator", "SerialNumber": device.serial}
    assert kept.name == f"{hashlib.sha1(json.dumps(parameters, sort_keys=True).encode()).hexdigest()}.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert set(json.loads(kept.read_text())["Credentials"]) >= {"AccessKeyId", "SecretAccessKey", "SessionToken"}
    assert own(f"profile: {mfa_profile}").identity(C).account == C
    assert len(asked) == 1


def test_a_session_of_the_aws_clis_is_used(
    own: Write, roles: Callable[..., None], mfa_profile: str, device: Device, sandbox: Sandbox, asked: list[str]
) -> None:
    """Made as the CLI makes it, by botocore's own fetcher."""
    from botocore.credentials import AssumeRoleCredentialFetcher, Credentials

    roles()
    AssumeRoleCredentialFetcher(
        lambda service, **_: administrators_client(sandbox, service),
        Credentials(sandbox.access_key_id, sandbox.secret_access_key),
        f"arn:aws:iam::{MANAGEMENT}:role/Operator",
        {"SerialNumber": device.serial},
        lambda _: device.code(),
        credentials.cli_cache(),
    ).fetch_credentials()
    assert own(f"profile: {mfa_profile}").identity(B).account == B
    assert asked == []


def test_the_device_of_the_file_is_asked_once_for_all_roles(
    own: Write, roles: Callable[..., None], device: Device, asked: list[str], tmp_path: Path
) -> None:
    roles(Bool={"aws:MultiFactorAuthPresent": "true"})
    with pytest.raises(AccountError, match="`mfa_serial`"):
        own().identity(B)
    environment = own(f"mfa_serial: {device.serial}")
    assert [each.account for each in in_parallel(environment.identity, [A, B, C])] == [A, B, C]
    assert own(f"mfa_serial: {device.serial}").identity(B).account == B, "another process, which is not asked"
    assert asked == [f"Enter MFA code for {device.serial}: "]
    (kept,) = (tmp_path / ".aws/cli/cache").iterdir()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600


def test_a_wrong_code_is_the_answer_for_all_accounts_that_wait_and_can_be_entered_again(
    own: Write, roles: Callable[..., None], mfa_profile: str, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    roles()
    entered: list[str] = []

    def mistyped(prompt: str) -> str:
        entered.append(prompt)
        return "000000" if len(entered) == 1 else device.code()

    monkeypatch.setattr(mfa._way, "ask", mistyped)
    environment = own(f"profile: {mfa_profile}")

    def failure(account: str) -> str:
        with pytest.raises(AccountError) as error:
            environment.identity(account)
        return str(error.value)

    for told in in_parallel(failure, [A, B, C]):
        assert "invalid MFA one time pass code" in told
        assert "wait for the device's next one" in told
    assert len(entered) == 1
    monkeypatch.setattr(credentials, "FAILURE_SECONDS", 0)
    assert environment.identity(B).account == B


def test_where_nobody_can_be_asked_it_is_said_what_to_do(
    own: Write, roles: Callable[..., None], mfa_profile: str, device: Device
) -> None:
    """pytest has no terminal, and neither has a batch."""
    roles()
    with pytest.raises(AccountError) as error:
        own(f"profile: {mfa_profile}").identity(B)
    told = str(error.value)
    for part in ("own.yaml", device.serial, "Nobody can be asked", "`runbook environment test ", "in a terminal"):
        assert part in told, told


def test_no_code_is_asked_where_none_is_needed(own: Write, roles: Callable[..., None], faults: "Middleware") -> None:
    roles()
    with faults.watching() as seen:
        own().log_in()
    assert seen.calls == []


def test_the_sandbox_is_not_started_to_log_in() -> None:
    environment = load_environment("sandbox")
    environment.log_in()
    assert "_sandbox" not in vars(environment._sessions)


def test_logging_in_asks_once_for_each_profile_that_takes_a_code(
    own: Write, roles: Callable[..., None], mfa_profile: str, asked: list[str]
) -> None:
    accounts = f"{{a: {{account_id: '{A}', profile: {mfa_profile}}}, b: {{account_id: '{B}', profile: {mfa_profile}}}}}"
    environment = own(accounts=accounts)
    environment.log_in()
    environment.log_in()
    assert len(asked) == 1


def test_a_session_that_ends_takes_a_new_code(
    own: Write, roles: Callable[..., None], mfa_profile: str, asked: list[str], tmp_path: Path, device: Device
) -> None:
    roles()
    environment = own(f"profile: {mfa_profile}")
    environment.identity(B)
    source = environment._sessions._source(mfa_profile).credentials
    source._credentials._expiry_time = datetime.now(UTC)
    for kept in (tmp_path / ".aws/cli/cache").iterdir():
        kept.unlink()
    iam_backends[MANAGEMENT]["aws"].virtual_mfa_devices[device.serial].last_step = -1  # type: ignore[attr-defined]
    assert environment.identity(C).account == C
    assert len(asked) == 2


def test_a_batch_asks_once_and_before_its_workers_start(
    own: Write,
    roles: Callable[..., None],
    mfa_profile: str,
    asked: list[str],
    runbook: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Workers and kernels, which have no terminal, find the session."""
    roles()
    own(f"profile: {mfa_profile}")
    jobs = {name: {"notebook": "02-iam-role", "parameters": {"accounts": [name]}} for name in "bc"}
    fleet = {"environment": str(tmp_path / "own.yaml"), "jobs": jobs}
    (tmp_path / "two.yaml").write_text(json.dumps(fleet))
    ended = runbook("batch", str(tmp_path / "two.yaml"), "--runs", str(tmp_path / "runs"), "--workers", "2")
    assert ended.status == 0, ended.said
    assert len(asked) == 1
    (kept,) = (tmp_path / ".aws/cli/cache").iterdir()
    kept.unlink()
    monkeypatch.setattr(mfa._way, "ask", mfa._ask_in_terminal)
    ended = runbook("batch", str(tmp_path / "two.yaml"), "--runs", str(tmp_path / "others"))
    assert ended.status == 1
    assert "Nobody can be asked for it here" in ended.err
    assert not (tmp_path / "others").exists(), "it ends before anything is begun"


BEGINS = "from runbook.display import start_here; start = start_here(environment={path!r}); "
CELLS = {
    "in the main thread": "print(start)",
    "in threads": (
        "from runbook.progress import in_parallel; "
        "from runbook.environments import _access; from functools import partial; "
        "print(*in_parallel(partial(_access, start.environment), ['a', 'b', 'c']), sep='\\n')"
    ),
}


@pytest.mark.parametrize("where", CELLS)
def test_a_cell_asks_in_a_password_field_and_headless_says_what_to_do(
    where: str, own: Write, roles: Callable[..., None], mfa_profile: str, device: Device, tmp_path: Path
) -> None:
    """In a real kernel, as JupyterLab and papermill talk to it."""
    roles()
    own(f"profile: {mfa_profile}")
    code = BEGINS.format(path=str(tmp_path / "own.yaml")) + CELLS[where]
    requests: list[Any] = []
    told: list[str] = []

    def hear(message: Any) -> None:
        told.append(message["content"].get("text", ""))

    with kernels.kernel() as running:

        def answer(message: Any) -> None:
            requests.append(message["content"])
            running.client.input(device.code())

        running.client.execute_interactive(code, allow_stdin=False, output_hook=hear, timeout=60)
        headless = "".join(told)
        running.client.execute_interactive(code, allow_stdin=True, stdin_hook=answer, output_hook=hear, timeout=60)
    lines = [line for line in headless.splitlines() if line.startswith("✗ ")]
    assert ["Nobody can be asked for it here." in line for line in lines] == [True] * 3, "a line for each account"
    assert requests == [{"prompt": f"Enter MFA code for {device.serial}: ", "password": True}]
    assert f"✓ b ({B}): reached as assumed-role/Runbook/" in "".join(told)


def test_a_damaged_file_of_the_cache_is_no_reason_to_stop(
    own: Write, roles: Callable[..., None], mfa_profile: str, asked: list[str], device: Device, tmp_path: Path
) -> None:
    roles()
    own(f"profile: {mfa_profile}").identity(B)
    (kept,) = (tmp_path / ".aws/cli/cache").iterdir()
    for damaged in ("", "{}", "[]", "null"):
        kept.write_text(damaged)
        iam_backends[MANAGEMENT]["aws"].virtual_mfa_devices[device.serial].last_step = -1  # type: ignore[attr-defined]
        assert own(f"profile: {mfa_profile}").identity(B).account == B
    assert len(asked) == 5


@pytest.mark.parametrize(("entered", "told"), [("", "No code was entered"), ("12345x", "six digits")])
def test_what_is_no_code_is_not_sent(entered: str, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mfa._way, "ask", lambda _: entered)
    with pytest.raises(mfa.NoCode, match=told):
        mfa.ask("code: ")
    monkeypatch.setattr(mfa._way, "ask", lambda _: " 123456\n")
    assert mfa.ask("code: ") == "123456"


def test_a_terminal_asks_and_shows_nothing_of_the_code() -> None:
    """A pseudo-terminal, as a shell has it."""
    import os
    import pty

    primary, secondary = pty.openpty()
    code = "from runbook import mfa; print('got', mfa.ask('Enter MFA code for me\\x1b: ') == '123456')"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=secondary, stdout=secondary, stderr=secondary, start_new_session=True
    ) as running:
        os.close(secondary)
        shown = b""
        while b"code for" not in shown:
            shown += os.read(primary, 1024)
        os.write(primary, b"123456\n")
        running.wait()
        try:
            while data := os.read(primary, 1024):
                shown += data
        except OSError:  # the other end is closed
            pass
        os.close(primary)
    assert b"got True" in shown
    assert b"123456" not in shown
    assert b"Enter MFA code for me\\x1b: " in shown


# --- certificates and proxies ----------------------------------------------------------------------------------------


@pytest.fixture
def private(sandbox: Sandbox, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The sandbox behind https with a certificate of a private CA: its address, and the CA's certificate."""
    ca = tls.make_certificates(tmp_path)
    with tls.https(tmp_path / "server.pem", sandbox.endpoint_url) as address:
        yield address, ca


CERTIFICATE = "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0123456789abcdef0123456789abcdef.pem"


def test_a_private_ca_is_trusted_where_botocore_would(
    own: Write,
    roles: Callable[..., None],
    private: tuple[str, Path],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    sandbox: Sandbox,
) -> None:
    """Also for the certificate that SNS signs with, and where a role is assumed from a profile."""
    roles()
    address, ca = private
    untrusted = own(endpoint=address)
    with pytest.raises(AccountError, match=r"certificate is not trusted here(.|\n)*AWS_CA_BUNDLE"):
        untrusted.identity(B)
    with pytest.raises(AddressError, match=r"certificate is not trusted here(.|\n)*AWS_CA_BUNDLE"):
        untrusted.fetch(CERTIFICATE)

    (tmp_path / "config").write_text(
        f"[profile user]\naws_access_key_id = {sandbox.access_key_id}\n"
        f"aws_secret_access_key = {sandbox.secret_access_key}\nca_bundle = {ca}\n"
    )
    with monkeypatch.context() as patched:
        patched.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
        _reaches(own("profile: user", endpoint=address))
    for variable in ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"):
        with monkeypatch.context() as patched:
            patched.setenv(variable, str(ca))
            _reaches(own(endpoint=address))


def _reaches(environment: Environment) -> None:
    assert environment.identity(B).account == B
    with pytest.raises(AddressError, match="answers with status") as error:
        environment.fetch(CERTIFICATE)
    assert error.value.refused, "somebody answered, over a connection that is trusted"


def test_a_proxy_is_used_as_botocore_does(
    own: Write, roles: Callable[..., None], private: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    roles()
    address, ca = private
    asked: list[str] = []
    monkeypatch.setenv("AWS_CA_BUNDLE", str(ca))
    for name in ("no_proxy", "NO_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    with tls.proxy(asked) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        environment = own(endpoint=address)
        environment.identity(B)
        through = len(asked)
        with pytest.raises(AddressError, match="answers with status"):
            environment.fetch(CERTIFICATE)
    assert through
    assert len(asked) > through
    assert {request.rpartition(" ")[0] for request in asked} == {f"CONNECT {address.removeprefix('https://')}"}
