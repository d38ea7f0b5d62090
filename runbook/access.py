"""Who may do what, before and after: the questions, the answers, and how they read as a matrix."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from runbook import markdown
from runbook.policy.evaluate import Decision, Verdict


@dataclass(frozen=True)
class Access:
    """One question, answered on the documents before and after a run.

    `resource` is what people call it (account and bucket), `action` the IAM action. `granted` says whether the run is
    to give this access; what it is not to give has to stay as it was, or be taken away.
    """

    principal: str
    action: str
    resource: str
    before: Decision
    after: Decision
    granted: bool

    @property
    def as_wanted(self) -> bool:
        """Whether the answer afterwards is the one that the run is for; what cannot be decided never is one to give."""
        if self.granted:
            return self.after.verdict is Verdict.ALLOWED
        return self.after.verdict in (Verdict.DENIED, self.before.verdict)

    def as_json(self) -> dict[str, Any]:
        """Plain data for `result.json`."""
        return {
            "principal": self.principal,
            "action": self.action,
            "resource": self.resource,
            "before": self.before.verdict.value,
            "after": self.after.verdict.value,
            "granted": self.granted,
            "reason": self.after.reason,
        }


@dataclass(frozen=True)
class AccessMatrix:
    """Principal × action × resource. One table a principal: a line for each action, a column for resources alike."""

    rows: tuple[Access, ...]
    predicted: bool = False

    @property
    def not_as_wanted(self) -> tuple[Access, ...]:
        """The answers that are not what the run is for."""
        return tuple(row for row in self.rows if not row.as_wanted)

    def by_principal(self) -> dict[str, list[Access]]:
        """The answers of each principal, in order."""
        return _grouped(self.rows, "principal")

    def __repr__(self) -> str:
        return "\n".join(
            f"{_resource_name(row.principal)} {row.action} {row.resource}: {row.before.verdict} -> {row.after.verdict}"
            for row in self.rows
        )

    def to_markdown(self, most: int = 8) -> str:
        """The matrix, and why for each answer that is not as wanted; of more than `most` of either only the first."""
        parts = []
        for principal, rows in self.by_principal().items():
            columns = _alike(rows)
            when = "would be able to do" if self.predicted else "can do"
            parts.append(f"What **`{_resource_name(principal)}`** {when}, before → after:")
            head = ["", *(markdown.names(resources) for resources in list(columns.values())[:most])]
            actions = dict.fromkeys(row.action for row in rows)
            parts.append(markdown.table(head, (_line(action, list(columns)[:most]) for action in actions)))
            if len(columns) > most:
                parts.append(f"… and {len(columns) - most} more columns, all of them in `result.json`.")
        parts.append("✓ allowed, · denied, ? cannot be decided from the documents.")
        for row in self.not_as_wanted[:most]:
            reason = markdown.plain(row.after.reason)
            parts.append(f"- `{row.action}` on `{row.resource}` is {row.after.verdict}: {reason}")
        if len(self.not_as_wanted) > most:
            parts.append(f"- … and {len(self.not_as_wanted) - most} more")
        return "\n\n".join(parts)

    def _repr_markdown_(self) -> str:
        return self.to_markdown()


_SIGNS: Mapping[Verdict, str] = {Verdict.ALLOWED: "✓", Verdict.DENIED: "·", Verdict.INDETERMINATE: "?"}


Answers = tuple[tuple[str, str], ...]
"""For one resource, each action and how its answer changed: `(("s3:ListBucket", "· → ✓"), …)`."""


def _alike(rows: Iterable[Access]) -> dict[Answers, list[str]]:
    """Resources by their answers: a thousand buckets that are all alike are one column."""
    columns: dict[Answers, list[str]] = {}
    for resource, asked in _grouped(rows, "resource").items():
        answers = tuple((row.action, f"{_SIGNS[row.before.verdict]} → {_SIGNS[row.after.verdict]}") for row in asked)
        columns.setdefault(answers, []).append(resource)
    return columns


def _line(action: str, columns: Iterable[Answers]) -> list[str]:
    return [f"`{action}`", *(dict(answers).get(action, "not asked") for answers in columns)]


def _grouped(rows: Iterable[Access], attribute: str) -> dict[str, list[Access]]:
    groups: dict[str, list[Access]] = {}
    for row in rows:
        groups.setdefault(getattr(row, attribute), []).append(row)
    return groups


def _resource_name(arn: str) -> str:
    """`role/bucketav-ScanRole-1A2B` of `arn:aws:iam::111111111111:role/bucketav-ScanRole-1A2B`."""
    return arn.rsplit(":", 1)[-1]
