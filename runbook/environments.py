"""Environments as people make and test them: who one is in each account, and the file that says how to get there."""

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from runbook.aws.organization_tree import management_account
from runbook.aws.organizations import MANAGEMENT, read_organization
from runbook.aws_errors import told_in_words
from runbook.environment import (
    AccountError,
    Environment,
    EnvironmentFile,
    Identity,
    environment_path,
    is_account_name,
    make_environment,
)
from runbook.errors import RunbookError
from runbook.files import write_new_text, write_text
from runbook.parameters import ParameterError, build, mapping_in, quoted, shown
from runbook.progress import Progress, in_parallel, silent
from runbook.untrusted import Untrusted

Values = Mapping[str, Any]
"""Content of an environment file, as its keys and values."""

HOW_TO_WRITE = "NAME=ACCOUNT_ID[,profile=NAME][,role_arn=ARN][,external_id=ID]"
"""The form in which an account of a new environment is given."""


@dataclass(frozen=True)
class AccountAccess:
    """The access to one account: who one is there, or the problem and what to do about it."""

    account: str
    name: str
    identity: Identity | None
    problem: str = ""

    def __str__(self) -> str:
        if self.identity is None:
            return f"✗ {self.name} ({self.account}): {' '.join(self.problem.split())}"
        return f"✓ {self.name} ({self.account}): reached as {self.identity.arn.partition('::')[2].partition(':')[2]}"


def check_access(environment: Environment, progress: Progress = silent) -> tuple[AccountAccess, ...]:
    """Return the access to each account that the environment names. An account out of reach stops no other."""
    with suppress(AccountError):  # said of each account that it concerns
        environment.log_in()
    accounts = list(environment.file.accounts)
    return tuple(in_parallel(partial(_access, environment), accounts, what="accounts", progress=progress))


def _access(environment: Environment, name: str) -> AccountAccess:
    account = environment.account_id(name)
    try:
        with told_in_words():
            return AccountAccess(account, name, environment.identity(account))
    except RunbookError as error:
        return AccountAccess(account, name, None, str(error))


@dataclass(frozen=True)
class Member:
    """An account of the organization. `name` is what the environment file can call it, `title` the organization's."""

    account: str
    name: str
    title: Untrusted


def organization_members(environment: Environment) -> tuple[Member, ...]:
    """Return the active accounts of the organization, as the credentials to start from may list them.

    Raises RunbookError where they may not, or where there is no organization.
    """
    with told_in_words():
        asking = environment.caller().account
        organization = read_organization(environment, asking)
        if organization is None or organization.members is None:
            raise AccountError(
                f"The accounts of the organization cannot be listed by account {asking}: it takes its management "
                "account or a delegated administrator, and `organizations:ListAccounts`."
            )
        management = management_account(environment, asking)
    taken = {entry.account_id: name for name, entry in environment.file.accounts.items()}
    members: list[Member] = []
    for account in organization.active():
        title = organization.members[account][0]
        wanted = taken.get(account) or (MANAGEMENT if account == management else _as_name(title, account))
        others = {each.name.lower() for each in members} | {
            name.lower() for id_, name in taken.items() if id_ != account
        }
        name = wanted if wanted.lower() not in others else f"account-{account}"
        members.append(Member(account, name, title))
    return tuple(members)


def _as_name(title: Untrusted, account: str) -> str:
    """Return a name in the environment for an account that the organization calls `title`; `a` is bucketAV's."""
    name = re.sub("[^A-Za-z0-9_-]+", "-", title.raw).strip("-")[:64]
    return name if is_account_name(name) and name.lower() != "a" else f"account-{account}"


def parse_account(text: str) -> tuple[str, dict[str, str]]:
    """Return the name and the entry of an account that is given as HOW_TO_WRITE says. Raises ParameterError."""
    head, *rest = (part.strip() for part in text.split(","))
    (name, equals, account), options = head.partition("="), [part.partition("=") for part in rest]
    if not equals or not all(option[1] for option in options):
        raise ParameterError([f"account {quoted(text)}: write {HOW_TO_WRITE}."])
    return name.strip(), {"account_id": account.strip()} | {key.strip(): value.strip() for key, _, value in options}


def parse_accounts(texts: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return the accounts that are given one after the other. Raises ParameterError, also for a name given twice."""
    accounts: dict[str, dict[str, str]] = {}
    for name, entry in map(parse_account, texts):
        if name in accounts:
            raise ParameterError([f"account {quoted(name)}: is given twice."])
        accounts[name] = entry
    return accounts


def draft(name: str, values: Values) -> Environment:
    """Return the environment that a file with these values would be, tested as one. Raises ParameterError."""
    where = shown(environment_path(name))
    return make_environment(name, build(EnvironmentFile, _filled(values), where), where)


def refuse_existing(name: str, *, replace: bool) -> Path:
    """Return the file of a new environment. Raises ParameterError where there is one that is not to be replaced."""
    path = environment_path(name)
    if name == "sandbox":
        raise ParameterError([f"{shown(path)}: is the sandbox's own. Give the environment another name."])
    if path.exists() and not replace:
        raise ParameterError(
            [f"{shown(path)}: exists. Choose another name, or replace it (`--replace`, or the box in the notebook)."]
        )
    if not path.parent.is_dir():
        raise ParameterError([f"{shown(path)}: there is no folder {shown(path.parent)}."])
    return path


def save(name: str, values: Values, *, replace: bool = False) -> Path:
    """Write an environment file, whole or not at all, and return it. Raises ParameterError and FileError.

    Nothing is written that `load_environment` would not read as it is meant.
    """
    path = refuse_existing(name, replace=replace)
    text = as_yaml(values)
    read = build(EnvironmentFile, mapping_in(text, shown(path)), shown(path))
    if read != draft(name, values).file:
        raise ParameterError([f"{shown(path)}: cannot be written so that it is read as it is meant."])
    if replace:
        write_text(path, text)
    else:
        try:
            write_new_text(path, text)
        except FileExistsError:
            refuse_existing(name, replace=False)
    return path


def as_yaml(values: Values) -> str:
    """Return the text of an environment file: a line for each key, and one for each account."""
    filled = _filled(values)
    accounts = filled.pop("accounts", {})
    lines = [f"{key}: {_plain(value)}" for key, value in filled.items()]
    entries = [
        f"  {_plain(name)}: {{{', '.join(f'{key}: {json.dumps(value)}' for key, value in entry.items())}}}"
        for name, entry in accounts.items()
    ]
    return "\n".join(["# Written by the bucketAV runbook.", *lines, "accounts:", *entries, ""])


def _filled(values: Values) -> dict[str, Any]:
    """The values without those that are left empty."""
    filled = {key: value for key, value in values.items() if value not in (None, "", {})}
    if accounts := filled.get("accounts"):
        filled["accounts"] = {
            name: {key: value for key, value in entry.items() if value} for name, entry in accounts.items()
        }
    return filled


def _plain(value: object) -> str:
    """A value as YAML has it on one line, in quotes where it would be read as anything else."""
    return yaml.safe_dump(value, width=10_000, default_flow_style=True).removesuffix("\n").removesuffix("\n...")
