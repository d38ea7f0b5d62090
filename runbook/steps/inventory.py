"""Which buckets a run is about: addresses in the parameters, or the rows of a CSV inventory, with options for each."""

import csv
import re
from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import AfterValidator

from runbook.environment import AccountError, Environment
from runbook.parameters import BucketName, ParameterError, Parameters, Region, build, resolve_path, shown

Switch = Literal["stack", "always", "never"]
"""`stack`: as bucketAV's own stack is set; otherwise whatever the stack says."""

KeyPolicyChoice = Literal["check", "change", "skip"]
"""`check`: the key must already let the scan role in; `change`: let it in; `skip`: somebody else's business."""


def _account(value: str) -> str:
    if re.fullmatch(r"\d{12}", value) or re.fullmatch(r"[A-Za-z][\w-]*", value):
        return value
    found = f"has {len(value)} digits" if value.isdigit() else "is neither 12 digits nor a name"
    lost = " A spreadsheet or unquoted YAML drops leading zeros." if value.isdigit() and len(value) < 12 else ""
    raise ValueError(f"is {value!r}, which {found}. Write the account id, or its name in the environment.{lost}")


Account = Annotated[str, AfterValidator(_account)]
"""An account id, or what the environment calls the account (`b`)."""


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
            [f"{where}: {address!r} does not say whose bucket it is. Write ACCOUNT/BUCKET: 222222222222/{address}."]
        )
    return build(Target, {"account": account, "bucket": bucket}, f"{where}: {address!r}")


def read_inventory(path: str) -> list[Target]:
    """The rows of a CSV file with a head line, separated by commas or semicolons.

    Columns `account` and `bucket`, and where wanted `region`, `delete_infected_files`, `tag_files`, `key_policy`; an
    empty cell follows the parameters. Raises ParameterError with every bad line at once.
    """
    file = resolve_path(path)
    try:
        # Spreadsheets put a byte order mark first, and semicolons where the comma is a decimal point.
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise ParameterError([f"{shown(file)}: cannot be read ({error.strerror})."]) from None
    except UnicodeDecodeError:
        raise ParameterError([f"{shown(file)}: is not UTF-8 text. Save it as CSV in UTF-8."]) from None
    rows = csv.DictReader(lines, delimiter=";" if lines and ";" in lines[0] else ",")
    targets, problems = [], []
    for row in rows:
        where = f"{shown(file)}, line {rows.line_num}"
        if None in row or None in row.values():
            problems.append(f"{where}: has more or fewer cells than the head line.")
            continue
        try:
            targets.append(
                build(Target, {key.strip(): cell.strip() for key, cell in row.items() if cell.strip()}, where)
            )
        except ParameterError as error:
            problems.extend(error.problems)
    if problems:
        raise ParameterError(problems)
    if not targets:
        raise ParameterError(
            [f"{shown(file)}: lists no bucket. The head line is `account,bucket`, then one bucket a line."]
        )
    return targets


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
            problems.append(f"{where}: `{target.bucket}` is listed twice ({resolved[target.bucket].address}).")
        resolved[target.bucket] = target
    if problems:
        raise ParameterError(problems)
    return tuple(resolved.values())
