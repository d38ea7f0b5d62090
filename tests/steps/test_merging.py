"""Statements of ours exchanged in policies of others."""

import json
from typing import Any

from runbook.policy.document import new
from runbook.steps.merging import merged

OLD, OTHER = ({"Sid": sid, "Effect": "Allow", "Principal": "*", "Action": f"s3:{sid}"} for sid in ("Old", "Other"))


def policy(*statements: Any) -> str:
    return json.dumps({"Version": "2008-10-17", "Id": "of-the-owner", "Statement": list(statements)})


def test_the_owners_id_and_version_stay_where_all_statements_are_exchanged() -> None:
    found = merged(policy(OLD), [([OTHER], "Scan")], [OLD, OTHER])
    assert found is not None
    assert json.loads(found.text) == json.loads(policy(OTHER))


def test_a_policy_of_ours_alone_goes_with_its_last_statement() -> None:
    assert merged(policy(OLD), [], [OLD, OTHER]) is None
    assert merged(policy(OLD), [([], "Scan")], [OLD]) is None
    assert merged(None, [], [OLD]) is None


def test_where_there_is_no_policy_there_is_a_new_one() -> None:
    found = merged(None, [([OTHER], "Scan")], [OLD])
    assert found is not None
    assert found.text == new([OTHER]).text
