"""Which buckets a run is about: addresses in the parameters, or the rows of a CSV inventory, with options for each."""

import csv
import difflib
import io
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator

from runbook.environment import AccountError, Environment, is_account_name
from runbook.files import FileError, read_text
from runbook.parameters import (
    LARGEST_FILE,
    NUMBER_EXPLAINED,
    BucketName,
    Offer,
    ParameterError,
    Parameters,
    Region,
    build,
    did_you_mean,
    is_account_id,
    quoted,
    resolve_path,
    shortened,
    shown,
)
from runbook.strict_yaml import is_key
from runbook.untrusted import code

MOST_COLUMNS, LONGEST_HEAD = 200, 65_536
"""Maximum number of columns of a table, and of characters of its head line."""

Switch = Literal["stack", "always", "never"]
"""`stack`: as bucketAV's own stack is set; otherwise whatever the stack says."""

KeyPolicyChoice = Literal["check", "change", "skip"]
"""`check`: the key must already let the scan role in; `change`: let it in; `skip`: somebody else's business."""


def _account(value: str) -> str:
    if is_account_id(value) or is_account_name(value):
        return value
    number = re.fullmatch("[0-9]+", value) is not None
    found = f"has {len(value)} digits" if number else "is neither 12 digits nor a name"
    lost = " A spreadsheet or unquoted YAML drops leading zeros." if number and len(value) < 12 else ""
    raise ValueError(f"is {quoted(value)}, which {found}. Write the account id, or its name in the environment.{lost}")


def _account_or_nothing(value: str) -> str:
    return _account(value) if value else value


AccountOrNothing = Annotated[str, NUMBER_EXPLAINED, AfterValidator(_account_or_nothing), Offer("account")]
"""The same, or nothing."""

Account = Annotated[str, NUMBER_EXPLAINED, AfterValidator(_account), Offer("account")]
"""An account id, or what the environment calls the account (`b`)."""

BucketAddress = Annotated[str, Offer("bucket")]
"""ACCOUNT/BUCKET as `parse_address` reads it."""

UnitName = Annotated[str, Offer("OU")]
"""`organization`, an OU's id, or its path from the root."""

FindingsQueue = Annotated[str, Offer("queue")]
"""ACCOUNT/QUEUE: a queue that is to get bucketAV's findings."""

InventoryFile = Annotated[str, Offer("table file")]
"""The path of a CSV file as `read_inventory` reads it."""


def account_ids(
    accounts: Iterable[str], environment: Environment, parameter: str, problems: list[str]
) -> tuple[str, ...]:
    """The ids of accounts that a parameter names, each once; a name that is not known is added to the problems."""
    found = []
    for account in accounts:
        try:
            found.append(environment.account_id(account))
        except AccountError as error:
            problems.append(f"{code(parameter)}: {error}")
    return tuple(dict.fromkeys(found))


class Target(Parameters):
    """One bucket to open; None follows what the step says for all."""

    account: Account
    bucket: BucketName
    region: Region | None = None
    delete_infected_files: Switch | None = None
    tag_files: Switch | None = None
    key_policy: KeyPolicyChoice | None = None

    @property
    def address(self) -> str:
        """`222222222222/uploads-b`."""
        return f"{self.account}/{self.bucket}"


def parse_address(address: str, where: str) -> Target:
    """`ACCOUNT/BUCKET` as a target. Raises ParameterError."""
    account, slash, bucket = address.partition("/")
    if not slash:
        raise ParameterError(
            [
                f"{where}: {quoted(address)} does not say whose bucket it is. "
                f"Write ACCOUNT/BUCKET: 222222222222/{shortened(address)}."
            ]
        )
    return build(Target, {"account": account, "bucket": bucket}, f"{where}: {quoted(address)}")


def read_inventory(path: str) -> list[Target]:
    """The rows of a CSV file with a head line, separated by commas or semicolons.

    Columns `account` and `bucket`, and where wanted `region`, `delete_infected_files`, `tag_files`, `key_policy`; an
    empty cell follows the parameters. Raises ParameterError with every bad line at once; of a bad head line only that.
    """
    name, head, rows = read_table(path)
    if (head or rows) and (problems := _head_problems(head, f"{name}, line 1")):
        raise ParameterError(problems)
    targets, problems = [], []
    for line, cells in rows:
        where = f"{name}, line {line}"
        if len(cells) != len(head):
            problems.append(f"{where}: has more or fewer cells than the head line.")
            continue
        try:
            targets.append(build(Target, {name: cell for name, cell in zip(head, cells, strict=True) if cell}, where))
        except ParameterError as error:
            problems.extend(error.problems)
    if problems:
        raise ParameterError(problems)
    if not targets:
        raise ParameterError([f"{name}: lists no bucket. The head line is `account,bucket`, then one bucket a line."])
    return targets


def read_table(path: str) -> tuple[str, list[str], list[tuple[int, list[str]]]]:
    """A CSV file, separated by commas or semicolons: how it is called, its head line, and each line after it that is
    not empty, with its number. Raises ParameterError.
    """
    file = resolve_path(path)
    try:
        text = read_text(file, LARGEST_FILE)
    except FileNotFoundError as error:
        raise ParameterError([_unreadable(path, file, error)]) from None
    except FileError as error:
        remedy = " Save it as CSV in UTF-8." if "UTF-8" in error.why else ""
        raise ParameterError([f"{shown(file)}: {error.why}{remedy}"]) from None
    # Spreadsheets put a byte order mark first, and semicolons where the comma is a decimal point.
    return shown(file), *_rows(text.removeprefix("\ufeff"), shown(file))


def with_account_ids(targets: Iterable[Target], environment: Environment, where: str) -> tuple[Target, ...]:
    """The targets with ids for account names. Raises ParameterError for an unknown account or a bucket listed twice."""
    resolved: dict[str, Target] = {}
    problems = []
    for target in targets:
        try:
            target = target.model_copy(update={"account": environment.account_id(target.account)})
        except AccountError as error:
            problems.append(f"{where}: {target.address}: {error}")
            continue
        if target.bucket in resolved:
            problems.append(f"{where}: {code(target.bucket)} is listed twice ({resolved[target.bucket].address}).")
        resolved[target.bucket] = target
    if problems:
        raise ParameterError(problems)
    return tuple(resolved.values())


def _rows(text: str, where: str) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The names in the head line, and the cells of each line after it that is not empty, with its number."""
    first = text[:LONGEST_HEAD].partition("\n")[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=";" if ";" in first else ",")
    rows = []
    try:
        for cells in reader:
            rows.append((reader.line_num, [cell.strip() for cell in cells]))
    except csv.Error as error:
        raise ParameterError([f"{where}, line {reader.line_num}: is not CSV ({error})."]) from None
    head = rows[0][1] if rows else []
    if len(head) > MOST_COLUMNS:
        raise ParameterError([f"{where}, line 1: has {len(head):,} columns; a table has {MOST_COLUMNS} at most."])
    return head, [(line, cells) for line, cells in rows[1:] if cells]


def _head_problems(head: Sequence[str], where: str) -> list[str]:
    """Return the problems of the head line; a column without a name is fine as long as it is empty.

    A line without any column of ours is no head line: the file may be anything, and is not repeated.
    """
    known = list(Target.model_fields)
    missing = [name for name, field in Target.model_fields.items() if field.is_required() and name not in head]
    if not any(difflib.get_close_matches(name.lower(), known, n=1) for name in head if is_key(name)):
        return [f"{where}: there is no column {code(name)}." for name in missing]
    problems = [
        f"{where}: {code(name if is_key(name) else '…')} is not known here.{did_you_mean(name.lower(), known)}"
        for name in dict.fromkeys(head)
        if name and name not in known
    ]
    problems += [
        f"{where}: {code(name)} stands {head.count(name)} times; only one of them would count."
        for name in dict.fromkeys(head)
        if name and head.count(name) > 1
    ]
    return problems or [f"{where}: there is no column {code(name)}." for name in missing]


def _unreadable(path: str, file: Path, error: FileNotFoundError) -> str:
    """What was tried; a path that would have been right from the working directory is the likely mistake."""
    here = Path(path).expanduser().absolute()
    hint = "" if Path(path).is_absolute() else f" {file} was tried."
    if here.exists() and here.resolve() != file:
        hint += f" A path counts from the folder of the project, not from where you are: write {here}."
    return f"{shown(file)}: cannot be read ({error.strerror}).{hint}"
