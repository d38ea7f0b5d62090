"""What there is to choose a parameter's values from: names from the environment, and what its accounts have."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from runbook.aws.add_ons import read_add_ons
from runbook.aws.organization_tree import ORGANIZATION, read_tree
from runbook.aws.organizations import MANAGEMENT, organization_id
from runbook.aws.s3 import bucket_names
from runbook.aws.sqs import queue_names
from runbook.aws_errors import told_in_words
from runbook.environment import Environment
from runbook.parameters import Offer


@dataclass(frozen=True)
class Candidate:
    """Something to choose: what a file would hold, what people read, and what else means the same."""

    value: str
    label: str
    aliases: frozenset[str] = frozenset()

    def means(self, text: str) -> bool:
        """Whether a text that somebody typed is this one."""
        return text == self.value or text in self.aliases


def offer_of(field: FieldInfo) -> str:
    """What a form offers for a parameter, or for the items of a list; empty for nothing."""
    items = [each for argument in (field.annotation, *get_args(field.annotation)) for each in _metadata(argument)]
    return next((each.of for each in (*field.metadata, *items) if isinstance(each, Offer)), "")


def accounts(environment: Environment) -> list[Candidate]:
    """The accounts that the environment names, the management account last: few steps are about that one."""
    return [
        Candidate(name, f"{name} ({entry.account_id})", frozenset({entry.account_id}))
        for name, entry in sorted(environment.file.accounts.items(), key=lambda each: each[0] == MANAGEMENT)
    ]


def known(field: FieldInfo, environment: Environment) -> list[Candidate]:
    """What is known to choose from without asking AWS: values that a type lists, accounts, Regions."""
    listed = [value for item in get_args(field.annotation) if get_origin(item) is Literal for value in get_args(item)]
    match offer_of(field):
        case "account":
            return accounts(environment)
        case "region":
            return [Candidate(region, region) for region in environment.regions()]
        case _:
            return [Candidate(value, value) for value in listed]


def asks_for_account(offer: str) -> bool:
    """Whether candidates are looked up in one account after the other."""
    return offer in ("bucket", "queue")


def is_looked_up(offer: str) -> bool:
    """Whether AWS has to be asked for candidates."""
    return offer in _LOOKED_UP


def look_up(offer: str, environment: Environment, account: str) -> list[Candidate]:
    """Ask AWS. `account` is a name or id, for what is asked of one account. Raises RunbookError when it may not be."""
    with told_in_words():
        return list(_LOOKED_UP[offer](environment, account))


def _in_account(
    names: Callable[[Environment, str], list[str]], environment: Environment, account: str
) -> Iterable[Candidate]:
    """What lies in an account, as ACCOUNT/NAME."""
    number = environment.account_id(account)
    for name in names(environment, number):
        yield Candidate(f"{account}/{name}", name, frozenset({f"{number}/{name}"}))


def _organizations(environment: Environment, _: str) -> Iterable[Candidate]:
    found = organization_id(environment, _management(environment))
    return [Candidate(found, found)] if found else []


def _units(environment: Environment, _: str) -> Iterable[Candidate]:
    for unit in read_tree(environment, _management(environment)).units.values():
        path = unit.path.raw
        aliases = frozenset({unit.id, path} - {""})
        label = f"{path} ({unit.id})" if path else f"{ORGANIZATION}: all accounts"
        yield Candidate(path or ORGANIZATION, label, aliases)


def _add_ons(environment: Environment, _: str) -> Iterable[Candidate]:
    for add_on in read_add_ons(environment).add_ons:
        yield Candidate(add_on.stack.name, f"{add_on.stack.name} ({add_on.name})", frozenset({add_on.name}))


_LOOKED_UP: Mapping[str, Callable[[Environment, str], Iterable[Candidate]]] = {
    "add-on": _add_ons,
    "bucket": partial(_in_account, bucket_names),
    "organization": _organizations,
    "queue": partial(_in_account, queue_names),
    "OU": _units,
}


def _management(environment: Environment) -> str:
    """The account to ask about the organization."""
    return environment.account_id(MANAGEMENT if MANAGEMENT in environment.file.accounts else "a")


def _metadata(annotation: object) -> tuple[object, ...]:
    metadata: tuple[object, ...] = getattr(annotation, "__metadata__", ())
    return metadata
