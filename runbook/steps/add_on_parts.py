"""What a role does with a bucket for an add-on: the statements that let it in, what to ask, and what keys it needs."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from runbook.aws.s3 import Bucket
from runbook.policy import document
from runbook.policy.document import Document, Statement
from runbook.policy.statements import (
    Mode,
    scan_statements,
    scheduled_scan_statements,
    source_bucket_statements,
    target_bucket_statements,
)
from runbook.steps import scan_access
from runbook.steps.bucket_access import LIST
from runbook.steps.key_policies import READ, WRITE
from runbook.steps.merging import MODES, among, merged, parsed
from runbook.untrusted import code

Kind = Literal["connection-target", "target", "source", "scheduled", "scan"]

PUT_TAGS = "s3:PutObjectTagging"
"""Needed for files that have tags, those of bucketAV's results or others: an object is moved with them."""

_KEY_ACTIONS: Mapping[Kind, tuple[str, ...]] = {
    "connection-target": WRITE, "target": WRITE, "source": READ, "scheduled": (), "scan": READ,
}  # fmt: skip

_OUTLINE: Mapping[Kind, tuple[str, str]] = {
    "connection-target": ("add-ons.connection-target", "add-ons.connection-target-kms"),
    "target": ("add-ons.target-bucket", "add-ons.target-bucket-kms"),
    "source": ("add-ons.source-bucket", "add-ons.source-bucket-kms"),
    "scheduled": ("add-ons.scheduled-scan", "add-ons.scheduled-scan-kms"),
    "scan": ("add-ons.scheduled-scan", "add-ons.scheduled-scan-kms"),
}

_DONE: Mapping[Kind, str] = {
    "connection-target": "list and put",
    "target": "list and put",
    "source": "list, read and delete",
    "scheduled": "list versions and read tags",
    "scan": "scan",
}


@dataclass(frozen=True)
class Part:
    """What a role does with one bucket, and for which routes (by their names). `label` is for Sids that are taken.

    `there` says that its statements are in the bucket's policy already, and stay as they are.
    """

    kind: Kind
    role_arn: str
    label: str
    routes: tuple[str, ...]
    delete: bool = False
    tag: bool = False
    there: bool = False

    @property
    def who(self) -> str:
        """`bucketav-quarantine-QuarantineRole-1A2B` of account 111111111111."""
        return f"{code(self.role_arn.rsplit('/', 1)[-1])} of account {self.account}"

    @property
    def account(self) -> str:
        """The account of the role."""
        return self.role_arn.split(":")[4]

    @property
    def is_target(self) -> bool:
        """Whether files are put into the bucket."""
        return self.kind in ("connection-target", "target")

    @property
    def does(self) -> str:
        """`list and put`."""
        return _DONE[self.kind]

    @property
    def outline(self) -> str:
        """The entry of the product page whose statements these are."""
        return _OUTLINE[self.kind][0]

    @property
    def key_outline(self) -> str:
        """The entry that speaks of keys."""
        return _OUTLINE[self.kind][1]

    @property
    def key_actions(self) -> tuple[str, ...]:
        """What it does with keys: of a target with the one for new objects, of a source with all."""
        return _KEY_ACTIONS[self.kind]

    def crosses(self, account: str) -> bool:
        """Whether the role needs to be let in: within its own account, its own policy suffices."""
        return self.account != account

    def statements(self, bucket: Bucket, mode: Mode) -> tuple[Statement, ...]:
        """The statements that let it in; none within its own account."""
        if self.there or not self.crosses(bucket.account):
            return ()
        partition = bucket.arn.split(":")[1]
        if self.kind == "scan":
            return scan_statements(
                self.role_arn, bucket.name, partition=partition, delete=self.delete, tag=self.tag, mode=mode
            )
        made = {"source": source_bucket_statements, "scheduled": scheduled_scan_statements}
        return made.get(self.kind, target_bucket_statements)(self.role_arn, bucket.name, partition=partition, mode=mode)

    @property
    def actions(self) -> tuple[str, ...]:
        """The actions on the bucket and its objects that the add-on needs."""
        if self.is_target:
            return ("s3:ListBucket", "s3:PutObject", PUT_TAGS)
        if self.kind == "source":
            read = ("s3:GetObject", "s3:GetObjectVersion", "s3:GetObjectTagging", "s3:GetObjectVersionTagging")
            return (*LIST, *read, "s3:DeleteObject", "s3:DeleteObjectVersion")
        if self.kind == "scheduled":
            return ("s3:ListBucketVersions", "s3:GetObjectTagging", "s3:GetObjectVersionTagging")
        asked = scan_access.questions(tag=self.tag, delete=self.delete, encrypted=False)
        return tuple(action for action, granted in asked.items() if granted)


NEVER = ("s3:GetObject", "s3:PutObject", "s3:DeleteObject")
"""Asked about where no part of a role's needs it, to show that nothing else was opened."""


def wanted_policy(bucket: Bucket, parts: Sequence[Part], unwanted: Sequence[Part], mode: Mode) -> Document | None:
    """The bucket's policy with what the parts need, and without what only unwanted ones do; None without any.

    Statements in the other mode are exchanged. A statement that others consist of as well stays: a role that may put
    objects and take some lists the bucket for both.
    """
    wanted = [(part.statements(bucket, mode), part.label) for part in parts]
    present = parsed(bucket.policy)
    others = [each for kept in _complete_others(present, bucket, (*parts, *unwanted)) for each in kept]
    known = [each for part in (*parts, *unwanted) for other in MODES for each in part.statements(bucket, other)]
    return merged(bucket.policy, wanted, [each for each in known if not among(each, others)])


def _complete_others(present: Document | None, bucket: Bucket, parts: Sequence[Part]) -> Iterable[Sequence[Statement]]:
    """The statements of other kinds for the same roles, where all of them are there."""
    kinds: tuple[Kind, ...] = ("target", "source", "scheduled")
    for role in dict.fromkeys(part.role_arn for part in parts):
        own = {"target" if part.is_target else part.kind for part in parts if part.role_arn == role}
        for kind in kinds:
            for mode in MODES if kind not in own else ():
                statements = Part(kind, role, "", ()).statements(bucket, mode)
                if statements and all(document.holds(present, each) for each in statements):
                    yield statements
