"""Policies drawn at random in which the name of a bucket may count, or not."""

import json
from typing import Any

from hypothesis import strategies as st

ROLE = "arn:aws:iam::111111111111:role/scan"
NAMES = ["uploads", "uploads-b", "archive", "ups", "a.b", "prod-1"]
ENDINGS = [
    "",
    "/*",
    "/secret/*",
    "/x?z",
    "/*/x",
    "",
    "/*",
    "/sec*",
    "/secret/?",
    "*",
    "?",
    "/${aws:username}/*",
    "/x?z",
    "/*/x",
    "-b/*",
    "/${",
    "/${*}x",
]


@st.composite
def patterns(draw: st.DrawFn) -> str:
    whole = st.sampled_from(
        ["*", "arn:aws:s3:::*", "arn:aws:s3:::*/*"] * 3 + ["arn:aws:iam::*:role/x", "arn:aws:s3*", "uploads"]
    )
    name, end = draw(st.sampled_from(["%"] * 12 + [*NAMES, "ups*"])), draw(st.sampled_from(ENDINGS))
    return draw(whole) if draw(st.integers(0, 3)) == 0 else f"arn:aws:s3:::{name}{end}"


@st.composite
def statements(draw: st.DrawFn, *, principal: bool = True) -> dict[str, Any]:
    """A statement in which `%` stands for the name of the bucket that it is on."""
    one_or_more = st.one_of(patterns(), st.lists(patterns(), min_size=1, max_size=3))
    found: dict[str, Any] = {
        "Effect": draw(st.sampled_from(["Allow", "Deny"])),
        "Action": draw(st.sampled_from(["*", "s3:Get*", "s3:ListBucket", ["s3:PutObject", "s3:GetObject"]])),
        draw(st.sampled_from(["Resource", "NotResource"])): draw(one_or_more),
    }
    if principal:
        found["Principal"] = draw(st.sampled_from(["*", {"AWS": ROLE}, {"AWS": "arn:aws:iam::222222222222:root"}]))
    if draw(st.booleans()):
        found["Sid"] = draw(st.sampled_from(["Guard"] * 5 + ["for %", "arn:aws:s3:::%", "~~~"]))
    if draw(st.booleans()):
        value = draw(st.sampled_from(["eu-west-1", "us*"] * 5 + ["arn:aws:s3:::%", "%", "arn:aws:s3:::ups*"]))
        found["Condition"] = {draw(st.sampled_from(["StringLike", "ArnNotEquals"])): {"aws:RequestedRegion": value}}
    return found


def of_bucket(texts: Any, name: str) -> str:
    return json.dumps(texts).replace("%", name)
