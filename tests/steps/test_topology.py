"""Where things stand, read from the sandbox and worked out from its documents; and that it follows what is done."""

import json

import pytest

from runbook.checks import Status
from runbook.environment import Environment
from runbook.steps import topology as module
from runbook.steps.topology import Encryption, Reach, Topology, Way, read_topology
from tests.steps.topologies import LEFT, PILOT, A, B, C
from tests.steps.way import Through


def reaches(topology: Topology, account: str) -> dict[str, Reach]:
    found = topology.account(account)
    assert found is not None
    return {bucket.name: bucket.reach for bucket in found.buckets}


def test_a_look_finds_accounts_connections_and_buckets(environment: Environment) -> None:
    found = read_topology(environment)
    ways = {account.title: account.way for account in found.accounts}
    assert ways == {
        "a (antivirus)": Way.HOME,
        "management": Way.APART,
        "b (uploads)": Way.ALLOWLISTED,
        "c (archive)": Way.CONNECTED,
        "d (partner)": Way.APART,
        "e (analytics)": Way.APART,
        "f (media)": Way.ALLOWLISTED,
        "pilot": Way.CONNECTED,
        LEFT: Way.ALLOWLISTED,
    }
    assert set(reaches(found, A).values()) == {Reach.HOME}
    assert set(reaches(found, B).values()) == {Reach.NONE}
    assert set(reaches(found, C).values()) == {Reach.ROLE}
    in_b = found.account(B)
    assert in_b is not None
    encryption = {bucket.name: bucket.encryption for bucket in in_b.buckets}
    assert (encryption["documents-b"], encryption["vault-b"], encryption["uploads-b"]) == (
        Encryption.CUSTOMER,
        Encryption.AWS,
        Encryption.PLAIN,
    )
    assert found.by_role_possible
    assert [(check.subject, check.status) for check in found.checks if check.status is not Status.OK] == [
        (LEFT, Status.WARNING)
    ]


def test_a_bucket_that_is_opened_is_seen_to_be(environment: Environment, procedure: Through) -> None:
    opened = procedure(buckets=["b/uploads-b", "b/documents-b"], key_policy="skip")
    opened.apply(opened.plan())
    found = reaches(read_topology(environment), B)
    # Its policy lets the scan role in, its key does not.
    assert (found["uploads-b"], found["documents-b"], found["versions-b"]) == (Reach.POLICY, Reach.NONE, Reach.NONE)


def test_what_cannot_be_seen_is_told_and_hides_nothing_else(environment: Environment) -> None:
    """A connection whose role is gone; a bucket that nobody may look at; an account that the environment names."""
    environment.client("iam", PILOT).delete_role_policy(RoleName="bucketav-AccountConnection", PolicyName="scan")
    deny = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "arn:aws:s3:::archive-c"}
    environment.client("s3", C).put_bucket_policy(
        Bucket="archive-c", Policy=json.dumps({"Version": "2012-10-17", "Statement": [deny]})
    )
    found = read_topology(environment)
    assert reaches(found, PILOT) == {"camera-pilot": Reach.NONE}
    assert reaches(found, C)["archive-c"] is Reach.UNKNOWN
    assert reaches(found, C)["clean-c"] is Reach.ROLE


def test_of_very_much_only_the_first_is_looked_at(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_ACCOUNTS", 3)
    monkeypatch.setattr(module, "MOST_BUCKETS", 2)
    found = read_topology(environment)
    assert (len(found.accounts), found.unseen) == (3, 6)
    in_b = found.account(B)
    assert in_b is not None
    assert ([bucket.name for bucket in in_b.buckets], in_b.unseen) == (["crowded-b", "documents-b"], 10)
