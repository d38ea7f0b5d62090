"""The dialog that writes an environment file on the command line: each answer is an option too."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from runbook import commands
from runbook.environment import Environment, EnvironmentFile
from runbook.environments import (
    HOW_TO_WRITE,
    AccountAccess,
    Member,
    check_access,
    draft,
    organization_members,
    parse_account,
    parse_accounts,
    refuse_existing,
    save,
)
from runbook.errors import RunbookError
from runbook.parameters import ParameterError, build, quoted, shown
from runbook.steps.start_here import StartHere
from runbook.terminal import TerminalProgress, echo

NEEDED = {"region": "--region", "accounts.a": "--account a=ACCOUNT_ID"}
"""Values that an environment cannot do without, and the options for it."""

Accounts = dict[str, dict[str, str]]


def new(
    name: str, given: Mapping[str, str | None], accounts: Sequence[str], *, organization: bool, replace: bool
) -> Path:
    """Ask in a terminal for what is not given, test each account, write the file, and return it.

    `organization` takes all accounts of the organization. Without a terminal nobody is asked. Raises ParameterError,
    and click.Abort where somebody does not want the file.
    """
    refuse_existing(name, replace=replace)
    asks = sys.stdin.isatty()
    named = parse_accounts(accounts)
    values: dict[str, Any] = _ask(given, asks=asks)
    if "a" not in named and asks:
        named = {"a": {"account_id": _prompt("account_id", "Account that runs bucketAV (12 digits)")}} | named
    if missing := [option for key, option in NEEDED.items() if not _has(key, values, named)]:
        raise ParameterError([f"{name}: {' and '.join(missing)} cannot be left out where nobody can be asked."])
    found = _more_accounts(draft(name, values | {"accounts": named}), named, organization=organization, asks=asks)
    values["accounts"] = named | found
    access = tell_access(draft(name, values))
    if asks and not all(each.identity for each in access) and not click.confirm("Write the file nevertheless?", True):
        raise click.Abort("Nothing was written.")
    path = save(name, values, replace=replace)
    echo(f"Written: {shown(path)}")
    echo(f"Next: {_next(name, _first_other(values['accounts']))}")
    return path


def _next(name: str, account: str) -> str:
    return commands.for_notebook("run", StartHere.notebook, name, values={"accounts": [account]})


def tell_access(environment: Environment) -> tuple[AccountAccess, ...]:
    """Print a line for each account: reached as whom, or why not and what to do."""
    access = check_access(environment, TerminalProgress())
    echo("\n".join(map(str, access)))
    return access


def _ask(given: Mapping[str, str | None], *, asks: bool) -> dict[str, Any]:
    """The values beside the accounts: those that are given, and answers to what is not."""
    values = {key: value for key, value in given.items() if value is not None}
    if not asks:
        return values
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    questions: dict[str, tuple[str, str | None]] = {
        "region": ("Region bucketAV runs in", region),
        "stack_name": ("Name of bucketAV's stack", "bucketav"),
        "profile": (f"AWS profile to start from{_profiles()}, empty for boto3's default credentials", ""),
        "role_arn": ("Role to assume in every account, with {account_id} for its id, empty for none", ""),
        "external_id": ("External id that the role asks for, empty for none", ""),
        "mfa_serial": ("MFA device of the user to start from, empty for none", ""),
    }
    for key, (question, default) in questions.items():
        needs_role = key in ("external_id", "mfa_serial") and not values.get("role_arn")
        if key not in values and not needs_role:
            values[key] = _prompt(key, question, default)
    return values


def _profiles() -> str:
    from runbook.sessions import profile_names

    names = profile_names()
    return f" ({', '.join(map(quoted, names))})" if names else ""


def _prompt(key: str, question: str, default: str | None = None) -> str:
    """Ask until the answer can be a value of `key` of an environment file, or of one of its accounts."""

    def checked(text: str) -> str:
        text = text.strip()
        account = key == "account_id"
        values = {"accounts": {"a": {key: text}}} if account else {key: text}
        try:
            if text:
                build(EnvironmentFile, values, "This")
        except ParameterError as error:
            path = "accounts.a.account_id" if account else key
            if wrong := [each for each in error.problems if f"`{path}` is" in each and "is missing" not in each]:
                raise click.UsageError(wrong[0]) from None
        if not text and default is None:
            raise click.UsageError("This cannot be left empty.")
        return text

    answer: str = click.prompt(question, default=default, show_default=bool(default), value_proc=checked)
    return answer


def _has(key: str, values: Mapping[str, Any], accounts: Accounts) -> bool:
    return "a" in accounts if key == "accounts.a" else bool(values.get(key))


def _more_accounts(environment: Environment, named: Accounts, *, organization: bool, asks: bool) -> Accounts:
    """The accounts besides those that are named: of the organization, or typed one by one."""
    listed: tuple[Member, ...] = ()
    if organization or (asks and click.confirm("List the accounts of the organization?", True)):
        try:
            listed = organization_members(environment)
        except RunbookError as error:
            if organization and not asks:
                raise
            echo(f"{error}")
    known = {entry["account_id"] for entry in named.values()}
    members = [member for member in listed if member.account not in known]
    if organization:
        return _entries(members)
    if members:
        echo("\n".join(f"  {member.account} {member.name} ({member.title})" for member in members))
        return _entries(_until(lambda text: _chosen(text, members), "Which, by id or name? `all`, empty for none"))
    return _typed(named) if asks else {}


def _typed(named: Accounts) -> Accounts:
    found: Accounts = {}
    while text := click.prompt(f"Another account ({HOW_TO_WRITE}), empty for no more", default="", show_default=False):
        try:
            name, entry = parse_account(text)
            build(EnvironmentFile, {"region": "eu-west-1", "accounts": {name: entry}}, "This")
            parse_accounts([*_as_texts(named | found), text])
        except ParameterError as error:
            echo(str(error), err=True)
            continue
        found[name] = entry
    return found


def _as_texts(accounts: Accounts) -> list[str]:
    return [f"{name}={entry['account_id']}" for name, entry in accounts.items()]


def _chosen(text: str, members: Sequence[Member]) -> list[Member]:
    """The members that a text names. Raises click.UsageError for one that is none of them."""
    words = text.replace(",", " ").split()
    if words == ["all"]:
        return list(members)
    by_word = {word.lower(): member for member in members for word in (member.account, member.name)}
    if unknown := [word for word in words if word.lower() not in by_word]:
        raise click.UsageError(f"{quoted(unknown[0])} is none of them.")
    return list(dict.fromkeys(by_word[word.lower()] for word in words))


def _until(read: Callable[[str], list[Member]], question: str) -> list[Member]:
    """Ask until `read` understands the answer."""
    answer: list[Member] = click.prompt(question, default="", show_default=False, value_proc=read)
    return answer


def _entries(members: Sequence[Member]) -> Accounts:
    return {member.name: {"account_id": member.account} for member in members}


def _first_other(accounts: Accounts) -> str:
    return next((name for name in accounts if name not in ("a", "management")), "a")
