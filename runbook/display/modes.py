"""The two modes side by side: what the documented statements grant, what ours grant, and what the difference allows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from runbook import markdown
from runbook.policy import actions
from runbook.policy.document import Statement
from runbook.policy.statements import (
    Mode,
    connection_target_statements,
    findings_queue_statements,
    key_statement,
    scan_statements,
    scheduled_scan_statements,
    source_bucket_statements,
    target_bucket_statements,
)
from runbook.review.outline import links, load
from runbook.untrusted import code

_ROLE = "arn:aws:iam::111111111111:role/role"

_MATTERS: Mapping[str, str] = {
    "s3:DeleteObjectTagging": "take away bucketAV's results, so that a file looks as if it had never been scanned",
    "s3:DeleteObjectVersionTagging": "the same of an older version",
    "s3:GetObjectAcl": "see who else may read a file",
    "s3:GetObjectTorrent": "hand out a file to others by BitTorrent",
    "s3:ListBucketMultipartUploads": "see what is being uploaded",
    "s3:PutObjectAcl": "make a file public, or give it to another account, where ACLs are enabled",
    "s3:PutObjectVersionAcl": "the same with an older version",
    "s3:PutObjectLegalHold": "keep a file from being deleted for good, at the owner's cost, where Object Lock is on",
    "s3:PutObjectRetention": "the same for a time, in compliance mode against the owner's will",
    "sqs:AddPermission": "let other accounts use the queue",
    "sqs:DeleteQueue": "delete the queue, and findings with it",
    "sqs:PurgeQueue": "throw away all findings that wait in the queue",
    "sqs:SendMessage": "put made-up findings into the queue",
    "sqs:SetQueueAttributes": "replace the queue's policy",
}
"""What somebody who had taken over the role could do with an action, where it is worth more words than AWS's own."""


@dataclass(frozen=True)
class Modes:
    """Every snippet of the documentation in both modes."""

    def __repr__(self) -> str:
        return "\n".join(f"{each.entry}: hardened does not grant {', '.join(each.saved) or 'less'}" for each in _all())

    def _repr_markdown_(self) -> str:
        outline = load()
        rows = [
            (
                links(outline, [outline.entry(each.entry)]),
                code(each.entry),
                _granted(each.literal),
                _granted(each.hardened),
                f"{len(each.saved)} actions" if each.saved else each.note or "nothing",
            )
            for each in _all()
        ]
        head = ["Page", "Snippet", "`literal`, documented", "`hardened`, ours, not confirmed by the vendor", "Saved"]
        parts = [markdown.table(head, rows), "What somebody who had got hold of the role could do with the difference:"]
        where: dict[str, list[str]] = {}
        for each in _all():
            for action in each.saved:
                where.setdefault(action, []).append(each.entry)
        parts.append(
            markdown.table(
                ["Action", "It would let them", "Granted by"],
                [
                    (code(action), _meaning(action), markdown.names(entries, most=2))
                    for action, entries in where.items()
                ],
            )
        )
        return markdown.gate("\n\n".join(parts))


@dataclass(frozen=True)
class _Snippet:
    entry: str
    literal: Sequence[Statement]
    hardened: Sequence[Statement]
    note: str = ""

    @property
    def saved(self) -> tuple[str, ...]:
        return actions.saved(self.literal, self.hardened)


def modes() -> Modes:
    """The two modes of all sections."""
    return Modes()


def _all() -> list[_Snippet]:
    def both(mode: Mode) -> Mapping[str, Sequence[Statement]]:
        return {
            "bucket-policy.statements": scan_statements(_ROLE, "bucket", mode=mode),
            "add-ons.connection-target": connection_target_statements("222222222222", "bucketav", "bucket", mode=mode),
            "add-ons.target-bucket": target_bucket_statements(_ROLE, "bucket", mode=mode),
            "add-ons.source-bucket": source_bucket_statements(_ROLE, "bucket", mode=mode),
            "add-ons.scheduled-scan": scheduled_scan_statements(_ROLE, "bucket", mode=mode),
            "findings-topic.queue-policy": findings_queue_statements("222222222222", "queue", "topic", mode=mode),
            "add-ons.target-bucket-kms": [
                key_statement(
                    _ROLE,
                    actions=("kms:GenerateDataKey", "kms:Decrypt"),
                    via="s3.eu-west-1.amazonaws.com" if mode == "hardened" else "",
                )
            ],
        }

    notes = {"add-ons.target-bucket-kms": "use of the key other than through S3"}
    literal, hardened = both("literal"), both("hardened")
    return [_Snippet(entry, literal[entry], hardened[entry], notes.get(entry, "")) for entry in literal]


def _granted(statements: Sequence[Statement]) -> str:
    """The actions, those of a statement in a line; with its condition, and a principal that is no role."""
    lines = []
    for statement in statements:
        named = statement["Action"]
        told = ", ".join(code(each) for each in ([named] if isinstance(named, str) else named))
        if "Service" in statement["Principal"]:
            told += f" for {code(statement['Principal']['Service'])}"
        elif statement["Principal"] == "*":
            told += " for anybody"
        if "kms:ViaService" in str(statement.get("Condition", "")):
            told += ", through S3 only"
        lines.append(told)
    return "\n".join(lines)


def _meaning(action: str) -> str:
    told = actions.description(action).removeprefix("Grants permission to ")
    return _MATTERS.get(action, told[:1].lower() + told[1:])
