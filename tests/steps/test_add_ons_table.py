"""Every situation of add-ons, with every encryption, in both modes: the add-on's stand-in fails before, works after,
and fails after undo; or the step refuses, with the right reason. The cells are a table at the end of the test report.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from runbook.checks import ChecksFailed
from runbook.environment import Environment
from runbook.procedure import Procedure
from runbook.run import undo
from runbook.sandbox.server import Sandbox
from runbook.sandbox.stand_ins import StandIn
from runbook.steps.add_ons import AddOns
from runbook.steps.scenarios import make_step
from tests.world import as_scan_role, everything

A = "111111111111"
KEYS = {"b": "alias/documents", "c": "alias/clean"}
"""The customer-managed key of each account."""


@dataclass(frozen=True)
class Case:
    """Buckets in a situation, and the add-on that works with them. `encrypted` are those whose encryption varies."""

    situation: str
    source: str
    target: str
    add_on: str
    stack: str
    status: str
    encrypted: tuple[str, ...]

    @property
    def nothing_to_do(self) -> bool:
        return self.situation == "connected"


CASES = (
    Case(
        "connection-target",
        "888888888888/camera-pilot",
        "c/quarantine-c",
        "quarantine",
        "bucketav-quarantine",
        "infected",
        ("c/quarantine-c",),
    ),
    Case(
        "connected",
        "c/archive-c",
        "c/quarantine-c",
        "quarantine",
        "bucketav-quarantine",
        "infected",
        ("c/archive-c", "c/quarantine-c"),
    ),
    Case(
        "target-bucket",
        "a/uploads-a",
        "c/quarantine-c",
        "quarantine",
        "bucketav-quarantine",
        "infected",
        ("c/quarantine-c",),
    ),
    Case(
        "source-bucket",
        "b/uploads-b",
        "a/unscannable-a",
        "move-no",
        "bucketav-move-no",
        "no",
        ("b/uploads-b",),
    ),
    Case(
        "scheduled-scan",
        "b/uploads-b",
        "",
        "scheduled-bucket-scan",
        "bucketav-scheduled-bucket-scan",
        "",
        ("b/uploads-b",),
    ),
)
# "none": default encryption was never set. S3 encrypts with keys of its own then, as if SSE-S3 had been.
ENCRYPTIONS = ("none", "SSE-S3", "customer-managed key", "AWS-managed key")
MODES = ("literal", "hardened")


class World:
    """The buckets of a case as their owners see them, and the add-on at work."""

    def __init__(self, sandbox: Sandbox, environment: Environment, case: Case) -> None:
        self.environment = environment
        self.case = case
        self._stand_in = StandIn(sandbox, A, case.stack)

    def encrypt(self, encryption: str) -> None:
        for address in self.case.encrypted:
            client, bucket, account = self._owner(address)
            rule: dict[str, Any] = {"SSEAlgorithm": "AES256" if encryption == "SSE-S3" else "aws:kms"}
            if encryption == "none":
                client.delete_bucket_encryption(Bucket=bucket)
                continue
            if encryption == "customer-managed key":
                aliases = self.environment.client("kms", self.environment.account_id(account)).list_aliases()["Aliases"]
                key = next(each["TargetKeyId"] for each in aliases if each["AliasName"] == KEYS[account])
                region = self.environment.region
                rule["KMSMasterKeyID"] = f"arn:aws:kms:{region}:{self.environment.account_id(account)}:key/{key}"
            rules = [{"ApplyServerSideEncryptionByDefault": rule}]
            client.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": rules})

    def works(self) -> bool:
        """Whether the add-on can do its work with a new file of the owner's; what is left over is put away."""
        client, bucket, _ = self._owner(self.case.source)
        if not self.case.target:
            # What bucketAV is told of, it scans at once: a schedule is for what it was not told of.
            client.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={})
        client.put_object(Bucket=bucket, Key="file.txt", Body=b"content", Tagging="")
        try:
            return self._scans(bucket) if not self.case.target else self._moves(bucket)
        except ClientError as error:
            if error.response["Error"]["Code"] not in ("AccessDenied", "403"):
                raise
            return False

    def _moves(self, bucket: str) -> bool:
        moved = self._stand_in.take({"bucket": bucket, "key": "file.txt", "status": self.case.status})
        assert moved is not None
        client, target, _ = self._owner(self.case.target)
        assert client.get_object(Bucket=target, Key="file.txt")["Body"].read() == b"content"
        source, name, _ = self._owner(self.case.source)
        assert "file.txt" not in [each["Key"] for each in source.list_objects_v2(Bucket=name).get("Contents", [])]
        client.delete_object(Bucket=target, Key="file.txt")
        return True

    def _scans(self, bucket: str) -> bool:
        found = [each.key for each in self._stand_in.scan() if each.bucket == bucket]
        read = as_scan_role(self.environment).get_object(Bucket=bucket, Key="file.txt")["Body"].read()
        return "file.txt" in found and read == b"content"

    def _owner(self, address: str) -> tuple[Any, str, str]:
        account, _, bucket = address.partition("/")
        return self.environment.client("s3", self.environment.account_id(account)), bucket, account


def expected(case: Case, encryption: str) -> str:
    """What a cell of the table says."""
    if case.nothing_to_do:
        return "works, nothing to do"
    return "refused" if encryption == "AWS-managed key" else "fails, works, fails"


def seen(world: World, encryption: str, mode: str, folder: Path) -> str:
    """What a cell of the table is, by going through it."""
    case, environment = world.case, world.environment
    world.encrypt(encryption)
    before = everything(environment)
    worked = world.works()
    given = {
        "source_buckets": [case.source],
        "target_buckets": [case.target] if case.target else [],
        "add_ons": [case.add_on],
        "situation": case.situation,
        "key_policy": "change",
        "mode": mode,
    }
    procedure = Procedure(make_step(AddOns, "", given), environment, apply=True, folder=str(folder))
    try:
        procedure.check()
    except ChecksFailed as failed:
        told = str(failed)
        refused = "AWS-managed key aws/s3; its policy cannot be changed" in told and "Ways out" in told
        unchanged = everything(environment) == before
        return "refused" if refused and unchanged and not worked else f"{worked}, {unchanged}: {told}"
    plan = procedure.plan()
    procedure.verify(procedure.apply(plan))
    assert world.works()
    assert procedure.plan().changes == ()
    if not plan.changes:
        assert everything(environment) == before
        assert worked
        return "works, nothing to do"
    undo(folder, environment)
    assert everything(environment) == before
    return f"{'works' if worked else 'fails'}, works, {'works' if world.works() else 'fails'}"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("encryption", ENCRYPTIONS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.situation)
def test_the_add_on_works_as_it_should(
    case: Case,
    encryption: str,
    mode: str,
    sandbox: Sandbox,
    environment: Environment,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    found = seen(World(sandbox, environment, case), encryption, mode, tmp_path / "run")
    record_property("add-ons", (case.situation, encryption, mode, found))
    assert found == expected(case, encryption)
