"""What people type: each mistake ends in an error that says where, what was found, and what was meant."""

from collections.abc import Callable
from pathlib import Path

import pytest

from runbook.environment import EnvironmentFile, environment_names, load_environment
from runbook.parameters import (
    BucketName,
    ParameterError,
    Parameters,
    Several,
    build,
    load_yaml,
    project_root,
    resolve_path,
)
from runbook.steps import STEPS, step_class
from runbook.steps.bucket_policy import BucketPolicy
from runbook.steps.inventory import read_inventory, with_account_ids
from runbook.steps.scenarios import examine_file, load_scenario, make_step, read_parameter_file, scenario_names

Write = Callable[..., Path]


class Buckets(Parameters):
    bucket: BucketName
    others: Several[str] = ()


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str, name: str = "file.yaml") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


def message_of(error: pytest.ExceptionInfo[ParameterError]) -> str:
    return str(error.value)


# --- account ids -----------------------------------------------------------------------------------------------------

ENVIRONMENT = "region: eu-west-1\nrole_arn: arn:aws:iam::{account_id}:role/Admin\naccounts:\n  a: {account_id: %s}\n"


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("012345670123", "is the number 1402433619, not an account id. Unquoted, YAML reads 012345670123 as octal."),
        ("012345670123", 'Write `account_id: "012345670123"`.'),
        ("123456789012", 'is the number 123456789012, not an account id. Write `account_id: "123456789012"`.'),
        ("12345678901", "A leading zero is lost without quotes"),
        ('"12345678901"', "is '12345678901', which has 11 digits. An account id has 12 digits."),
        ('"12345678901a"', "which is not a number of 12 digits"),
        ("1.2e+11", "is the number 120000000000.0, not an account id"),
    ],
)
def test_a_damaged_account_id_is_explained(written: str, said: str, write: Write) -> None:
    path = write(ENVIRONMENT % written)
    with pytest.raises(ParameterError) as error:
        load_environment(str(path))
    assert said in message_of(error)
    assert "file.yaml: `accounts.a.account_id`" in message_of(error)


def test_an_account_id_in_quotes_keeps_its_leading_zero(write: Write) -> None:
    environment = load_environment(str(write(ENVIRONMENT % '"012345670123"')))
    assert environment.account_a == "012345670123"


# --- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("region: [", "is not valid YAML"),
        ("- a\n- b\n", "holds a list; `key: value` lines were expected"),
        ("region: eu-west-1\nregion: eu-west-2\n", "`region` stands twice"),
    ],
)
def test_a_damaged_file_is_refused(text: str, said: str, write: Write) -> None:
    with pytest.raises(ParameterError, match=said):
        load_yaml(write(text))


def test_a_file_that_is_not_there_is_named_with_the_one_that_was_meant() -> None:
    with pytest.raises(
        ParameterError, match=r"params/environments/sandbx\.yaml: cannot be read .*Did you mean `sandbox`\?"
    ):
        load_environment("sandbx")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("regoin: eu-west-1", "`regoin` is not known here. Did you mean `region`?"),
        ("region: eu_west_1", "`region` is 'eu_west_1', which is not a Region such as `eu-west-1`."),
        ("stack_name: 5", '`stack_name` is 5, not text. Write `stack_name: "5"`.'),
        ("role_arn: arn:aws:iam::{account}:role/x", "the account may be `{account_id}`"),
        ("sandbox: true\nendpoint_url: http://localhost", "`sandbox: true` brings its own endpoint"),
        ("accounts: {b: {account_id: '222222222222'}}", "`accounts` has no `a`"),
        (
            "accounts: {a: {account_id: '222222222222', profil: x}}",
            "`accounts.a.profil` is not known here. Did you mean `profile`?",
        ),
    ],
)
def test_a_mistake_in_an_environment_file_is_explained(line: str, said: str, write: Write) -> None:
    given = {"region": "eu-west-1", "accounts": "{a: {account_id: '111111111111'}}"}
    kept = [f"{key}: {value}" for key, value in given.items() if not line.startswith(f"{key}:")]
    with pytest.raises(ParameterError) as error:
        load_environment(str(write("\n".join([*kept, line]))))
    assert said in message_of(error)


def test_all_problems_of_a_file_are_told_at_once() -> None:
    with pytest.raises(ParameterError) as error:
        build(EnvironmentFile, {"regoin": "x", "accounts": {}}, "somewhere")
    assert len(error.value.problems) == 2


@pytest.mark.parametrize("name", ["s3://bucket", "Bucket", "ab", "a..b", "192.168.0.1", "bucket/path", "x" * 64])
def test_what_is_no_bucket_name_is_refused(name: str) -> None:
    with pytest.raises(ParameterError, match="which is not a bucket name"):
        build(Buckets, {"bucket": name}, "here")


def test_paths_resolve_from_the_project_root_wherever_one_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert resolve_path("params/x") == project_root() / "params" / "x"


# --- steps and scenarios ---------------------------------------------------------------------------------------------


def test_a_given_value_wins_over_the_scenario_and_an_empty_one_does_not() -> None:
    step = make_step(BucketPolicy, "encrypted-bucket", {"key_policy": "skip", "mode": "", "buckets": []})
    assert (step.key_policy, step.mode, step.buckets) == ("skip", "literal", ("b/documents-b",))


def test_a_given_inventory_puts_the_buckets_of_the_scenario_aside() -> None:
    step = make_step(BucketPolicy, "one-bucket", {"inventory": "params/05-bucket-policy/inventory.csv"})
    assert step.buckets == ()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"bukets": ["b/x"]}, "`bukets` is not known here. Did you mean `buckets`?"),
        ({"buckets": ["uploads-b"]}, "does not say whose bucket it is. Write ACCOUNT/BUCKET"),
        ({"buckets": ["12345678901/uploads"]}, "has 11 digits"),
        ({"buckets": ["b/UPLOADS"]}, "which is not a bucket name"),
        ({"buckets": "b/one"}, "`buckets` is 'b/one', not a list. Write `buckets = ['b/one']` in the notebook"),
        ({"buckets": [12]}, "`buckets.0` is 12, not text"),
        ({"buckets": ["b/one"], "inventory": "x.csv"}, "both are given"),
        ({"tag_files": "yes"}, "`tag_files` is 'yes'; it can be 'stack', 'always' or 'never'"),
    ],
)
def test_a_mistake_in_the_parameters_of_a_step_is_explained(given: dict[str, object], said: str) -> None:
    with pytest.raises(ParameterError) as error:
        make_step(BucketPolicy, "one-bucket", given)
    assert said in message_of(error)
    assert message_of(error).startswith(("the parameters of 05-bucket-policy", "`buckets`"))


def test_a_step_without_any_bucket_is_refused() -> None:
    with pytest.raises(ParameterError, match="neither is given"):
        make_step(BucketPolicy, "", {})


def test_an_unknown_scenario_or_notebook_says_which_there_are() -> None:
    with pytest.raises(ParameterError, match=r"no scenario `one-buket`\. Did you mean `one-bucket`"):
        load_scenario("05-bucket-policy", "one-buket")
    with pytest.raises(ParameterError, match="Did you mean `05-bucket-policy`"):
        step_class("5-bucket-policy")


@pytest.mark.parametrize("notebook", list(STEPS))
def test_every_scenario_is_valid_and_says_what_it_is_for(notebook: str) -> None:
    environment = load_environment("sandbox")
    for name in scenario_names(notebook):
        scenario = load_scenario(notebook, name)
        assert scenario.description.endswith("."), f"{scenario.path}: its first line is a comment, a sentence"
        examine_file(STEPS[notebook], read_parameter_file(scenario.path)).examine(environment)


def test_a_file_of_parameters_may_build_on_a_scenario(write: Write) -> None:
    path = write("scenario: encrypted-bucket\nmode: hardened\nenvironment: sandbox\n")
    step = examine_file(BucketPolicy, read_parameter_file(path))
    assert (step.mode, step.key_policy) == ("hardened", "change")


def test_the_sandbox_is_the_first_environment_to_choose() -> None:
    assert environment_names()[0] == "sandbox"


# --- inventories -----------------------------------------------------------------------------------------------------


def test_an_inventory_may_come_from_a_spreadsheet(write: Write) -> None:
    path = write("\ufeffaccount;bucket;tag_files\r\n222222222222; uploads-b ;never\r\n", "buckets.csv")
    (target,) = read_inventory(str(path))
    assert (target.address, target.tag_files, target.region) == ("222222222222/uploads-b", "never", None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("account,bucket\n22222222222,uploads-b\n", "line 2: `account` is '22222222222', which has 11 digits"),
        ("account,bucket\n1.23457E+11,uploads-b\n", "which is neither 12 digits nor a name"),
        ("account,buckte\nb,uploads-b\n", "`buckte` is not known here. Did you mean `bucket`?"),
        ("account,bucket\nb\n", "line 2: has more or fewer cells"),
        ("account,bucket\nb,uploads-b,eu-west-1\n", "line 2: has more or fewer cells"),
        ("account,bucket\n", "lists no bucket"),
        ("", "lists no bucket"),
        ("account,bucket,region\nb,uploads-b,ireland\n", "which is not a Region"),
        ("account,bucket,bucket\nb,uploads-b,website-b\n", "line 1: `bucket` stands 2 times"),
        ("account\nb\n", "line 1: there is no column `bucket`."),
        ("account,bucket,\nb,uploads-b,never\n", "line 2: `` is not known here"),
        pytest.param(f"account,bucket\nb,{'x' * 200_000}\n", "line 2: is not CSV (field larger", id="a huge cell"),
    ],
)
def test_a_mistake_in_an_inventory_names_its_line(text: str, said: str, write: Write) -> None:
    with pytest.raises(ParameterError) as error:
        read_inventory(str(write(text, "buckets.csv")))
    assert said in message_of(error)


def test_an_unknown_column_is_told_once_for_the_head_line(write: Write) -> None:
    path = write("Account,BUCKET,tag_files\nb,uploads-b,\nb,website-b,\n", "buckets.csv")
    with pytest.raises(ParameterError) as error:
        read_inventory(str(path))
    assert [problem.rpartition("line ")[2] for problem in error.value.problems] == [
        "1: `Account` is not known here. Did you mean `account`?",
        "1: `BUCKET` is not known here. Did you mean `bucket`?",
    ]


def test_columns_without_name_and_content_are_passed_over(write: Write) -> None:
    (target,) = read_inventory(str(write("account,bucket,,\nb,uploads-b,,\n\n", "buckets.csv")))
    assert target.address == "b/uploads-b"


def test_an_inventory_beside_the_working_directory_is_not_found_but_explained(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("account,bucket\nb,uploads-b\n", "buckets-of-mine.csv")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ParameterError) as error:
        read_inventory("buckets-of-mine.csv")
    assert f"{project_root() / 'buckets-of-mine.csv'} was tried" in message_of(error)
    assert f"write {tmp_path / 'buckets-of-mine.csv'}." in message_of(error)


def test_a_bucket_that_is_listed_twice_or_in_an_unknown_account_is_refused(write: Write) -> None:
    path = write("account,bucket\nb,uploads-b\n222222222222,uploads-b\nx,other\n", "buckets.csv")
    with pytest.raises(ParameterError) as error:
        with_account_ids(read_inventory(str(path)), load_environment("sandbox"), "buckets.csv")
    assert "`uploads-b` is listed twice" in message_of(error)
    assert "there is no account `x`" in message_of(error)
