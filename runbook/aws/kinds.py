"""The kinds of resource that a plan can read and change, each registered by the module that knows it."""

import json
from collections.abc import Callable
from typing import Any, Protocol, TypeVar, runtime_checkable

from runbook import markdown
from runbook.environment import Environment
from runbook.errors import RunbookError
from runbook.parameters import ParameterError, did_you_mean
from runbook.plan import Change, Resource
from runbook.policy import document


class ResourceGone(RunbookError):
    """What was to be read belongs to a resource that does not exist any more."""


Report = Callable[[str], None]
"""Called with a line on what goes on while a change takes long."""

Told = tuple[str, ...]
"""What happened during a change, a line each, for the journal and for people."""


class Reader(Protocol):
    """Something that a plan may rest on. Calls are made in the resource's own account."""

    name: str

    def read(self, environment: Environment, resource: Resource) -> str | None:
        """The present value to the letter; None when there is none. Raises ResourceGone when nothing can have one."""


@runtime_checkable
class Kind(Reader, Protocol):
    """Something that a plan may change.

    `independent` says that a change which cannot be made is no reason to leave out the others of its kind: accounts
    that are each connected for themselves, for example.
    """

    independent: bool

    def write(self, environment: Environment, change: Change, report: Report) -> Told:
        """Make `change.after` the present value; None takes it away.

        The caller has just seen `change.before` there, or what is `in_part` the one and in part the other.
        `report` is told what goes on while that takes long; the answer is what is worth telling afterwards.
        """

    def tidy(self, environment: Environment, change: Change) -> None:
        """Take away what a write that was cut off may have left beside the resource."""

    def same(self, one: str | None, other: str | None) -> bool:
        """Whether two values mean the same: AWS may hand back what was put in another form."""

    def made(self, change: Change, present: str | None) -> bool:
        """Whether `present` is what `change` is to make, whatever came up beside it that is no matter of the change."""

    def in_part(self, change: Change, present: str | None) -> bool:
        """Whether `present` is what a write of `change` leaves behind that was made in part: neither `change.before`
        nor `change.after`, and nothing that anybody else wrote. Such a run goes on from there, or is taken back.
        """

    def accounts(self, change: Change) -> set[str]:
        """Return the accounts whose credentials it takes to make `change`, or to take it back."""

    def thread(self, change: Change) -> str:
        """What changes of several kinds have in common that need each other and no others, such as a queue and its
        subscription; empty for one that may need, or be needed by, any other.
        """

    def by_hand(self, change: Change) -> str:
        """The same change as console steps and an AWS CLI command, in Markdown, for those who may not run code."""


_READERS: dict[str, Reader] = {}
AnyReader = TypeVar("AnyReader", bound=type[Reader])


class MadeAsPlanned:
    """What kinds have in common whose changes are made when what is there means the same as what was planned."""

    def same(self, one: str | None, other: str | None) -> bool:
        """Whether two values mean the same."""
        return one == other

    def made(self, change: Change, present: str | None) -> bool:
        return self.same(present, change.after)

    def accounts(self, change: Change) -> set[str]:
        return {change.resource.account}

    def thread(self, change: Change) -> str:  # noqa: ARG002 (a protocol's)
        return ""


class AllAtOnce(MadeAsPlanned):
    """What kinds have in common whose changes are made as a whole or not at all, and which others may depend on."""

    independent = False

    def in_part(self, change: Change, present: str | None) -> bool:  # noqa: ARG002 (a protocol's)
        return False


class WholeDocument(AllAtOnce):
    """What kinds have in common whose value is a policy document, put in one call that leaves nothing else behind."""

    def same(self, one: str | None, other: str | None) -> bool:
        return same_document(one, other)

    def tidy(self, environment: Environment, change: Change) -> None:
        """There is nothing to take away."""


def register(reader: AnyReader) -> AnyReader:
    """Class decorator: make a kind known under its name."""
    _READERS[reader.name] = reader()
    return reader


def reader_of(resource: Resource) -> Reader:
    """What reads `resource`. Raises ParameterError for a kind that no module registered."""
    if resource.kind not in _READERS:
        raise ParameterError([f"{resource}: the kind is not known.{did_you_mean(resource.kind, list(_READERS))}"])
    return _READERS[resource.kind]


def kind_of(resource: Resource) -> Kind:
    """What changes `resource`. Raises ParameterError for a kind that is not known, or can only be read."""
    reader = reader_of(resource)
    if not isinstance(reader, Kind):
        raise ParameterError([f"{resource}: this kind can be read, but not changed."])
    return reader


def same_document(one: str | None, other: str | None) -> bool:
    """Whether two policy documents, given as text, mean the same; what is no document is equal to itself only."""
    if one is None or other is None or one == other:
        return one == other
    try:
        return document.same_meaning(document.parse(one, "one policy"), document.parse(other, "the other policy"))
    except document.PolicyError:
        return False


def same_json(one: str | None, other: str | None) -> bool:
    """Whether two values are the same to the letter, but for white space and the order of texts in lists.

    AWS may give back the same policy with its principals or actions in another order each time. The lines of a template
    are another matter. A text in which a key stands twice is the same as itself only: readers disagree about it.
    """
    if one is None or other is None or one == other:
        return one == other
    try:
        # As text, because Python calls `true`, `1` and `1.0` equal.
        return _canonical(one) == _canonical(other)
    except (ValueError, RecursionError):
        return False


def _canonical(text: str) -> str:
    return json.dumps(_in_order(json.loads(text, object_pairs_hook=document.without_duplicates)), sort_keys=True)


def _in_order(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: each if key == "Template" else _in_order(each) for key, each in value.items()}
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return sorted(value)
    return [_in_order(each) for each in value] if isinstance(value, list) else value


def look_first(command: str, before: str | None, *, without: str = "") -> list[str]:
    """What people do before they replace a policy by hand: see that it is what the plan was made against.

    `command` shows it; `without` says what that answers where there was none.
    """
    there = without if before is None else "this document"
    return [
        f"First look at what is there now. The change was planned against {there}; "
        "if it differs, do nothing and make the plan again.",
        markdown.code_block(command, "sh"),
        *([document_to_paste(before)] if before is not None else []),
    ]


def replace_document(where: str, command: str, after: str) -> list[str]:
    """How people replace a policy by hand: `where` leads to it in the console; `command` takes it from a file."""
    return [
        f"{where}, replace the whole policy with this document, save. Or:",
        markdown.code_block(command, "sh"),
        document_to_paste(after),
    ]


def document_to_paste(policy: str) -> str:
    """A policy document for people to open, read and paste, in Markdown."""
    pretty = json.dumps(json.loads(policy), indent=2, ensure_ascii=False)
    return markdown.folded("The document", markdown.code_block(pretty, "json"))
