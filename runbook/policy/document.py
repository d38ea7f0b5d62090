"""Policy documents as values: parsed with helpful errors, compared by meaning, merged, taken apart again, measured.

Whatever a real policy has and AWS accepts is kept exactly as it stands: a single statement in place of a list, a
boolean condition value, a top-level Id, a Sid with spaces, Version 2008-10-17.
"""

from __future__ import annotations

import difflib
import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from runbook.policy.patterns import lowered
from runbook.policy.rules import ELEMENTS, VERSIONS
from runbook.untrusted import code, pattern_text, text, visible

Statement = Mapping[str, Any]

# How large a policy may be, in bytes of `Document.text`.
# Sources: S3 User Guide, "Bucket policies" (20 KB); KMS Developer Guide, "Resource quotas" (32 KB);
# SQS Developer Guide, "Amazon SQS policy quotas" (8,192); SNS Developer Guide, "Policy quotas" (30 KB).
SIZE_LIMITS: Mapping[str, int] = {
    "bucket-policy": 20_480,
    "key-policy": 32_768,
    "queue-policy": 8_192,
    "topic-policy": 30_720,
}


LARGEST = 131_072
"""Maximum number of characters of a policy that is read, white space included: four times what AWS stores at most."""


class PolicyError(ValueError):
    """A policy that cannot be used: where it is, what was found, what to do."""


@dataclass(frozen=True)
class Document:
    """A policy document. `body` is its JSON, order of keys included; it is not to be changed in place."""

    body: dict[str, Any]
    # Whether the statement stood alone, without a list, before others were merged in.
    stood_alone: bool = field(default=False, compare=False, repr=False)

    @property
    def statements(self) -> tuple[Statement, ...]:
        statements = self.body["Statement"]
        return tuple(statements) if isinstance(statements, list) else (statements,)

    @property
    def text(self) -> str:
        """The document without needless white space: exactly what is sent to AWS."""
        return json.dumps(self.body, separators=(",", ":"), ensure_ascii=False, allow_nan=False)

    @property
    def size(self) -> int:
        """Bytes of `text` in UTF-8, to hold against SIZE_LIMITS."""
        return len(self.text.encode())


def new(statements: Iterable[Statement]) -> Document:
    """A document of our own with these statements and nothing else."""
    return Document({"Version": VERSIONS[1], "Statement": [dict(statement) for statement in statements]})


def parse(text: str, where: str) -> Document:
    """Read a document. `where` says in errors what it is, such as "bucket policy of uploads-b".

    Raises PolicyError when it is not JSON or not a policy document.
    """
    if len(text) > LARGEST:
        most = max(SIZE_LIMITS.values())
        raise PolicyError(f"{where}: it has {len(text):,} characters; AWS stores no policy larger than {most:,} bytes.")
    try:
        body = json.loads(text, object_pairs_hook=without_duplicates)
        document = Document(body)
        _check(body)
        document.text.encode()
    except json.JSONDecodeError as error:
        found = "nothing" if not text.strip() else f"something that is not JSON: {error.msg.lower()}"
        place = f"{where}, line {error.lineno}, column {error.colno}"
        raise PolicyError(f"{place}: found {found}. Correct the JSON there.") from None
    except ValueError as error:
        raise PolicyError(f"{where}: {error}") from None
    except RecursionError:
        raise PolicyError(f"{where}: it is nested too deeply for a policy document.") from None
    return document


def same_meaning(one: Document | Statement | None, other: Document | Statement | None) -> bool:
    """Whether two documents, or two statements, say the same.

    The order of statements, actions, principals, resources and condition values does not matter, nor does a list around
    a single value, an account's id in place of its root ARN, `*` in place of `{"AWS": "*"}`, true in place of "true",
    or upper and lower case of actions, condition keys and operators. Sids and Ids say nothing.
    """
    return meaning(one) == meaning(other)


def holds(document: Document | None, statement: Statement) -> bool:
    """Whether one of the document's statements says the same as this one."""
    return document is not None and meaning(statement) in map(meaning, document.statements)


def merge(document: Document | None, statements: Sequence[Statement], *, label: str) -> Document:
    """The document with those of the statements added, at its end, that it does not hold yet.

    What it has stays as it is. A Sid that another statement already uses gets `label` as a suffix, and a number after
    that if need be: `bucketAVRequired1` becomes `bucketAVRequired1QuarantineTarget`.
    """
    merged = [] if document is None else list(document.statements)
    meanings = set(map(meaning, merged))
    for statement in statements:
        if (said := meaning(statement)) not in meanings:
            meanings.add(said)
            merged.append(_with_free_sid(statement, {present.get("Sid") for present in merged}, label))
    if document is None:
        return new(merged)
    if len(merged) == len(document.statements):
        return document
    alone = document.stood_alone or not isinstance(document.body["Statement"], list)
    return Document({**document.body, "Statement": merged}, stood_alone=alone)


def remove(document: Document, statements: Sequence[Statement]) -> Document | None:
    """The document without all that says the same as one of the statements; None when nothing is left."""
    unwanted = [meaning(statement) for statement in statements]
    kept = [statement for statement in document.statements if meaning(statement) not in unwanted]
    if len(kept) == len(document.statements):
        return document
    if not kept:
        return None
    alone = document.stood_alone and len(kept) == 1
    return Document({**document.body, "Statement": kept[0] if alone else kept}, stood_alone=document.stood_alone)


def emptied(document: Document) -> Document:
    """The document without any statement: its Version, Id and what else it has, for others to be merged in.

    AWS takes no policy that has no statement.
    """
    return Document({**document.body, "Statement": []}, stood_alone=document.stood_alone)


def difference(
    before: str | None, after: str | None, *, name: str, sides: tuple[str, str] = ("before", "after")
) -> str:
    """A unified diff of two documents' texts, indented to be read; empty when they are the same JSON."""
    marks = ["" if text is not None else " (none)" for text in (before, after)]
    one, other = (f"{visible(name)}, {side}{mark}" for side, mark in zip(sides, marks, strict=True))
    return "\n".join(difflib.unified_diff(_lines(before), _lines(after), one, other, lineterm=""))


def indented(text: str) -> str:
    """A document's text, indented to be read as a difference is; as it stands where it is not JSON."""
    return "\n".join(_lines(text))


# ---- reading ----


def without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """JSON readers keep the last of two equal keys: the first, perhaps a grant, would be gone without a word."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        sid = f" of statement {_shown(found['Sid'])}" if "Sid" in found else ""
        raise ValueError(f"the key {code(_cut(twice))}{sid} stands twice in one object. Join the two or remove one.")
    return found


def _check(body: Any) -> None:
    if not isinstance(body, dict):
        raise ValueError(f"found {_kind(body)} where the policy document, an object, should be.")
    _check_names(body, {"Version", "Id", "Statement"}, "")
    version = body.get("Version", VERSIONS[0])
    if version not in VERSIONS:
        raise ValueError(f"`Version` is {_shown(version)}{_meant(version, VERSIONS)}. It is {_choice(VERSIONS)}.")
    if "Statement" not in body:
        raise ValueError("`Statement` is missing. A policy document needs at least one statement.")
    statements = body["Statement"]
    if isinstance(statements, dict):
        statements = [statements]
    if not isinstance(statements, list) or not statements:
        found = "empty" if statements == [] else _kind(statements)
        raise ValueError(f"`Statement` is {found}. A policy document needs a list of at least one statement.")
    for number, statement in enumerate(statements, 1):
        if not isinstance(statement, dict):
            raise ValueError(f"statement {number} is {_kind(statement)}, not an object.")
        sid = statement.get("Sid")
        _check_statement(statement, f"statement {number} ({_shown(sid)})" if sid else f"statement {number}")


def _check_statement(statement: dict[str, Any], where: str) -> None:
    _check_names(statement, ELEMENTS, f"{where}: ")
    if "Effect" not in statement:
        raise ValueError(f'{where}: `Effect` is missing. Write "Allow" or "Deny".')
    effect = statement["Effect"]
    if effect not in ("Allow", "Deny"):
        meant = _meant(effect, ("Allow", "Deny"))
        raise ValueError(f'{where}: `Effect` is {_shown(effect)}{meant}. Write "Allow" or "Deny".')
    for name in ("Action", "Resource", "Principal"):
        if name in statement and f"Not{name}" in statement:
            raise ValueError(f"{where}: it has both {code(name)} and `Not{name}`. Keep one of them.")
    if not {"Action", "NotAction"} & set(statement):
        raise ValueError(f"{where}: it has neither `Action` nor `NotAction`. Say which actions it is about.")
    if not {"Resource", "NotResource", "Principal", "NotPrincipal"} & set(statement):
        raise ValueError(f"{where}: it has neither a `Resource` nor a `Principal`. Say what, or whom, it is about.")
    for name in ("Action", "NotAction", "Resource", "NotResource"):
        if name in statement and not _is_texts(statement[name]):
            raise ValueError(f"{where}: {code(name)} is {_kind(statement[name])}, not a text or a list of texts.")
    if not isinstance(statement.get("Sid", ""), str):
        raise ValueError(f"{where}: `Sid` is {_kind(statement['Sid'])}, not a text.")
    for name in ("Principal", "NotPrincipal"):
        if name in statement:
            _check_principal(statement[name], f"{where}: {code(name)}")
    if "Condition" in statement:
        _check_condition(statement["Condition"], where)


def _check_principal(principal: Any, where: str) -> None:
    if principal == "*":
        return
    if not isinstance(principal, dict):
        hint = f' Write {{"AWS": {_shown(principal)}}}.' if isinstance(principal, str) else ""
        raise ValueError(f'{where} is {_shown(principal)}, neither "*" nor an object.{hint}')
    _check_names(principal, {"AWS", "Service", "Federated", "CanonicalUser"}, f"{where}: ")
    for kind, values in principal.items():
        if not _is_texts(values):
            hint = " Write account ids in quotes." if isinstance(values, int) else ""
            raise ValueError(f"{where}: {code(kind)} is {_kind(values)}, not a text or a list of texts.{hint}")


def _check_condition(condition: Any, where: str) -> None:
    if not isinstance(condition, dict):
        raise ValueError(f"{where}: `Condition` is {_kind(condition)}, not an object of operators.")
    for operator, keys in condition.items():
        if not isinstance(keys, dict):
            raise ValueError(f"{where}: {code(_cut(operator))} is {_kind(keys)}, not an object of condition keys.")
        for key, values in keys.items():
            if not all(isinstance(value, (str, bool, int, float)) for value in _listed(values)):
                raise ValueError(f"{where}: the values of {code(_cut(key))} are not texts, numbers or booleans.")


def _check_names(found: Mapping[str, Any], known: Collection[str], where: str) -> None:
    for name in found:
        if name not in known:
            hint = _meant(name, known)
            raise ValueError(
                f"{where}{code(_cut(name))} is not known{hint}. Known are {_choice(sorted(known), 'and')}."
            )


def _meant(found: Any, known: Collection[str]) -> str:
    by_case = {name.lower(): name for name in known}
    near = difflib.get_close_matches(str(found).lower(), by_case, n=1)
    return f" (did you mean {by_case[near[0]]}?)" if near else ""


def _choice(names: Sequence[str], word: str = "or") -> str:
    return f"{', '.join(names[:-1])} {word} {names[-1]}"


def _shown(value: Any) -> str:
    return f'"{pattern_text(_cut(value))}"' if isinstance(value, str) else text(_cut(json.dumps(value)))


def _cut(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:200]}…"


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


def _is_texts(value: Any) -> bool:
    return all(isinstance(item, str) for item in _listed(value))


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


# ---- meaning ----

# The root ARN and the bare id of an account "behave the same way" (IAM User Guide, "AWS account principals").
# Two partitions never meet in one document, so the partition need not be kept.
ROOT_ARN = re.compile(r"arn:[a-z0-9-]+:iam::([0-9]{12}):root")


def meaning(value: Document | Statement | None) -> object:
    """Something that is equal for equal meanings."""
    if value is None:
        return None
    if not isinstance(value, Document):
        return frozenset(
            (name, _meaning_of(name, value[name])) for name in value if name not in ("Sid", "Condition")
        ) | {("Condition", _meaning_of_condition(value.get("Condition", {})))}
    # Only policy variables tell the versions apart, and the documents are only then different.
    has_variables = "${" in value.text and value.body.get("Version") == VERSIONS[1]
    return has_variables, frozenset(map(meaning, value.statements))


def _meaning_of(name: str, value: Any) -> object:
    if name in ("Action", "NotAction") and _is_texts(value):
        return frozenset(lowered(action) for action in _listed(value))
    if name in ("Resource", "NotResource") and _is_texts(value):
        return frozenset(_listed(value))
    if name in ("Principal", "NotPrincipal"):
        kinds = value if isinstance(value, dict) else {"AWS": value}
        return frozenset((kind, _meaning_of_principal(each)) for kind in kinds for each in _listed(kinds[kind]))
    return json.dumps(value, sort_keys=True)


def _meaning_of_principal(value: Any) -> object:
    if not isinstance(value, str):
        return json.dumps(value, sort_keys=True)
    root = ROOT_ARN.fullmatch(value)
    return root[1] if root else value


def _meaning_of_condition(condition: Any) -> object:
    """All of these must hold: an operator, a key and its values."""
    if not isinstance(condition, Mapping) or not all(isinstance(keys, Mapping) for keys in condition.values()):
        return json.dumps(condition, sort_keys=True)
    return frozenset(
        (lowered(operator), lowered(key), frozenset(_meaning_of_value(operator, value) for value in _listed(values)))
        for operator, keys in condition.items()
        for key, values in keys.items()
    )


def _meaning_of_value(operator: str, value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return lowered(text) if re.fullmatch(r"(.*\b)?(bool|boolifexists|null)", lowered(operator)) else text


# ---- merging and showing ----


def _with_free_sid(statement: Statement, taken: Collection[Any], label: str) -> Statement:
    sid = statement.get("Sid")
    if sid is None or sid not in taken:
        return statement
    number, free = 1, f"{sid}{label}"
    while free in taken:
        number += 1
        free = f"{sid}{label}{number}"
    return {**statement, "Sid": free}


TEMPLATE = "Template"
"""What is kept under this name is the text of a template, line by line: differences show it as such, last."""


def _lines(text: str | None) -> list[str]:
    """One line for each part of a document, as it would be written by hand; other text as it is.

    A line ends where JSON or a template ends one, and nowhere else: a separator in a Sid would make up lines of ours.
    """
    if text is None:
        return []
    try:
        # A text in which a key stands twice is shown as it is: one of the two would be hidden.
        content = json.loads(text, object_pairs_hook=without_duplicates)
    except (ValueError, RecursionError):
        return [visible(line, keep="\t") for line in text.removesuffix("\n").split("\n")]
    if isinstance(content, dict):
        content = {name: _opened(name, value) for name, value in content.items()}
    template = content.pop(TEMPLATE, []) if isinstance(content, dict) else []
    shown = [visible(line) for line in json.dumps(content, indent=2, ensure_ascii=False).split("\n")]
    template = [visible(f"  {line}".rstrip(), keep="\t") for line in template]
    return [*shown, f"{TEMPLATE}:", *template] if template else shown


def _opened(name: str, value: Any) -> Any:
    """A policy that is a text inside something else, as a queue's is among its attributes, as what it says."""
    if not (isinstance(value, str) and name.endswith("Policy")):
        return value
    try:
        return json.loads(value, object_pairs_hook=without_duplicates)
    except (ValueError, RecursionError):
        return value
