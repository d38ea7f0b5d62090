"""The six policy documents of the product page against our statements: the same to the letter, hardened never more.

The page's JSON is kept as it stands, placeholders included, in `tests/data/snippets`.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from itertools import zip_longest
from pathlib import Path
from typing import Any

from runbook import markdown
from runbook.parameters import ParameterError, project_root, shown
from runbook.policy import actions, document
from runbook.policy.document import Statement, new
from runbook.policy.statements import (
    Mode,
    connection_target_statements,
    findings_queue_statements,
    scan_statements,
    scheduled_scan_statements,
    source_bucket_statements,
    target_bucket_statements,
)
from runbook.review.report import Detail, Finding, Part

PART = "documents"
STATEMENTS = "runbook/policy/statements.py"

ROLE = "arn:aws:iam::111111111111:role/bucketav-ScanRole-1ABC"
QUEUE = "arn:aws:sqs:eu-west-1:222222222222:findings"
TOPIC = "arn:aws:sns:eu-west-1:111111111111:bucketav-FindingsTopic"
ACCOUNT = "222222222222"
BUCKET = "uploads-b"

PLACEHOLDERS: Mapping[str, str] = {
    "ACCOUNT_B_SQS_QUEUE_ARN": QUEUE,
    "SNS_FINDINGS_TOPIC_ARN": TOPIC,
    "BUCKETAV_STACK_NAME": "bucketav",
    "SQS_QUEUE_ARN": QUEUE,
    "ACCOUNT_B_ID": ACCOUNT,
    "BUCKET_NAME": BUCKET,
    "ACCOUNT_ID": ACCOUNT,
    "ROLE_ARN": ROLE,
}
"""What the page's placeholders stand for here. Longer ones first: some are part of others."""

FUNCTIONS: Mapping[str, str] = {
    "connection-target": connection_target_statements.__name__,
    "scan": scan_statements.__name__,
    "target-bucket": target_bucket_statements.__name__,
    "source-bucket": source_bucket_statements.__name__,
    "scheduled-scan": scheduled_scan_statements.__name__,
    "findings-queue": findings_queue_statements.__name__,
}
"""The function that makes each of the page's documents, by the name of its file."""


def our_statements(mode: Mode = "literal") -> dict[str, tuple[Statement, ...]]:
    """Our statements for each of the page's documents, by the name of its file."""
    return {
        "connection-target": connection_target_statements(ACCOUNT, "bucketav", BUCKET, mode=mode),
        "scan": scan_statements(ROLE, BUCKET, mode=mode),
        "target-bucket": target_bucket_statements(ROLE, BUCKET, mode=mode),
        "source-bucket": source_bucket_statements(ROLE, BUCKET, mode=mode),
        "scheduled-scan": scheduled_scan_statements(ROLE, BUCKET, mode=mode),
        "findings-queue": findings_queue_statements(ACCOUNT, QUEUE, TOPIC, mode=mode),
    }


def documented() -> dict[str, dict[str, Any]]:
    """The page's documents, placeholders filled in, by the name of their files. Raises ParameterError without them."""
    folder = snippets_folder()
    found = {}
    for file in sorted(folder.glob("*.json")):
        text = file.read_text(encoding="utf-8")
        for placeholder, value in PLACEHOLDERS.items():
            text = text.replace(placeholder, value)
        found[file.stem] = json.loads(text)
    if not found:
        raise ParameterError(
            [f"{shown(folder)}: the page's documents are not here. A review looks at a whole checkout: start it there."]
        )
    return found


def snippets_folder() -> Path:
    """Where the page's documents are kept in a checkout."""
    return project_root() / "tests" / "data" / "snippets"


def examine_documents() -> Part:
    """Our literal statements are the page's, every one of them; and hardened grants nothing besides."""
    page, literal, hardened = documented(), our_statements(), our_statements("hardened")
    findings = [
        Finding(
            PART,
            f"tests/data/snippets/{name}.json",
            "No function makes this document of the page." if name in page else "The document is not here.",
            "Add it to `runbook.review.documents`." if name in page else "Put the page's JSON back.",
        )
        for name in sorted(page.keys() ^ literal.keys())
    ]
    for name in page.keys() & literal.keys():
        findings += _compared(name, page[name], new(literal[name]).body)
        findings += _not_less(name, literal[name], hardened[name])
    statements = sum(len(each) for each in literal.values())
    looked_at = f"{markdown.count(len(page), 'document')} of the page, {markdown.count(statements, 'statement')}"
    return Part(PART, looked_at, tuple(sorted(findings, key=lambda each: each.where)))


def hardened_detail() -> Detail:
    """What hardened mode changes in the page's documents, statement by statement."""
    literal, hardened = our_statements(), our_statements("hardened")
    parts, saved = [], 0
    for name in literal:
        difference = document.difference(
            new(literal[name]).text, new(hardened[name]).text, name=name, sides=("literal", "hardened")
        )
        left_out = actions.saved(literal[name], hardened[name])
        saved += len(left_out)
        parts.append(f"**{name}** (`{FUNCTIONS[name]}`): {_left_out(left_out)}")
        parts += [markdown.code_block(difference, "diff")] if difference else []
    return Detail("What hardened mode changes", f"{saved} actions are not granted", "\n\n".join(parts))


# --- helpers ---------------------------------------------------------------------------------------------------------


def _left_out(actions_left_out: tuple[str, ...]) -> str:
    if not actions_left_out:
        return "the same in both modes."
    granted = markdown.count(len(actions_left_out), "action")
    return f"{granted} less: {markdown.names(actions_left_out, len(actions_left_out))}."


def _compared(name: str, page: Mapping[str, Any], ours: Mapping[str, Any]) -> Iterator[Finding]:
    """Statement by statement; where all are the same and something else is not, the whole."""
    if _text(page) == _text(ours):
        return
    where = f"{STATEMENTS}, `{FUNCTIONS[name]}`"
    todo = f"Make it as the page's is, in tests/data/snippets/{name}.json; narrower ones belong to mode `hardened`."
    pairs = list(_pairs(page["Statement"], ours["Statement"]))
    for number, theirs, own in pairs:
        called = f"statement `{(theirs or own or {}).get('Sid', number)}`"
        difference = document.difference(
            None if theirs is None else _text(theirs),
            None if own is None else _text(own),
            name=called.replace("`", ""),
            sides=("the page's", "ours"),
        )
        yield Finding(PART, f"{where}, {called}", statement_difference(theirs, own), todo, difference)
    if not pairs:
        difference = document.difference(_text(page), _text(ours), name=name, sides=("the page's", "ours"))
        yield Finding(PART, where, "The document is not the page's, though its statements are.", todo, difference)


def _pairs(
    page: Sequence[Statement], ours: Sequence[Statement]
) -> Iterator[tuple[int, Statement | None, Statement | None]]:
    """The statements that differ, each beside the one that stands in its place, with the number of the page's."""
    texts = [_text(each) for each in page], [_text(each) for each in ours]
    for kind, first, last, start, end in SequenceMatcher(None, *texts, autojunk=False).get_opcodes():
        if kind != "equal":
            for number, (theirs, own) in enumerate(zip_longest(page[first:last], ours[start:end]), start=first + 1):
                yield number, theirs, own


def statement_difference(theirs: Statement | None, own: Statement | None, *, theirs_is: str = "the page has") -> str:
    """What is different in our statement from another, by default the page's, in a sentence."""
    if own is None:
        return "The page has this statement, and we have not."
    if theirs is None:
        return "The page has no such statement."
    names = [name for name in dict.fromkeys([*theirs, *own]) if theirs.get(name) != own.get(name)]
    told = []
    for name in names:
        if name not in own:
            told.append(f"`{name}` is missing; {theirs_is} {_shown(theirs[name])}")
        elif name not in theirs:
            told.append(f"`{name}` is new: {_shown(own[name])}")
        else:
            told.append(f"`{name}` is {_shown(own[name])}, where {theirs_is} {_shown(theirs[name])}")
    if "*" in (own.get("Action"), theirs.get("Action")):  # which actions that covers depends on the resource
        return f"{'; '.join(told)}."
    wider, narrower = actions.saved([own], [theirs]), actions.saved([theirs], [own])
    if wider:
        told.append(f"it allows {markdown.count(len(wider), 'more action')}, such as `{wider[0]}`")
    if narrower:
        told.append(f"it allows {len(narrower)} less, such as `{narrower[0]}`")
    return f"{'; '.join(told) or 'Its elements stand in another order'}."


def _not_less(name: str, literal: tuple[Statement, ...], hardened: tuple[Statement, ...]) -> Iterator[Finding]:
    if more := actions.saved(hardened, literal):
        yield Finding(
            PART,
            f"{STATEMENTS}, `{FUNCTIONS[name]}`",
            f"Mode `hardened` grants what the page does not: {markdown.names(more)}.",
            "Hardened may only grant less: take it out.",
        )


def _text(body: Mapping[str, Any]) -> str:
    """As text, so that the order of keys and "a text or a list of one" count too."""
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False)


def _shown(value: Any) -> str:
    return f"`{json.dumps(value, ensure_ascii=False)}`"
