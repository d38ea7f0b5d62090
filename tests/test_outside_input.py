"""Files, values and links from outside: read within bounds, refused in a sentence, and never repeated at length."""

import json
import os
import re
import socket
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from runbook.aws.organization_tree import Tree, Unit
from runbook.aws.template import LARGEST, NotKnown, Values, parse, replaced
from runbook.batch.fleet import FleetFile, folder_name, load_fleet
from runbook.display.address import from_address
from runbook.environment import AccountName, Environment, EnvironmentFile, RolePattern, load_environment
from runbook.parameters import (
    LARGEST_FILE,
    LARGEST_VALUE,
    LONGEST_PROBLEM,
    MOST_PROBLEMS,
    AccountId,
    BucketName,
    Number,
    OrganizationId,
    ParameterError,
    Region,
    RoleArn,
    StackName,
    build,
    load_yaml,
    parse_yaml,
    shortened,
)
from runbook.plan import Plan
from runbook.policy import conditions, evaluate, lint, patterns, principals
from runbook.policy.document import new, same_meaning
from runbook.review.page import examine_page
from runbook.steps.bucket_policy import BucketPolicy
from runbook.steps.findings_parameters import QueueName, Retention, _encryption
from runbook.steps.inventory import Account, parse_address, read_inventory, with_account_ids
from runbook.steps.scenarios import examine_file, read_parameter_file, save_table
from runbook.strict_yaml import DEEPEST, MOST_VALUES
from runbook.untrusted import Untrusted

LONGEST_MESSAGE = (MOST_PROBLEMS + 1) * (LONGEST_PROBLEM + 100)
SECONDS = 5.0
"""Generous: each of what is timed here took minutes, gigabytes, or forever."""

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str, name: str = "file.yaml") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


def refused(read: Callable[[], object]) -> str:
    """The message with which something is refused: soon, and in few words."""
    began = time.monotonic()
    with pytest.raises(ParameterError) as error:
        read()
    assert time.monotonic() - began < SECONDS
    assert len(str(error.value)) < LONGEST_MESSAGE
    return str(error.value)


# --- YAML ------------------------------------------------------------------------------------------------------------


def bomb(levels: int = 9) -> str:
    """A few hundred characters that stand for 9 ** 9 values."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, levels)]
    return "\n".join(lines)


PLAIN = "anchors, aliases and tags"
DAMAGED_YAML = {
    "bomb": (bomb(), PLAIN),
    "anchor": ("region: &here eu-west-1", PLAIN),
    "alias of itself": ("a: &a [*a]", PLAIN),
    "tag": ("region: !!str 7", PLAIN),
    "binary": ("region: !!binary aGVsbG8=", PLAIN),
    "tag of Python": ("region: !!python/object/apply:os.system [id]", PLAIN),
    "tag of its own": ("region: !foo bar", PLAIN),
    "merge": ("accounts:\n  <<: {a: 1}", "`<<` is not read here"),
    "deep list": ("a: " + "[" * 20_000, f"more than {DEEPEST}"),
    "deep mapping": ("{a: " * 20_000, f"more than {DEEPEST}"),
    "deep block": ("- " * 20_000, f"more than {DEEPEST}"),
    "many values": ("- x\n" * (MOST_VALUES + 1), f"more than {MOST_VALUES:,} values"),
    "long number": ("a: " + "1" * 5_000, "is none of its kind"),
    "no date": ("a: 2026-13-13", "is none of its kind"),
    "control character": ("a: \x07", "U+0007"),
    "half a character": ("a: x", ""),
    "two documents": ("a: 1\n---\nb: 2", "is not valid YAML"),
    "not closed": ("a: [", "is not valid YAML. line 1"),
    "twice": ("a: 1\na: 2", "`a` stands twice"),
    "list as a key": ("[a]: 1", "is not valid YAML"),
    "unknown handle": ("a: !secret!value x", "is not valid YAML"),
}


@pytest.mark.parametrize(("text", "said"), DAMAGED_YAML.values(), ids=DAMAGED_YAML)
def test_yaml_that_would_not_end_well_is_refused_in_a_sentence(text: str, said: str, write: Write) -> None:
    if not said:
        text, said = "a: \ud800", "U+D800"
        assert said in refused(lambda: parse_yaml(text, "here"))
        return
    told = refused(lambda: load_yaml(write(text)))
    assert said in told
    assert told.count("\n") == 0
    assert len(told) < 500


def test_yaml_of_the_usual_depth_and_size_is_read() -> None:
    deep = "[" * (DEEPEST - 1) + "]" * (DEEPEST - 1)
    assert str(parse_yaml(deep, "here")).count("[") == DEEPEST - 1
    assert len(parse_yaml(json.dumps(["222222222222"] * 1_000), "here")) == 1_000


def test_a_value_has_a_bounded_size() -> None:
    assert f"{LARGEST_VALUE:,} at most" in refused(lambda: parse_yaml(f"[{'x' * LARGEST_VALUE}]", "-p buckets"))


@pytest.mark.parametrize(
    "value", [f"{{{bomb().replace(chr(10), ', ')}}}", "[" * 10_000, "[&a x, *a]", f"[{'x' * 70_000}]"]
)
def test_a_pages_address_makes_nobody_wait(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOILA_REQUEST_URL", "http://127.0.0.1/05-bucket-policy.ipynb")
    monkeypatch.setenv("QUERY_STRING", urlencode({"buckets": value}))
    assert refused(lambda: from_address(BucketPolicy)).startswith("the address: buckets: ")


@pytest.mark.parametrize(
    "path", ["/dev/null", "../../elsewhere.yaml", "/dev/zero", "[/dev/null]", "file:" + "///dev/zero"]
)
@pytest.mark.parametrize("name", ["environment", "inventory", "params", "scenario", "table", "run_folder"])
def test_a_pages_address_chooses_no_file(name: str, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOILA_REQUEST_URL", "http://127.0.0.1/05-bucket-policy.ipynb")
    monkeypatch.setenv("QUERY_STRING", urlencode({name: path}))
    if name == "environment":
        assert "there is no environment" in refused(lambda: from_address(BucketPolicy))
    else:
        assert set(from_address(BucketPolicy)) <= {"scenario"}


# --- files that are none ---------------------------------------------------------------------------------------------

READERS: dict[str, Callable[[Path], object]] = {
    "environment": lambda path: load_environment(str(path)),
    "parameters": lambda path: examine_file(BucketPolicy, read_parameter_file(path)),
    "fleet": lambda path: load_fleet(str(path)),
    "inventory": lambda path: read_inventory(str(path)),
    "plan": Plan.load,
    "page": examine_page,
}


KINDS = ("fifo", "zero", "socket", "folder", "huge", "binary", "missing", "long name")


@pytest.mark.parametrize(
    ("reader", "kind"),
    # Of a name that no file can have, the command itself tells where a plan or a fleet is looked for.
    [
        (reader, kind)
        for reader in READERS
        for kind in KINDS
        if (reader, kind) not in [("plan", KINDS[-1]), ("fleet", KINDS[-1])]
    ],
)
def test_what_is_no_file_of_text_is_refused_at_once(
    reader: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # the address of a socket is short
    path, listening = tmp_path / "named.yaml", socket.socket(socket.AF_UNIX)
    match kind:
        case "fifo":
            os.mkfifo(path)
        case "zero":
            path.symlink_to("/dev/zero")
        case "socket":
            listening.bind("named.yaml")
        case "folder":
            path.mkdir()
        case "huge":
            with path.open("wb") as file:
                file.truncate(LARGEST_FILE * 20)
        case "binary":
            path.write_bytes(b"\xff\xfe\x00")
        case "long name":
            path = tmp_path / f"{'x' * 3_000}.yaml"
    with listening:
        told = refused(lambda: READERS[reader](path))
    assert told.count("\n") == 0


SECRET = "root:$6$Zs3cr3tS4lt$h4sh:19000:0:99999:7:::\ndaemon:*:19000:0:99999:7:::\n"
FOREIGN = {
    "shadow": SECRET,
    "credentials": "[default]\naws_access_key_id = AKIAZs3cr3t\naws_secret_access_key = wJalrXUtZs3cr3t\n",
    "key": "-----BEGIN PRIVATE KEY-----\nMIIZs3cr3t+/==\n-----END PRIVATE KEY-----\n",
    "json": '{"token": "Zs3cr3t", "other": [1, "Zs3cr3t"]}\n',
    "yaml": "password: Zs3cr3t\nuser: {name: Zs3cr3t}\n",
    "broken yaml": "password: 'Zs3cr3t\nuser: [Zs3cr3t, {\n",
    "broken flow": "{Zs3cr3t: Zs3cr3t: Zs3cr3t}\n",
    "tagged": "password: !Zs3cr3t!x y\n",
    "anchored": "password: *Zs3cr3t\n",
    "line": "Zs3cr3t\n",
    "table": "user;Zs3cr3t$word\nx;Zs3cr3t\n",
}


@pytest.mark.parametrize("reader", [reader for reader in READERS if reader != "page"])
@pytest.mark.parametrize("kind", FOREIGN)
def test_a_file_that_is_something_else_is_not_repeated(reader: str, kind: str, write: Write) -> None:
    path = write(FOREIGN[kind], "file.csv" if reader == "inventory" else "file.yaml")
    told = refused(lambda: READERS[reader](path))
    assert "Zs3cr3t" not in told
    assert "$6$" not in told


def test_an_inventory_that_is_none_says_which_column_is_missing(write: Write) -> None:
    told = refused(lambda: read_inventory(str(write(SECRET, "shadow"))))
    assert told.endswith("line 1: there is no column `account`.\n" + told.splitlines()[1])
    assert "there is no column `bucket`" in told


# --- how much is said ------------------------------------------------------------------------------------------------


def test_many_problems_are_counted_and_the_first_told(environment: Environment, write: Write) -> None:
    """10,000 doubled lines were 1.5 MB of message."""
    path = write("account,bucket\n" + "b,uploads-b\n" * 10_000, "buckets.csv")
    told = refused(lambda: with_account_ids(read_inventory(str(path)), environment, "buckets.csv"))
    assert told.count("is listed twice") == MOST_PROBLEMS
    assert told.endswith(f"… and {9_999 - MOST_PROBLEMS} more problems.")


def test_many_rows_of_a_fleet_that_stand_twice_are_counted(write: Write) -> None:
    table = write("account,what\n" + f"222222222222,{'x' * 1_000}\n" * 5_000, "rows.csv")
    fleet = write(f"inventory: {table}\njobs:\n  a: {{notebook: 05-bucket-policy, for_each: account}}\n", "fleet.yaml")
    told = refused(lambda: load_fleet(str(fleet)))
    assert told.count("stands there twice") == MOST_PROBLEMS
    assert f"… and {4_999 - MOST_PROBLEMS} more problems." in told


@pytest.mark.parametrize(
    "values",
    [
        {"region": "x" * 10_000_000},
        {"region": ["x"] * 1_000_000},
        {"x" * 1_000_000: 1},
        {f"key-{number}": 1 for number in range(20_000)},
        {"region": "eu-west-1", "accounts": {"a": {"account_id": "1" * 1_000_000}}},
        {"region": "eu-west-1", "accounts": {"a": {"account_id": 10**4_000}}},
        {"region": "eu-west-1", "accounts": {"a": {"account_id": float("inf")}}},
        {"region": "eu-west-1", "accounts": {"\uff11" * 100_000: {"account_id": "111111111111"}}},
    ],
    ids=["text", "list", "key", "keys", "id", "number", "infinity", "name"],
)
def test_what_was_found_is_repeated_in_part(values: dict[str, object]) -> None:
    told = refused(lambda: build(EnvironmentFile, values, "here"))
    assert len(told) < 10_000


def test_a_span_of_code_that_is_cut_is_closed() -> None:
    """The text after it would be Markdown otherwise."""
    shown = shortened(f"`{'x' * 300}` and `![more](https://example.com)`")
    assert shown.startswith(f"`{'x' * 199}`… (")
    assert shown.count("`") == 2
    assert shortened("`x` and more") == "`x` and more"


@pytest.mark.parametrize("limit", [".inf", "-.inf", ".nan"])
def test_no_limit_of_a_fleet_is_infinite(limit: str) -> None:
    values = parse_yaml(f"{{limits: {{calls_per_second: {limit}}}, jobs: {{}}}}", "here")
    assert "limits.calls_per_second" in refused(lambda: build(FleetFile, values, "here"))


def test_a_table_with_thousands_of_columns_is_refused(write: Write) -> None:
    path = write(",".join(f"c{n}" for n in range(50_000)) + "\n", "wide.csv")
    assert "has 50,000 columns" in refused(lambda: read_inventory(str(path)))
    assert "at most" in refused(lambda: save_table("05-bucket-policy", "big.csv", b"x" * (LARGEST_FILE + 1)))


def test_lines_of_a_table_end_where_lines_end(write: Write) -> None:
    """Not at the separators that `str.splitlines` knows besides, and not inside quotes."""
    path = write('account,bucket,region\r\nb,uploads-b,"eu-west-1"\r\nb,"web\u2028site",\r\n', "buckets.csv")
    assert "line 3: `bucket` is 'web\\u2028site'" in refused(lambda: read_inventory(str(path)))


# --- templates -------------------------------------------------------------------------------------------------------


def unknown(body: object) -> str:
    began = time.monotonic()
    with pytest.raises(NotKnown) as error:
        parse(body)
    assert time.monotonic() - began < SECONDS
    assert len(str(error.value)) < 300
    return str(error.value)


def test_a_template_is_bounded_by_what_its_aliases_come_to() -> None:
    resources = "Resources:\n  One: &one {Type: AWS::SNS::Topic}\n  Two: *one\n"
    assert parse(resources)["Resources"]["Two"] == {"Type": "AWS::SNS::Topic"}
    assert "more than" in unknown(bomb() + "\n" + resources)
    assert "holds the alias itself" in unknown("a: &a [*a]\n" + resources)
    assert "more than" in unknown("[" * 20_000)
    assert "more than" in unknown('{"Resources": {"A": ' + "[" * 500 + "]" * 500 + "}}")
    assert "cannot be read" in unknown('{"Resources": {"A": ' + "[" * 200_000 + "]" * 200_000 + "}}")
    assert "larger than" in unknown("x" * (LARGEST + 1))
    chain = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 400))
    assert unknown(chain + resources)


def test_a_template_of_ten_thousand_resources_is_refused_or_read_soon() -> None:
    body = {f"R{n}": {"Type": "AWS::S3::Bucket", "Condition": "C"} for n in range(10_000)}
    text = json.dumps({"Conditions": {"C": {"Fn::Equals": ["a", "a"]}}, "Resources": body})
    began = time.monotonic()
    assert len(replaced(None, {}, parse(text), {})) == 10_000
    assert "larger than" in unknown(text + " " * LARGEST)
    assert time.monotonic() - began < SECONDS


def test_conditions_of_conditions_are_worked_out_once() -> None:
    """Sixty of them were 2 ** 60 questions; a circle was a RecursionError."""
    conditions_: dict[str, object] = {"C0": {"Fn::Equals": ["a", "a"]}}
    conditions_ |= {f"C{n}": {"Fn::And": [{"Condition": f"C{n - 1}"}] * 2} for n in range(1, 60)}
    values = Values({"Conditions": conditions_}, {})
    assert values.holds("C59")
    circle = Values({"Conditions": {"A": {"Condition": "B"}, "B": {"Condition": "A"}}}, {})
    for name in ("A", "B"):
        with pytest.raises(NotKnown):
            circle.holds(name)
    long = Values({"Conditions": {f"C{n}": {"Condition": f"C{n + 1}"} for n in range(5_000)}}, {})
    with pytest.raises(NotKnown):
        long.holds("C0")


def test_a_member_is_chosen_by_an_ascii_number() -> None:
    for index in ("\u00b2", "\uff11", "-1", "9" * 5_000):
        with pytest.raises(NotKnown, match="no member"):
            Values({}, {}).of({"Fn::Select": [index, ["a", "b"]]})


# --- ASCII and nothing else ------------------------------------------------------------------------------------------

VALIDATORS: dict[str, TypeAdapter[object]] = {
    "account id": TypeAdapter(AccountId),
    "account": TypeAdapter(Account),
    "account name": TypeAdapter(AccountName),
    "bucket": TypeAdapter(BucketName),
    "organization": TypeAdapter(OrganizationId),
    "queue": TypeAdapter(QueueName),
    "region": TypeAdapter(Region),
    "retention": TypeAdapter(Retention),
    "role": TypeAdapter(RoleArn),
    "role pattern": TypeAdapter(RolePattern),
    "stack": TypeAdapter(StackName),
}
RIGHT = (
    "111111111111",
    "uploads-b",
    "o-abcdefghij",
    "eu-west-1",
    "1200",
    "arn:aws:iam::111111111111:role/path/Name",
    "arn:aws:iam::{account_id}:role/Name",
)
WIDE = "\uff11" * 12
"""Texts that `\\d{12}` takes for an account id."""

LOOKALIKES = {
    "0": "\uff10",
    "1": "\uff11",
    "2": "\u00b2",
    "a": "\u0430",
    "e": "\uff45",
    "i": "\u0131",
    "k": "\u212a",
    "s": "\u017f",
    "-": "\u2010",
    "w": "\uff57",
}


@pytest.mark.parametrize("name", VALIDATORS)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    right=st.sampled_from(RIGHT),
    at=st.integers(0, 60),
    strange=st.one_of(
        st.characters(min_codepoint=128),
        st.characters(categories=["Nd", "Cc", "Cf", "Zs", "Zl", "Zp", "Cs"]),
        st.sampled_from(["\n", "\r", "\0", "\t", "\x7f", "\u2028", *LOOKALIKES.values()]),
    ),
    insert=st.booleans(),
)
@example(right="111111111111", at=11, strange="\uff11", insert=False)
@example(right="111111111111", at=12, strange="\n", insert=True)
@example(right="eu-west-1", at=8, strange="\uff11", insert=False)
@example(right="arn:aws:iam::111111111111:role/path/Name", at=13, strange="\u0661", insert=False)
def test_nothing_but_printable_ascii_is_accepted(name: str, right: str, at: int, strange: str, insert: bool) -> None:
    at = min(at, len(right))
    text = right[:at] + strange + right[at if insert else at + 1 :]
    try:
        accepted = VALIDATORS[name].validate_python(text)
    except ValidationError:
        return
    assert isinstance(accepted, str)
    assert accepted.isascii()
    assert accepted.isprintable()


@given(st.text())
@settings(max_examples=200, deadline=None)
@example("\uff11\uff12")
@example("\u00b2")
@example("-0")
def test_a_number_is_written_with_ascii_digits(text: str) -> None:
    try:
        found = TypeAdapter(Number).validate_python(text)
    except ValidationError:
        return
    assert re.fullmatch(r"\s*[+-]?[0-9]+\s*", text, re.ASCII)
    assert found == int(text)


def test_validators_take_what_is_right() -> None:
    taken = {name: [text for text in RIGHT if _takes(adapter, text)] for name, adapter in VALIDATORS.items()}
    assert all(taken.values()), taken


def _takes(adapter: TypeAdapter[object], text: str) -> bool:
    try:
        adapter.validate_python(text)
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize(
    "value",
    [
        "alias/ä",
        "alias/x\n",
        f"arn:aws:kms:eu-west-1:{WIDE}:alias/x",
    ],
)
def test_a_key_is_named_in_ascii(value: str) -> None:
    with pytest.raises(ValueError, match="it can be"):
        _encryption(value)


# --- names of accounts -----------------------------------------------------------------------------------------------

ACCOUNTS = "region: eu-west-1\naccounts:\n  a: {account_id: '111111111111'}\n"


@pytest.mark.parametrize(
    "name",
    [
        "222222222222",
        WIDE,
        " b",
        "b ",
        "b\u200b",
        "\u0431",
        "",
        "b/c",
        "b.c",
        "-b",
        "1b",
        "b" * 65,
        "a,b",
        "b\n",
    ],
)
def test_an_account_is_called_nothing_that_could_be_an_id_or_another(name: str, write: Write) -> None:
    """One that is *named* 222222222222 would have had 333333333333 allowlisted in its place."""
    path = write(ACCOUNTS + f"  {json.dumps(name)}: {{account_id: '333333333333'}}\n")
    assert "no name of an account" in refused(lambda: load_environment(str(path)))


def test_two_names_that_could_be_confused_are_told(write: Write) -> None:
    path = write(ACCOUNTS + "  b: {account_id: '222222222222'}\n  B: {account_id: '333333333333'}\n")
    assert "`b` and `B`, which differ in upper and lower case only" in refused(lambda: load_environment(str(path)))


def test_two_names_for_one_account_have_one_way_in(write: Write) -> None:
    """The second one's profile was passed over in silence."""
    own = "{account_id: '111111111111', profile: other}"
    told = refused(lambda: load_environment(str(write(ACCOUNTS + f"  management: {own}\n"))))
    assert "`accounts.a` and `accounts.management` are both account 111111111111, with different ways in" in told
    environment = load_environment(str(write(ACCOUNTS + "  management: {account_id: '111111111111'}\n")))
    assert environment.account_name("111111111111") == "111111111111 (a, management)"


@pytest.mark.parametrize("name", ["../environments/sandbox", "/dev/stdin", "", "./sandbox", "sand\nbox"])
def test_the_name_of_an_environment_leads_nowhere_else(name: str) -> None:
    assert "write the name of a file in params/environments" in refused(lambda: load_environment(name))


def test_an_address_of_a_bucket_has_an_id_of_ascii_digits() -> None:
    assert "is neither 12 digits nor a name" in refused(lambda: parse_address(f"{WIDE}/uploads-b", "here"))
    assert folder_name("b[ä/\uff12]") == "b[_,_]"


# --- policies --------------------------------------------------------------------------------------------------------


def allow(**more: object) -> dict[str, object]:
    return {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "kms:Decrypt", "Resource": "*", **more}


def test_policies_know_ascii_digits_and_letters_only() -> None:
    assert principals.ACCOUNT_ID.fullmatch(WIDE) is None
    assert principals.parse(f"arn:aws:iam::{WIDE}:root").kind == "unknown"
    kelvin = "\u212ams:Decrypt"
    assert patterns.covers_action(kelvin, "kms:Decrypt").truth is None
    assert not same_meaning(allow(), allow(Action=kelvin))
    assert same_meaning(allow(), allow(Action="KMS:decrypt"))
    codes = {finding.code for finding in lint.lint(new([allow(Principal={"AWS": WIDE})]), kind="key-policy")}
    assert "account-id" in codes


@pytest.mark.parametrize(
    ("operator", "wanted", "given", "truth"),
    [
        ("StringEqualsIgnoreCase", "KEY", "key", True),
        ("StringEqualsIgnoreCase", "key", "\u212aey", None),
        ("StringEqualsIgnoreCase", "straße", "strasse", None),
        ("StringEqualsIgnoreCase", "straße", "strand", False),
        ("NumericEquals", "\uff11\uff12", "12", None),
        ("NumericEquals", "1_2", "12", None),
        ("DateEquals", "\uff12\uff10\uff12\uff16-01-01", "2026-01-01", None),
        ("BinaryEquals", "ä", "x", None),
        ("StringLi\u212ae", "x", "x", None),
        ("StringLike", "\ue000", "anything", None),
        ("StringLike", "x*\n", "xyz", False),
    ],
)
def test_conditions_are_met_by_ascii(operator: str, wanted: str, given: str, truth: bool | None) -> None:
    context = conditions.Context({"k": (given,)}, {})
    found = conditions.holds({operator: {"k": wanted}}, context, None)
    assert found.truth is truth


def test_a_resource_that_ends_with_a_line_ends_there() -> None:
    request = evaluate.Request(
        "arn:aws:iam::222222222222:role/r", "s3:GetObject", "arn:aws:s3:::b/x\ny", "222222222222"
    )
    policy = {
        "Version": "2012-10-17",
        "Statement": [allow(Action="s3:GetObject", Resource="arn:aws:s3:::b/*\n")],
    }
    assert evaluate.evaluate(request, resource_policy=policy).verdict is evaluate.Verdict.DENIED


# --- names of organizational units -----------------------------------------------------------------------------------


def test_a_unit_that_is_called_like_a_keyword_or_an_id_is_named_by_its_own() -> None:
    """`organization` would have meant everybody, and an id the unit that has it, without a word about the other."""
    units = [
        Unit("r-0001", Untrusted("Root"), Untrusted(""), ""),
        Unit("ou-0001-organize", Untrusted("organization"), Untrusted("organization"), "r-0001"),
        Unit("ou-0001-trickery", Untrusted("ou-0001-workload"), Untrusted("ou-0001-workload"), "r-0001"),
        Unit("ou-0001-workload", Untrusted("Workloads"), Untrusted("Workloads"), "r-0001"),
    ]
    tree = Tree("o-abcdefghij", "999999999999", {unit.id: unit for unit in units}, {})
    assert "`ou-0001-organize`, `r-0001`" in refused(lambda: tree.find("organization"))
    assert "`ou-0001-trickery`, `ou-0001-workload`" in refused(lambda: tree.find("ou-0001-workload"))
    assert tree.find("r-0001") is tree.root
    assert tree.find("ou-0001-trickery").path.raw == "ou-0001-workload"
    assert tree.find("Workloads").id == "ou-0001-workload"
