"""How accounts are reached, and what is said when one is not, or is not the one it should be."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from runbook.environment import AccountError, Environment, Refusal, load_environment
from runbook.parameters import ParameterError
from runbook.sandbox import server
from runbook.sandbox.server import Sandbox

MEMBER = "arn:aws:iam::{account_id}:role/OrganizationAccountAccessRole"
Write = Callable[..., Environment]


@pytest.fixture
def with_accounts(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """An environment of one's own, which finds the sandbox by its endpoint and boto3's default credentials."""
    for name, value in server.variables(sandbox).items():
        monkeypatch.setenv(name, value)

    def write(accounts: str, *lines: str) -> Environment:
        text = [f"accounts: {accounts}", "region: eu-west-1", f"endpoint_url: {sandbox.endpoint_url}", *lines]
        (tmp_path / "own.yaml").write_text("\n".join(text))
        return load_environment(str(tmp_path / "own.yaml"))

    return write


def test_what_is_not_allowed_is_noted_whoever_deals_with_it(environment: Environment) -> None:
    s3 = environment.client("s3", "222222222222")
    with environment.noting_refusals() as noted, suppress(ClientError):
        s3.get_bucket_policy(Bucket="archive-c")  # says in its answer what it takes
    with environment.noting_refusals() as of_a_head, suppress(ClientError):
        s3.head_bucket(Bucket="archive-c")  # has no answer to say it in
    with environment.noting_refusals() as nothing, suppress(ClientError):
        s3.get_bucket_policy(Bucket="uploads-b")  # is allowed; there is none
    assert noted == {Refusal("222222222222", "s3:GetBucketPolicy")}
    assert of_a_head == {Refusal("222222222222", "s3:ListBucket")}
    assert nothing == set()


def test_accounts_are_reached_by_the_default_role_and_the_first_one_directly(with_accounts: Write) -> None:
    environment = with_accounts(
        "{a: {account_id: '111111111111'}, management: {account_id: '999999999999'}}", f"role_arn: {MEMBER}"
    )
    assert environment.identity("111111111111").arn.endswith(
        "assumed-role/OrganizationAccountAccessRole/runbook-administrator"
    )
    assert environment.identity("222222222222").account == "222222222222", "an account that the file does not list"
    assert environment.identity("999999999999").arn.endswith("user/administrator"), "its own credentials, no role"


def test_an_account_may_have_a_role_of_its_own(with_accounts: Write) -> None:
    own = "arn:aws:iam::111111111111:role/NoSuchRole"
    environment = with_accounts(f"{{a: {{account_id: '111111111111', role_arn: '{own}'}}}}", f"role_arn: {MEMBER}")
    with pytest.raises(AccountError) as error:
        environment.identity("111111111111")
    message = str(error.value)
    assert f"Account 111111111111 (a) cannot be reached: assuming {own} failed." in message
    assert "The role has to exist and to trust arn:aws:iam::999999999999:user/administrator" in message
    assert "own.yaml" in message


def test_credentials_for_another_account_are_noticed_before_anything_is_called(with_accounts: Write) -> None:
    environment = with_accounts("{a: {account_id: '111111111111'}}")
    with pytest.raises(AccountError, match="belong to account 999999999999"):
        environment.identity("111111111111")


def test_a_profile_that_does_not_exist_is_named(with_accounts: Write) -> None:
    environment = with_accounts("{a: {account_id: '111111111111', profile: nobody}}")
    with pytest.raises(
        AccountError,
        match=r"account 111111111111 \(a\) cannot be used\. The config profile \(nobody\) could not be found",
    ):
        environment.identity("111111111111")


def test_credentials_that_are_not_accepted_say_how_to_log_in(
    with_accounts: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = with_accounts("{a: {account_id: '111111111111'}}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAUNKNOWN000000000")
    with pytest.raises(AccountError, match=r"InvalidClientTokenId(.|\n)*aws sso login"):
        environment.identity("111111111111")


def test_the_sandbox_needs_nothing_of_this_machine(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "AWS_PROFILE": "nobody",
        "AWS_ACCESS_KEY_ID": "AKIAUNKNOWN000000000",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        server.VARIABLE: sandbox.endpoint_url,
    }.items():
        monkeypatch.setenv(name, value)
    environment = load_environment("sandbox")
    assert environment.identity(environment.account_id("b")).account == "222222222222"
    assert environment.partition == "aws"


def test_a_shared_sandbox_that_is_gone_is_an_error_and_not_a_new_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(server.VARIABLE, "http://127.0.0.1:1")
    environment = load_environment("sandbox")
    with pytest.raises(AccountError, match="no sandbox answers there"):
        environment.identity(environment.account_a)


def test_accounts_have_names_and_an_unknown_one_says_which_there_are(environment: Environment) -> None:
    assert environment.account_id("b") == "222222222222"
    assert environment.account_id("555555555555") == "555555555555"
    assert environment.account_name("222222222222") == "222222222222 (b)"
    with pytest.raises(AccountError, match=r"no account `managment`.*Did you mean `management`"):
        environment.account_id("managment")


def test_a_client_is_made_once(environment: Environment) -> None:
    assert environment.client("s3", "222222222222") is environment.client("s3", "222222222222")
    assert environment.client("s3", "222222222222") is not environment.client("s3", "333333333333")


def test_a_role_that_may_not_be_assumed_is_an_error_that_names_it(environment: Environment) -> None:
    with pytest.raises(AccountError, match="PartnerExchange cannot be assumed from account 222222222222"):
        environment.assume("arn:aws:iam::444444444444:role/PartnerExchange", "222222222222")


def test_an_environment_that_brings_two_endpoints_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "two.yaml"
    path.write_text(
        "sandbox: true\nendpoint_url: http://x\nregion: eu-west-1\naccounts: {a: {account_id: '111111111111'}}"
    )
    with pytest.raises(ParameterError, match="brings its own endpoint"):
        load_environment(str(path))
