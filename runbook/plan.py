"""The ordered changes of one run as plain data, with a fingerprint of what was observed; as JSON and as Markdown."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from runbook import markdown
from runbook.files import FileError, parse_object, read_text
from runbook.parameters import AccountId, ParameterError, Parameters, Region, Several, build, shown
from runbook.policy import document
from runbook.untrusted import code, pattern_text, text

Format = Literal["bucketav-runbook plan 1"]
FORMAT: Format = "bucketav-runbook plan 1"

FEW = 10
"""As many changes are shown one by one; longer plans are summed up."""
LONG = 40
"""A difference of more lines is shown once for all that it is the same for."""
NAMELESS = "`…`"
"""Stands in summaries for the name of each resource."""
_NO_PLAN = "It is not a plan; planning or running a notebook writes `plan.json`."


class Resource(Parameters):
    """One thing in AWS that a plan read: which kind of reader knows it, and where it is.

    `kind` names a reader and writer in `runbook.aws`, such as `s3.bucket-policy`; `arn` is the resource it belongs to.
    """

    kind: str
    account: AccountId
    region: Region
    arn: str

    def __str__(self) -> str:
        return f"{text(self.kind)} of {pattern_text(self.arn)} ({self.account}, {self.region})"

    @property
    def name(self) -> str:
        """The last part of the ARN; of a stack's or a stack set's, its name."""
        last = self.arn.rsplit(":", 1)[-1]
        return last.split("/")[1] if last.startswith(("stack/", "stackset/", "stackset-target/")) else last


class Observation(Parameters):
    """A value that a plan rests on without changing it, for example the outputs of the bucketAV stack."""

    resource: Resource
    value: str | None


class Effect(Parameters):
    """Something else that comes or goes with a change: a resource of the stack whose parameters are changed."""

    action: Literal["add", "remove"]
    name: str = Field(description="the resource's logical id")
    kind: str = Field(description="its type, for example AWS::SNS::Topic")
    holds: int = Field(0, description="how many items go with a table that is removed")

    def __str__(self) -> str:
        lost = f", and {markdown.count(self.holds, 'item')} in it" if self.holds else ""
        return f"{self.action} {text(self.name)} ({text(self.kind)}){lost}"


class Change(Parameters):
    """One difference between what is and what should be, on one resource.

    `before` is what was read, to the letter, and `after` what is to be there; None means that there is none. `outline`
    names the entries of the product page that the change carries out, `effects` what comes or goes with it.
    """

    resource: Resource
    summary: str
    before: str | None
    after: str | None
    outline: Several[str] = ()
    effects: Several[Effect] = ()

    def reversed(self) -> "Change":
        """The change that takes this one back."""
        back: tuple[Effect, ...] = tuple(
            effect.model_copy(update={"action": "remove" if effect.action == "add" else "add", "holds": 0})
            for effect in self.effects
        )
        return self.model_copy(update={"before": self.after, "after": self.before, "effects": back})

    @property
    def name(self) -> str:
        """What the resource is called."""
        return self.resource.name

    def difference(self) -> str:
        """A unified diff of the documents, pretty-printed."""
        return document.difference(self.before, self.after, name=f"{self.resource.kind} {self.name}")


class Plan(Parameters):
    """What one run would change, and all that has to be still true when it is applied."""

    format: Format = FORMAT
    step: str = Field(description="the notebook, for example 05-bucket-policy")
    scenario: str
    environment: str
    parameters: dict[str, Any] = Field(description="the step's parameters, from which it can be made again")
    changes: Several[Change]
    observed: Several[Observation] = ()
    notes: Several[str] = ()
    left_out: Several[str] = Field((), description="what a failed check stands against")
    overview: str = Field("", description="the whole picture that the changes are part of, in Markdown")

    @property
    def fingerprint(self) -> str:
        """SHA-256 over all of the plan: what was observed and what is to be done. An edited plan has another one.

        It finds accidents, and is no signature: whoever edits a file can compute it. It protects a plan as far as the
        person who applies it knows the right one from elsewhere (`runbook apply --fingerprint`).
        """
        return _fingerprint(self.model_dump(mode="json"))

    @property
    def summary(self) -> str:
        """`3 changes in 2 accounts`, or that there is nothing to do."""
        left_out = f" {len(self.left_out)} left out, because a check failed." if self.left_out else ""
        if not self.changes:
            return f"Nothing to change{'.' if left_out else ': everything is as it should be.'}{left_out}"
        accounts = {change.resource.account for change in self.changes}
        return f"{markdown.count(len(self.changes), 'change')} in {markdown.count(len(accounts), 'account')}.{left_out}"

    # --- JSON ---

    def to_json(self) -> str:
        """The content of `plan.json`."""
        body = self.model_dump(mode="json")
        return json.dumps(body | {"fingerprint": _fingerprint(body)}, indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str, where: str) -> "Plan":
        """Read `plan.json`. Raises ParameterError when it is not a plan, or does not match its fingerprint."""
        try:
            body = parse_object(text, Path(where))
        except FileError as error:
            raise ParameterError([f"{where}: {error.why} {_NO_PLAN}"]) from None
        if body.get("format") != FORMAT:
            raise ParameterError([f"{where}: is another kind of file. {_NO_PLAN}"])
        fingerprint = body.pop("fingerprint", None)
        plan = build(cls, body, where)
        if plan.fingerprint != fingerprint:
            raise ParameterError(
                [f"{where}: does not match its fingerprint; it was edited after it was made. Make the plan again."]
            )
        return plan

    @classmethod
    def load(cls, path: Path) -> "Plan":
        """Read a plan from a file, or from the run folder that holds it."""
        file = path / "plan.json" if path.is_dir() else path
        try:
            return cls.from_json(read_text(file, follow=False), shown(file))
        except OSError as error:
            raise ParameterError([f"{shown(file)}: cannot be read ({error.strerror})."]) from None
        except FileError as error:
            raise ParameterError([f"{shown(file)}: {error.why}"]) from None

    # --- reading it ---

    def alike(self) -> list[tuple[Change, ...]]:
        """The changes, those together that differ in nothing but the name of the resource, wherever it is."""
        groups: dict[tuple[object, ...], list[Change]] = {}
        for change in self.changes:
            texts = (change.summary, change.before, change.after)
            nameless = (text if text is None else text.replace(change.name, "\0") for text in texts)
            groups.setdefault((change.resource.kind, *nameless, change.effects), []).append(change)
        return [tuple(group) for group in groups.values()]

    def __repr__(self) -> str:
        lines = [f"{change.resource.account} {text(change.name)}: {change.summary}" for change in self.changes]
        if self._is_long:
            lines = [f"{number} × {what}: {where}" for what, number, where in self._in_numbers()]
        return "\n".join([self.summary, *markdown.first(lines, FEW), *self.notes])

    def to_markdown(self, most: int = FEW) -> str:
        """The plan for people: what, where, and the exact difference.

        Of a long plan, how often what is done and where, and of changes that are alike the first one; of more than
        `most` kinds only the first.
        """
        left_out = [f"Left out because a check failed: {markdown.names(self.left_out, most)}."] if self.left_out else []
        parts = [f"**{self.summary}**", *(f"- {markdown.plain(note)}" for note in (*left_out, *self.notes))]
        parts += [self.overview] if self.overview else []
        parts += self.changes_in_markdown(most)
        if self.changes:
            parts.append(f"Fingerprint of the plan: {code(self.fingerprint[:16])}")
        return "\n\n".join(parts)

    def changes_in_markdown(self, most: int = FEW) -> list[str]:
        """The paragraphs of `to_markdown` that show the changes."""
        parts: list[str] = []
        groups = self.groups()
        if self._is_long:
            rows = [(f"{number}", what, where) for what, number, where in self._in_numbers()]
            parts.append(markdown.table(["Changes", "What", "Where"], rows[:FEW]))
            parts += [f"… and {markdown.count(len(rows) - FEW, 'more line')}."] if len(rows) > FEW else []
        by_account: dict[str, list[tuple[Change, ...]]] = {}
        for group in groups[:most]:
            by_account.setdefault(group[0].resource.account, []).append(group)
        for account, of_account in by_account.items():
            parts.append(f"#### Account {account}")
            parts += [part for group in of_account for part in _shown(group, most)]
        if len(groups) > most:
            left = sum(map(len, groups[most:]))
            parts.append(f"… and {markdown.count(left, 'more change')}, all of them in `plan.json`.")
        return parts

    def _repr_markdown_(self) -> str:
        return markdown.gate(self.to_markdown())

    def groups(self) -> list[tuple[Change, ...]]:
        """Changes that are told together: those that are alike, where the plan or their difference is long."""
        if self._is_long:
            return self.alike()
        groups: list[tuple[Change, ...]] = []
        for group in self.alike():
            long = group[0].difference().count("\n") >= LONG
            groups += [group] if long else [(change,) for change in group]
        return sorted(groups, key=lambda group: self.changes.index(group[0]))

    @property
    def _is_long(self) -> bool:
        return len(self.changes) > FEW

    def _in_numbers(self) -> list[tuple[str, int, str]]:
        """What is done, how often, and in which accounts."""
        groups: dict[str, list[Change]] = {}
        for change in self.changes:
            groups.setdefault(change.summary.replace(code(change.name), NAMELESS), []).append(change)
        return [(what, len(changes), _accounts(changes)) for what, changes in groups.items()]


def _shown(group: Sequence[Change], most: int) -> Iterator[str]:
    """The first of changes that are alike, what comes or goes with it, and the names of the others."""
    first, others = group[0], group[1:]
    yield f"**{code(first.name)}** ({text(first.resource.kind)}, {first.resource.region}): {first.summary}"
    yield markdown.code_block(first.difference(), "diff")
    if first.effects:
        yield "\n".join(["With it, CloudFormation will", "", *(f"- {effect}" for effect in first.effects)])
    if others and all(change.name == first.name for change in others):
        yield f"… and the same in {markdown.joined([f'account {change.resource.account}' for change in others], most)}."
    elif others:
        names = markdown.names([change.name for change in others], most)
        yield f"… and {len(others)} alike, but for the name: {names} ({_accounts(others)})."


def _fingerprint(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _accounts(changes: Iterable[Change]) -> str:
    """The accounts that the changes are in; of many, how many."""
    accounts = list(dict.fromkeys(change.resource.account for change in changes))
    return f"account {accounts[0]}" if len(accounts) == 1 else f"{len(accounts)} accounts"
