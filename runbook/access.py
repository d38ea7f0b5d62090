"""Who may do what, before and after: the questions, the answers, and how they read as a matrix."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, overload

from runbook import markdown
from runbook.policy.evaluate import Decision, Verdict
from runbook.untrusted import code, text

Answers = tuple[tuple[str, Verdict, Verdict], ...]
"""For one resource, each action and the answers before and after."""


@dataclass(frozen=True, slots=True)
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

    def renamed(self, name: str, other: str) -> "Access":
        """The same answer about a resource of another name. `name` may stand in no other part of a word."""
        return replace(
            self,
            resource=self.resource.replace(name, other),
            before=self.before.renamed(name, other),
            after=self.after.renamed(name, other),
        )


class Rows(Sequence[Access]):
    """The answers about many resources, in parts that are kept once for all resources they are the same for.

    A part is what `model` says of a resource called `name`; told of each other resource, it is renamed when it is read.
    Ten thousand buckets that are alike take the memory of one, and of their names.
    """

    def __init__(self, parts: Iterable["Part"]) -> None:
        self.parts = tuple(parts)

    def __len__(self) -> int:
        return sum(len(part.model) for part in self.parts)

    def __iter__(self) -> Iterator[Access]:
        return (row for part in self.parts for row in part.rows())

    @overload
    def __getitem__(self, index: int) -> Access: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Access]: ...
    def __getitem__(self, index: int | slice) -> Access | Sequence[Access]:
        return tuple(self)[index]


@dataclass(frozen=True, slots=True)
class Part:
    """What is known of one resource: the rows of a model, in which `name` stands for `other`."""

    model: tuple[Access, ...]
    name: str = ""
    other: str = ""

    @property
    def resource(self) -> str:
        """What people call the resource."""
        return self.model[0].resource.replace(self.name, self.other) if self.name else self.model[0].resource

    def rows(self, where: Callable[[Access], bool] = lambda _: True) -> Iterator[Access]:
        """The answers about the resource, or some of them."""
        chosen = filter(where, self.model)
        return (row.renamed(self.name, self.other) if self.name else row for row in chosen)


@dataclass(frozen=True)
class AccessMatrix:
    """Principal × action × resource: one table for principals alike, a line for each action, a column for resources
    alike.
    """

    rows: Sequence[Access]
    predicted: bool = False

    @property
    def not_as_wanted(self) -> tuple[Access, ...]:
        """The answers that are not what the run is for."""
        return tuple(row for part in self._parts for row in part.rows(lambda row: not row.as_wanted))

    def by_principal(self) -> dict[str, list[Access]]:
        """The answers of each principal, in order."""
        found: dict[str, list[Access]] = {}
        for row in self.rows:
            found.setdefault(row.principal, []).append(row)
        return found

    def tables(self) -> list["Table"]:
        """How the answers are shown: a table for principals alike, with a column for resources alike; or, where all
        principals are asked about the same resources, one table with a column for principals alike.
        """
        when = "would be able to do" if self.predicted else "can do"
        groups = self._groups()
        asked = {tuple(resources) for _, columns in groups for resources in columns.values()}
        if len(groups) > 1 and len(asked) == 1 and all(len(columns) == 1 for _, columns in groups):
            return [
                Table(
                    f"What each {when} with **{markdown.names(asked.pop())}**",
                    tuple((_principals(principals), next(iter(columns))) for principals, columns in groups),
                )
            ]
        return [
            Table(
                f"What **{_principals(principals)}** {when}",
                tuple((markdown.names(resources), answers) for answers, resources in columns.items()),
            )
            for principals, columns in groups
        ]

    def __repr__(self) -> str:
        return self.to_text()

    def to_text(self, most: int = 8) -> str:
        """A line for each action and resources alike; of more than `most` kinds of resources only the first."""
        lines = []
        tables = self._groups()
        for principals, columns in tables[:most]:
            who = markdown.joined([text(_resource_name(principal)) for principal in principals])
            for answers, resources in list(columns.items())[:most]:
                of = markdown.joined(resources)
                lines += [f"{who} {action} {of}: {before} -> {after}" for action, before, after in answers]
            if len(columns) > most:
                lines.append(f"… and {markdown.count(len(columns) - most, 'more kind')} of answers")
        if len(tables) > most:
            lines.append(f"… and {markdown.count(len(tables) - most, 'more kind')} of principals")
        return "\n".join(lines)

    def to_markdown(self, most: int = 8) -> str:
        """The matrix, and why for each answer that is not as wanted; of more than `most` of either only the first."""
        parts = []
        tables = self.tables()
        for table in tables[:most]:
            shown = table.columns[:most]
            parts.append(f"{table.caption}, before → after:")
            head = ["", *(of for of, _ in shown)]
            parts.append(markdown.table(head, (_line(action, [each for _, each in shown]) for action in table.actions)))
            if len(table.columns) > most:
                parts.append(f"… and {len(table.columns) - most} more columns, all of them in `result.json`.")
        if len(tables) > most:
            parts.append(f"… and {len(tables) - most} more kinds of principals, all of them in `result.json`.")
        parts.append("✓ allowed, · denied, ? cannot be decided from the documents.")
        not_as_wanted = self.not_as_wanted
        for row in not_as_wanted[:most]:
            reason = markdown.plain(row.after.reason)
            parts.append(f"- {code(row.action)} on {code(row.resource)} is {row.after.verdict}: {reason}")
        if len(not_as_wanted) > most:
            parts.append(f"- … and {len(not_as_wanted) - most} more")
        return "\n\n".join(parts)

    def _repr_markdown_(self) -> str:
        return markdown.gate(self.to_markdown())

    def as_json(self) -> list[dict[str, Any]]:
        """Plain data for `result.json`: resources that are alike, and the answers about them.

        Where there are several, `BUCKET_NAME` in a reason stands for the name of each.
        """
        groups: dict[tuple[int, str], list[Part]] = {}
        for part in self._parts:
            groups.setdefault((id(part.model), part.name), []).append(part)
        return [
            {
                "principal": group[0].model[0].principal,
                "resources": [part.resource for part in group],
                "answers": [
                    _answer_as_json(row)
                    for row in (group[0] if len(group) == 1 else Part(group[0].model, group[0].name, NAME)).rows()
                ],
            }
            for group in groups.values()
        ]

    @property
    def _parts(self) -> tuple[Part, ...]:
        if isinstance(self.rows, Rows):
            return self.rows.parts
        found: dict[tuple[str, str], list[Access]] = {}
        for row in self.rows:
            found.setdefault((row.principal, row.resource), []).append(row)
        return tuple(Part(tuple(rows)) for rows in found.values())

    def _groups(self) -> list[tuple[list[str], dict[Answers, list[str]]]]:
        """The columns of each principal, of principals who are alike only once."""
        tables: dict[Any, tuple[list[str], dict[Answers, list[str]]]] = {}
        for principal, columns in self._columns().items():
            alike = tuple((answers, tuple(resources)) for answers, resources in columns.items())
            tables.setdefault(alike, ([], columns))[0].append(principal)
        return list(tables.values())

    def _columns(self) -> dict[str, dict[Answers, list[str]]]:
        """For each principal the resources by their answers: a thousand buckets that are all alike are one column."""
        found: dict[str, dict[Answers, list[str]]] = {}
        answers_of: dict[int, Answers] = {}
        for part in self._parts:
            answers = answers_of.get(id(part.model))
            if answers is None:
                answers = tuple((row.action, row.before.verdict, row.after.verdict) for row in part.model)
                answers_of[id(part.model)] = answers
            found.setdefault(part.model[0].principal, {}).setdefault(answers, []).append(part.resource)
        return found


@dataclass(frozen=True, slots=True)
class Table:
    """A part of a matrix as it is shown: what it is about, and the head and the answers of each column, in Markdown."""

    caption: str
    columns: tuple[tuple[str, Answers], ...]

    @property
    def actions(self) -> list[str]:
        """The lines, in order."""
        return list(dict.fromkeys(action for _, answers in self.columns for action, _, _ in answers))


NAME = "BUCKET_NAME"
_SIGNS: Mapping[Verdict, str] = {Verdict.ALLOWED: "✓", Verdict.DENIED: "·", Verdict.INDETERMINATE: "?"}


def _line(action: str, columns: Iterable[Answers]) -> list[str]:
    cells = []
    for answers in columns:
        said = {each: f"{_SIGNS[before]} → {_SIGNS[after]}" for each, before, after in answers}
        cells.append(said.get(action, "not asked"))
    return [code(action), *cells]


def _answer_as_json(row: Access) -> dict[str, Any]:
    return {
        "action": row.action,
        "before": row.before.verdict.value,
        "after": row.after.verdict.value,
        "granted": row.granted,
        "reason": row.after.reason,
    }


def _principals(arns: Sequence[str]) -> str:
    return markdown.names([_resource_name(arn) for arn in arns])


def _resource_name(arn: str) -> str:
    """`role/bucketav-ScanRole-1A2B` of `arn:aws:iam::111111111111:role/bucketav-ScanRole-1A2B`."""
    return arn.rsplit(":", 1)[-1]
