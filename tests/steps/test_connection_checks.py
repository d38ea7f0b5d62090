"""What steps 02 and 03 ask before they connect anybody; and the table of those who are connected."""

import pytest

from runbook.aws.cloudformation import Stack, read_stack
from runbook.aws.connections import Connection, read_connections, role_name
from runbook.checks import Status
from runbook.environment import Environment
from runbook.steps.allowlist_state import Lists
from runbook.steps.connection_checks import allowlist_checks, let_in_by, not_account_a, version_check
from runbook.untrusted import Untrusted

A, B, C, D = "111111111111", "222222222222", "333333333333", "444444444444"


def stack(engine: str, version: str) -> Stack:
    outputs = {"Engine": engine, "Version": version}
    return Stack("bucketav", "CREATE_COMPLETE", "arn:stack", parameters={}, outputs=outputs)


@pytest.mark.parametrize(
    ("engine", "version", "expected"),
    [
        ("clamav", "2.19.0", Status.OK),
        ("clamav", "3.0.0", Status.OK),
        ("clamav", "2.18.9", Status.FAILED),
        ("sophos", "2.11.0", Status.OK),
        ("sophos", "2.10.7", Status.FAILED),
        ("clamav", "unknown", Status.FAILED),
        ("other", "9.0.0", Status.FAILED),
    ],
)
def test_an_older_version_is_told_to_update(engine: str, version: str, expected: Status) -> None:
    check = version_check(stack(engine, version), needed=True)
    assert check.status is expected
    if (engine, version) == ("clamav", "2.18.9"):
        assert check.found == "Powered by ClamAV, version 2.18.9: it cannot, 2.19.0 is needed."
        assert "follow the Update Guide of the product documentation" in check.remedy
    assert version_check(stack(engine, version), needed=False).status is not Status.FAILED


def test_whoever_is_not_let_in_is_told_the_command_that_does_it_for_all_of_them(environment: Environment) -> None:
    lists = Lists((B,), ())
    listed, one, other = allowlist_checks(environment, lists, (B, C, D), {})
    assert (listed.status, listed.found) == (Status.OK, "Yes, by its id.")
    assert one.status is other.status is Status.FAILED
    assert one.subject == f"{C} (c)"
    assert (
        f"""`runbook run 01-allowlist --environment sandbox -p accounts '["{C}", "{D}"]' --apply`, or """
        f"""set `accounts = ["{C}", "{D}"]` and """
        "`apply = True` in its notebook." in one.remedy
    )


def test_an_organization_lets_its_members_in_and_nobody_else(environment: Environment) -> None:
    lists = Lists((), ("o-exampleorg",))
    member, stranger, unknown = allowlist_checks(
        environment, lists, (B, C, D), {B: "o-exampleorg", C: "o-anotherone", D: None}
    )
    assert (member.status, member.found) == (Status.OK, "Yes, with o-exampleorg.")
    assert stranger.status is unknown.status is Status.FAILED
    assert "Its organization, o-anotherone, is not on the list either." in stranger.found
    assert let_in_by(Lists((), ("o-exampleorg",)), B, None) is None


def test_account_a_is_not_connected_to_itself(environment: Environment) -> None:
    (problem,) = not_account_a(environment, [B, A])
    assert "`111111111111 (a)` runs bucketAV" in problem
    assert not list(not_account_a(environment, [B]))


def test_the_table_of_connections_is_read_as_it_stands(environment: Environment) -> None:
    connections = {each.account: each for each in read_connections(environment)}
    found = connections[C]
    assert found.region == environment.region
    assert found.stack_id.raw.startswith(f"arn:aws:cloudformation:eu-west-1:{C}:stack/{found.stack_name}/")
    assert found.role_name.raw == role_name(read_stack(environment).name) == "bucketav-AccountConnection"
    assert found.stack_version
    assert found.created_at
    environment.client("dynamodb", A).put_item(
        TableName="bucketav-AccountConnection",
        Item={"account_connection_id": {"S": "x"}, "account_id": {"S": D}, "created_at": {"N": "17"}},
    )
    (bare,) = [each for each in read_connections(environment) if each.account == D]
    assert bare == Connection(account=D, region="", created_at=Untrusted("17")), "what an item does not say is empty"
