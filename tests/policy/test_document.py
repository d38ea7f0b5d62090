"""Documents: what parsing refuses, what counts as the same, and the algebra of merging and removing."""

from __future__ import annotations

import copy
import json
from random import Random
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from runbook.policy.document import (
    Document,
    PolicyError,
    Statement,
    difference,
    holds,
    merge,
    new,
    parse,
    remove,
    same_meaning,
)

ROLE = "arn:aws:iam::111111111111:role/bucketav-ScanRole"
ALLOW: dict[str, Any] = {
    "Sid": "bucketAVRequired1",
    "Effect": "Allow",
    "Principal": {"AWS": ROLE},
    "Action": "s3:ListBucket*",
    "Resource": "arn:aws:s3:::uploads-b",
}


def text(*statements: Any, **elements: Any) -> str:
    return json.dumps({"Version": "2012-10-17", **elements, "Statement": list(statements)})


def changed(**elements: Any) -> dict[str, Any]:
    """ALLOW with other elements; None takes one away."""
    return {name: value for name, value in {**ALLOW, **elements}.items() if value is not None}


# ---- parsing ----

REFUSED = {
    "": "line 1, column 1: found nothing. Correct the JSON there.",
    '{"Version": "2012-10-17",\n "Statement": [}': "line 2, column 16: found something that is not JSON",
    "[]": "found a list where the policy document, an object, should be.",
    '{"Version": "2012-10-17"}': "`Statement` is missing.",
    '{"Statements": []}': "`Statements` is not known (did you mean Statement?).",
    '{"Statement": []}': "`Statement` is empty.",
    '{"Statement": "Allow"}': "`Statement` is a text.",
    '{"Statement": ["Allow"]}': "statement 1 is a text, not an object.",
    text(ALLOW, Version="2012-10-7"): '`Version` is "2012-10-7" (did you mean 2012-10-17?).',
    text(ALLOW, Version=20121017): "`Version` is 20121017",
    text(changed(Effect="allow")): '("bucketAVRequired1"): `Effect` is "allow" (did you mean Allow?).',
    text(changed(Effect="Dney")): '`Effect` is "Dney" (did you mean Deny?).',
    text(changed(Effect=None)): "`Effect` is missing.",
    text(changed(Action=None)): "it has neither `Action` nor `NotAction`.",
    text(changed(NotAction="s3:*")): "it has both `Action` and `NotAction`.",
    text(changed(NotResource="*")): "it has both `Resource` and `NotResource`.",
    text(changed(NotPrincipal="*")): "it has both `Principal` and `NotPrincipal`.",
    text(changed(Resource=None, Principal=None)): "it has neither a `Resource` nor a `Principal`.",
    text(changed(Actions="s3:*")): "`Actions` is not known (did you mean Action?).",
    text(changed(Action=[["s3:*"]])): "`Action` is a list, not a text or a list of texts.",
    text(changed(Sid=7)): "`Sid` is a number, not a text.",
    text(changed(Principal=ROLE)): f'neither "*" nor an object. Write {{"AWS": "{ROLE}"}}.',
    text(changed(Principal={"AWS": 111111111111})): "Write account ids in quotes.",
    text(changed(Principal={"Aws": ROLE})): "`Aws` is not known (did you mean AWS?).",
    text(changed(Condition=["Bool"])): "`Condition` is a list, not an object of operators.",
    text(changed(Condition={"Bool": "aws:SecureTransport"})): "`Bool` is a text, not an object of condition keys.",
    text(changed(Condition={"Bool": {"aws:SecureTransport": None}})): "are not texts, numbers or booleans.",
    '{"Statement": [], "Statement": {}}': "the key `Statement` stands twice in one object.",
    '{"Statement": {"Sid": "Open", "Effect": "Allow", "Action": "s3:Get*", "Action": "s3:Put*"}}': (
        'the key `Action` of statement "Open" stands twice in one object. Join the two or remove one.'
    ),
    text(changed(Condition={"NumericEquals": {"s3:max-keys": float("nan")}})): "not JSON compliant",
    "[" * 100_000: "nested too deeply",
}


@pytest.mark.parametrize(("given_", "message"), REFUSED.items(), ids=range(len(REFUSED)))
def test_what_is_no_policy_is_refused_saying_where_and_why(given_: str, message: str) -> None:
    with pytest.raises(PolicyError) as refused:
        parse(given_, "bucket policy of uploads-b")
    assert str(refused.value).startswith("bucket policy of uploads-b")
    assert message in str(refused.value)


@pytest.mark.parametrize(
    "accepted",
    [
        json.dumps({"Statement": ALLOW}),
        text(ALLOW, Version="2008-10-17", Id="Policy 1"),
        text(changed(Sid="Allow the scanner, please")),
        text(changed(Condition={"Bool": {"aws:SecureTransport": True}, "NumericLessThan": {"s3:max-keys": 10}})),
        text(changed(Principal={"AWS": ["AROAEXAMPLE1234567890", "111111111111"], "Service": "sns.amazonaws.com"})),
        text(changed(Resource=None, Action="sts:AssumeRole")),
        text(changed(Principal=None)),
        text({"Resource": ["*"], "Action": ["s3:*"], "Principal": "*", "Effect": "Deny"}, ALLOW, ALLOW),
        text(changed(Sid="Größe 📦")),
    ],
)
def test_what_is_odd_but_legal_is_kept_exactly(accepted: str) -> None:
    document = parse(accepted, "bucket policy")
    assert document.text == json.dumps(json.loads(accepted), separators=(",", ":"), ensure_ascii=False)
    assert [list(statement) for statement in document.statements] == [
        list(statement) for statement in _as_list(json.loads(accepted)["Statement"])
    ]


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def test_a_new_document_has_version_and_statements_in_this_order() -> None:
    assert (
        new([ALLOW]).text == '{"Version":"2012-10-17","Statement":[' + json.dumps(ALLOW, separators=(",", ":")) + "]}"
    )


def test_text_that_has_no_bytes_is_refused() -> None:
    with pytest.raises(PolicyError, match="surrogates"):
        parse(text(changed(Sid="\ud800")), "bucket policy")


# ---- meaning ----

SAME = [
    (changed(), changed(Sid="Other")),
    (changed(), changed(Sid=None)),
    (changed(), dict(reversed(ALLOW.items()))),
    (changed(), changed(Action=["s3:listbucket*"])),
    (changed(), changed(Condition={})),
    (
        changed(Action=["s3:GetObject", "s3:PutObject"]),
        changed(Action=["s3:PutObject", "S3:getobject", "s3:GetObject"]),
    ),
    (changed(Principal="*"), changed(Principal={"AWS": "*"})),
    (changed(Principal={"AWS": "111111111111"}), changed(Principal={"AWS": ["arn:aws:iam::111111111111:root"]})),
    (changed(Resource=["a", "b"]), changed(Resource=["b", "a"])),
    (
        changed(Condition={"Bool": {"aws:SecureTransport": False}}),
        changed(Condition={"bool": {"AWS:securetransport": ["False"]}}),
    ),
    (
        changed(Condition={"StringEquals": {"aws:SourceVpce": ["a", "b"]}, "Null": {"aws:TagKeys": True}}),
        changed(Condition={"Null": {"aws:tagkeys": "true"}, "StringEquals": {"aws:SourceVpce": ["b", "a"]}}),
    ),
    (
        changed(Condition={"NumericEquals": {"s3:max-keys": 10}}),
        changed(Condition={"NumericEquals": {"s3:max-keys": "10"}}),
    ),
]
DIFFERENT = [
    (changed(), changed(Effect="Deny")),
    (changed(), changed(Action="s3:ListBucket")),
    (changed(), changed(Action=None, NotAction="s3:ListBucket*")),
    (changed(), changed(Resource="arn:aws:s3:::Uploads-b")),
    (changed(), changed(Principal={"AWS": ROLE + "2"})),
    (changed(), changed(Principal={"AWS": ROLE.replace("ScanRole", "scanrole")})),
    (changed(), changed(Principal={"Federated": ROLE})),
    (changed(), changed(Principal=None, NotPrincipal={"AWS": ROLE})),
    (changed(), changed(Condition={"Bool": {"aws:SecureTransport": "true"}})),
    (changed(Principal={"AWS": "111111111111"}), changed(Principal={"AWS": "222222222222"})),
    (changed(Principal={"AWS": "111111111111"}), changed(Principal={"AWS": "arn:aws:iam::111111111111:user/root"})),
    (
        changed(Condition={"StringEquals": {"aws:SourceVpce": "a"}}),
        changed(Condition={"StringEquals": {"aws:SourceVpce": "A"}}),
    ),
    (
        changed(Condition={"StringEquals": {"aws:SourceVpce": "a"}}),
        changed(Condition={"StringEqualsIfExists": {"aws:SourceVpce": "a"}}),
    ),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_these_statements_say_the_same(one: Statement, other: Statement) -> None:
    assert same_meaning(one, other)
    assert same_meaning(new([one]), new([other]))
    assert holds(new([ALLOW, one]), other)


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_these_statements_do_not_say_the_same(one: Statement, other: Statement) -> None:
    assert not same_meaning(one, other)
    assert not same_meaning(new([one]), new([other]))
    assert not holds(new([one]), other)


def test_a_document_says_the_same_in_any_order_and_with_any_id() -> None:
    deny = changed(Effect="Deny")
    one = parse(text(ALLOW, deny), "one")
    assert same_meaning(one, parse(text(deny, ALLOW, changed(Sid="Again"), Id="Policy 1"), "other"))
    assert same_meaning(parse(json.dumps({"Version": "2012-10-17", "Statement": ALLOW}), "alone"), new([ALLOW]))
    assert not same_meaning(one, new([ALLOW]))


def test_the_version_counts_only_where_there_are_policy_variables() -> None:
    home = changed(Resource="arn:aws:s3:::home/${aws:username}")
    assert same_meaning(parse(text(ALLOW, Version="2008-10-17"), "old"), new([ALLOW]))
    assert not same_meaning(parse(text(home, Version="2008-10-17"), "old"), new([home]))


def test_no_document_says_the_same_only_as_no_document() -> None:
    assert same_meaning(None, None)
    assert not same_meaning(None, new([ALLOW]))
    assert not holds(None, ALLOW)


# ---- merging ----


def test_a_sid_that_is_taken_gets_a_readable_suffix() -> None:
    other = changed(Principal={"AWS": "222222222222"})
    third = changed(Principal={"AWS": "333333333333"})
    merged = merge(new([ALLOW]), [other, third], label="QuarantineTarget")
    assert [statement["Sid"] for statement in merged.statements] == [
        "bucketAVRequired1",
        "bucketAVRequired1QuarantineTarget",
        "bucketAVRequired1QuarantineTarget2",
    ]
    assert merge(merged, [other, third], label="QuarantineTarget") == merged


def test_a_statement_that_is_there_under_another_sid_changes_nothing() -> None:
    there = parse(text(changed(Sid="Other", Action=["S3:listbucket*"])), "bucket policy")
    assert merge(there, [ALLOW], label="Scan") is there


def test_merging_into_nothing_is_a_new_document() -> None:
    assert merge(None, [ALLOW], label="Scan").text == new([ALLOW]).text


def test_a_statement_that_stood_alone_stands_alone_again_after_remove() -> None:
    alone = parse(json.dumps({"Statement": changed(Effect="Deny"), "Id": "x"}), "bucket policy")
    other = changed(Principal="*")
    merged = merge(alone, [ALLOW, other], label="Scan")
    assert isinstance(merged.body["Statement"], list)
    first = remove(merged, [other])
    assert first is not None
    second = remove(first, [ALLOW])
    assert second is not None
    assert second.text == alone.text


def test_removing_everything_leaves_no_document() -> None:
    assert remove(new([ALLOW]), [changed(Sid=None)]) is None


def test_removing_what_is_not_there_changes_nothing() -> None:
    document = new([ALLOW])
    assert remove(document, [changed(Effect="Deny")]) is document


# ---- showing ----


def test_a_difference_shows_the_added_lines_under_the_names() -> None:
    shown = difference(None, new([ALLOW]).text, name="bucket policy of uploads-b")
    assert shown.splitlines()[:3] == [
        "--- bucket policy of uploads-b, before (none)",
        "+++ bucket policy of uploads-b, after",
        "@@ -0,0 +1,14 @@",
    ]
    assert '+      "Sid": "bucketAVRequired1",' in shown


def test_a_difference_takes_no_notice_of_white_space() -> None:
    assert difference(text(ALLOW), new([ALLOW]).text, name="x") == ""
    assert difference(None, None, name="x") == ""


def test_a_difference_shows_a_template_as_it_was_written() -> None:
    before = json.dumps({"Template": ["Resources:", '  Name: "one"'], "Parameters": {"A": "1"}})
    after = before.replace("one", "two")
    lines = difference(before, after, name="stack").splitlines()
    assert [line for line in lines if line[0] in "+-"][2:] == ['-    Name: "one"', '+    Name: "two"']
    assert " Template:" in lines


def test_a_difference_of_what_is_not_json_is_shown_as_text() -> None:
    assert "-not json" in difference("not json", new([ALLOW]).text, name="x")


# ---- properties ----

TEXTS = st.text(st.characters(codec="utf-8"), max_size=8)
PRINCIPALS = ["*", "111111111111", "222222222222", ROLE, "arn:aws:iam::222222222222:root", "AROAEXAMPLE1234567890"]
ACTIONS = ["s3:GetObject", "s3:getobject*", "S3:PutObject", "s3:*", "sqs:SendMessage", "*"]
RESOURCES = ["*", "arn:aws:s3:::uploads-b", "arn:aws:s3:::uploads-b/*", "arn:aws:s3:::größe"]


def one_or_more(values: list[Any]) -> st.SearchStrategy[Any]:
    return st.sampled_from(values) | st.lists(st.sampled_from(values), min_size=1, max_size=3)


CONDITIONS = st.dictionaries(
    st.sampled_from(["StringEquals", "Bool", "Null", "ForAnyValue:StringLike"]),
    st.dictionaries(
        st.sampled_from(["aws:SourceVpce", "aws:SecureTransport", "aws:PrincipalTag/Team"]),
        one_or_more(["true", "false", "x", "X", True, False, 10]),
        max_size=2,
    ),
    max_size=2,
)


@st.composite
def statements(draw: st.DrawFn) -> dict[str, Any]:
    negated = st.sampled_from(["", "Not"])
    principal = st.just("*") | st.builds(lambda names: {"AWS": names}, one_or_more(PRINCIPALS))
    parts: dict[str, Any] = {
        "Effect": draw(st.sampled_from(["Allow", "Deny"])),
        f"{draw(negated)}Principal": draw(principal | st.just({"Service": "sns.amazonaws.com"})),
        f"{draw(negated)}Action": draw(one_or_more(ACTIONS)),
        f"{draw(negated)}Resource": draw(one_or_more(RESOURCES)),
    }
    parts |= draw(st.fixed_dictionaries({}, optional={"Sid": TEXTS | st.just("A"), "Condition": CONDITIONS}))
    return dict(draw(st.permutations(list(parts.items()))))


@st.composite
def documents(draw: st.DrawFn) -> Document:
    several = draw(st.lists(statements(), min_size=1, max_size=4))
    body: dict[str, Any] = {"Statement": several[0] if len(several) == 1 and draw(st.booleans()) else several}
    body |= draw(
        st.fixed_dictionaries({}, optional={"Version": st.sampled_from(["2008-10-17", "2012-10-17"]), "Id": TEXTS})
    )
    items = draw(st.permutations(list(body.items())))
    return parse(json.dumps(dict(items), ensure_ascii=draw(st.booleans()), indent=draw(st.none() | st.just(2))), "any")


def rewritten(statement: Statement, random: Random) -> dict[str, Any]:
    """The same statement in other words."""

    def listed(value: Any) -> list[Any]:
        return list(value) if isinstance(value, list) else [value]

    def in_any_case(value: str) -> str:
        return random.choice([value, value.lower(), value.upper()])

    def shuffled(values: list[Any]) -> Any:
        values = values + random.choices(values, k=random.randint(0, 1)) if values else values
        random.shuffle(values)
        return values[0] if len(values) == 1 and random.random() < 0.5 else values

    def account(value: str) -> str:
        id_ = value.removeprefix("arn:aws:iam::").removesuffix(":root")
        return random.choice([id_, f"arn:aws:iam::{id_}:root"]) if id_.isdigit() else value

    def boolean(value: Any) -> Any:
        return {"true": random.choice(["true", True]), True: "true", "false": False, False: "false"}.get(value, value)

    def condition_values(values: Any) -> Any:
        return shuffled([value if value == 10 else boolean(value) for value in listed(values)])

    result: dict[str, Any] = {}
    for name, value in random.sample(list(statement.items()), len(statement)):
        if name.endswith("Principal"):
            kinds = {"AWS": "*"} if value == "*" else value
            kinds = {kind: shuffled([account(each) for each in listed(values)]) for kind, values in kinds.items()}
            result[name] = random.choice(["*", kinds]) if kinds == {"AWS": "*"} else kinds
        elif name.endswith("Action"):
            result[name] = shuffled([in_any_case(action) for action in listed(value)])
        elif name.endswith("Resource"):
            result[name] = shuffled(listed(value))
        elif name == "Condition":
            result[name] = {
                in_any_case(operator): {in_any_case(key): condition_values(values) for key, values in keys.items()}
                for operator, keys in random.sample(list(value.items()), len(value))
            }
        elif name != "Sid" or random.random() < 0.5:
            result[name] = value
    return result


def distorted(statement: Statement, random: Random) -> dict[str, Any]:
    """A statement that says something else, if only a little."""
    result = copy.deepcopy(dict(statement))
    which = random.choice(["Effect", "Action", "Resource", "Principal", "Condition", "Not"])
    for name in list(result):
        if which == "Effect" == name:
            result[name] = "Deny" if result[name] == "Allow" else "Allow"
        elif which in ("Action", "Resource") and name.endswith(which):
            result[name] = [*_as_list(result[name]), "s3:NewAction"]
        elif which == "Principal" and name.endswith(which):
            result[name] = {"AWS": [ROLE + "/other"]}
        elif which == "Not" and name.endswith("Action"):
            result["Action" if name.startswith("Not") else "NotAction"] = result.pop(name)
    if which == "Condition":
        result[which] = {**result.get(which, {}), "ArnLike": {"aws:SourceArn": "arn:aws:sns:*:*:*"}}
    return result


RANDOM = st.randoms(use_true_random=False)
OURS = st.lists(statements(), min_size=1, max_size=3)


@given(statements(), RANDOM)
def test_other_words_for_the_same_compare_equal(statement: dict[str, Any], random: Random) -> None:
    assert same_meaning(statement, rewritten(statement, random))


@given(statements(), RANDOM)
def test_anything_else_does_not_compare_equal(statement: dict[str, Any], random: Random) -> None:
    assert not same_meaning(statement, distorted(statement, random))


@given(documents(), RANDOM)
def test_a_document_in_other_words_compares_equal(document: Document, random: Random) -> None:
    others = [rewritten(statement, random) for statement in document.statements]
    random.shuffle(others)
    assert same_meaning(document, Document({**document.body, "Statement": others}))


@given(documents() | st.none(), OURS, RANDOM)
def test_merging_twice_changes_nothing(document: Document | None, ours: list[Statement], random: Random) -> None:
    once = merge(document, ours, label="Scan")
    assert merge(once, [rewritten(statement, random) for statement in ours], label="Scan") is once
    assert all(holds(once, statement) for statement in ours)


@given(documents() | st.none(), OURS)
def test_remove_after_merge_restores_the_document(document: Document | None, ours: list[Statement]) -> None:
    assume(not any(holds(document, statement) for statement in ours))
    restored = remove(merge(document, ours, label="Scan"), ours)
    assert (restored and restored.text) == (document and document.text)


@given(documents(), OURS)
def test_foreign_statements_survive_a_merge_to_the_letter(document: Document, ours: list[Statement]) -> None:
    before = document.text
    merged = merge(document, ours, label="Scan")
    assert json.dumps(merged.statements[: len(document.statements)]) == json.dumps(document.statements)
    assert list(merged.body) == list(document.body)
    assert document.text == before


@given(documents(), OURS)
def test_a_merge_adds_no_sid_a_second_time(document: Document, ours: list[Statement]) -> None:
    before = [statement.get("Sid") for statement in document.statements]
    added = [
        statement["Sid"]
        for statement in merge(document, ours, label="Scan").statements[len(before) :]
        if "Sid" in statement
    ]
    assert len(set(added)) == len(added)
    assert not set(added) & set(before)


@given(documents())
def test_the_size_counted_is_the_size_sent(document: Document) -> None:
    sent = document.text.encode()
    assert document.size == len(sent)
    assert parse(sent.decode(), "what was sent").body == document.body
    assert len(json.dumps(document.body, ensure_ascii=False).encode()) >= document.size
