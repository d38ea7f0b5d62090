"""Topologies as a look at an organization would find them, without one."""

from collections.abc import Mapping

from runbook.aws.cloudformation import Stack
from runbook.aws.organizations import Organization
from runbook.steps.allowlist_state import Lists
from runbook.steps.topology import AccountState, BucketState, Encryption, Reach, Topology, Way
from runbook.untrusted import NOTHING, Untrusted

A, B, C, D, E, F = (digit * 12 for digit in "123457")
PILOT, LEFT, MANAGEMENT = (digit * 12 for digit in "869")


def bucket(name: str, encryption: Encryption = Encryption.PLAIN, reach: Reach = Reach.NONE) -> BucketState:
    return BucketState(name, reach, "as a test has it", encryption)


def account(label: str, identifier: str, way: Way, *buckets: BucketState, problem: str = "") -> AccountState:
    return AccountState(identifier, label, NOTHING, True, way, "arn:aws:iam::role/X", buckets, problem=problem)


def topology(
    *,
    version: str = "2.19.3",
    organization: bool = True,
    listed: bool = False,
    managed: bool = True,
    others: Mapping[str, AccountState] | None = None,
) -> Topology:
    """Account a; b allowlisted, with buckets of every encryption; c connected; d, e and f not known to bucketAV."""
    accounts = {
        "a": account("a", A, Way.HOME, bucket("uploads-a", reach=Reach.HOME)),
        "management": account("management", MANAGEMENT, Way.APART),
        "b": account(
            "b",
            B,
            Way.ALLOWLISTED,
            bucket("documents-b", Encryption.CUSTOMER),
            bucket("open-b", reach=Reach.POLICY),
            bucket("uploads-b"),
            bucket("vault-b", Encryption.AWS),
        ),
        "c": account("c", C, Way.CONNECTED, bucket("archive-c", reach=Reach.ROLE)),
        "d": account("d", D, Way.APART),
        "e": account("e", E, Way.APART, bucket("reports-e")),
        "f": account("f", F, Way.APART),
        **(others or {}),
    }
    members = {each.id: (Untrusted(each.label), "ACTIVE") for each in accounts.values()}
    return Topology(
        environment="sandbox",
        region="eu-west-1",
        stack=Stack("bucketav", "CREATE_COMPLETE", "arn", {}, {"Engine": "clamav", "Version": version}),
        lists=Lists((B,), ("o-exampleorg",) if listed else ()),
        organization=Organization("o-exampleorg", members) if organization else None,
        managed=managed,
        accounts=tuple(accounts.values()),
        unseen=0,
        problems=(),
    )
