"""Whether the Condition element of a statement holds for a request.

Sources: IAM User Guide, "IAM JSON policy elements: Condition operators", "Conditions with multiple context keys or
values", "Single-valued vs. multivalued context keys", "AWS global condition context keys".
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from fnmatch import fnmatchcase
from ipaddress import ip_address, ip_network
from operator import eq, ge, gt, le, lt
from typing import Any

from runbook.policy.answers import NO, YES, Answer, all_of, any_of, negation, unknown
from runbook.policy.patterns import Variables, expand, like, like_arn, literal, lowered
from runbook.untrusted import quoted, text

# The keys with one value that may stand as a policy variable in every service, without "aws:". Of these it is certain
# that a request which lacks them has no value for the variable; of any other name that it is a variable at all is not.
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html
VARIABLES = frozenset(
    """
    assumedroot calledviafirst calledvialast chatbotsourcearn currenttime ec2instancesourceprivateipv4
    ec2instancesourcevpc epochtime federatedprovider multifactorauthage multifactorauthpresent principalaccount
    principalarn principalisawsservice principalorgid principalservicename principaltype referer requestedregion
    resourceaccount resourceorgid securetransport sourceaccount sourcearn sourceidentity sourceip sourceorgid sourcevpc
    sourcevpcarn sourcevpce tokenissuetime useragent userid username viaawsservice vpceaccount vpceorgid vpcsourceip
    """.split()
)
TAGS = ("aws:principaltag/", "aws:requesttag/", "aws:resourcetag/", "s3:existingobjecttag/", "s3:requestobjecttag/")


@dataclass(frozen=True)
class Context:
    """The condition keys of a request. Names are in lower case; no values means certainly absent."""

    values: Mapping[str, tuple[str, ...]]
    derived: Mapping[str, tuple[str, ...]]
    unknown: Collection[str] = ()

    def get(self, key: str) -> tuple[str, ...] | None:
        """The key's values, none when the request does not have it, None when that is not known."""
        key = key.lower()
        if key in self.values:
            return self.values[key]
        if any(fnmatchcase(key, pattern.lower()) for pattern in self.unknown):
            return None
        return self.derived.get(key, ())

    def variable(self, key: str, default: str | None) -> str | Answer:
        """What stands in the place of a policy variable, or why nothing can."""
        values = self.get(key)
        if values is None:
            return unknown(f"the value of {text(key)} is not known")
        if len(values) > 1:
            return unknown(f"{text(key)} has several values and stands as a variable")
        if values:
            return values[0]
        if default is not None:
            return default
        return Answer(False if _is_variable(key.lower()) else None, f"the variable {text(key)} has no value")


def _is_variable(key: str) -> bool:
    return (key.startswith("aws:") and key.removeprefix("aws:") in VARIABLES) or key.startswith(TAGS)


def texts(value: Any) -> tuple[str, ...] | None:
    """One value or a list of them as texts, the way a policy means them: true is "true". None for anything else."""
    values = value if isinstance(value, (list, tuple)) else [value]
    if not all(isinstance(item, (str, bool, int, float)) for item in values):
        return None
    return tuple(str(item).lower() if isinstance(item, bool) else str(item) for item in values)


def holds(condition: Any, context: Context, variables: Variables | None) -> Answer:
    """Every operator and every key must hold. `variables` is None where the policy language has no variables."""
    if not isinstance(condition, Mapping) or not all(isinstance(keys, Mapping) for keys in condition.values()):
        return unknown("its Condition is malformed")
    return all_of(
        _key_holds(operator, key, values, context, variables)
        for operator, keys in condition.items()
        for key, values in keys.items()
    )


def _key_holds(name: str, key: str, values: Any, context: Context, variables: Variables | None) -> Answer:
    parsed = OPERATOR.fullmatch(lowered(name))
    operator = parsed and OPERATORS.get(parsed["base"])
    wanted = texts(values)
    given = context.get(key)
    if not wanted:
        return unknown(f"the values of {text(key)} under {text(name)} are malformed")
    if lowered(name) == "null":
        return _is_null(key, wanted, given)
    if not (parsed and operator):
        return unknown(f"the operator {text(name)} is not known")
    if given is None:
        return unknown(f"the value of {text(key)} is not known")
    if parsed["set"]:
        # AWS counts an empty text as no value for these two.
        given = tuple(value for value in given if value)
    if not given:
        negated = operator.negated and not parsed["set"]
        holds_without = parsed["if_exists"] or parsed["set"] == "forallvalues" or negated
        return YES if holds_without else Answer(False, f"the request has no {text(key)}")
    answers = [operator.answer(wanted, value, variables) for value in given]
    if parsed["set"] == "foranyvalue":
        return any_of(answers)
    if parsed["set"] == "forallvalues" or len({answer.truth for answer in answers}) == 1:
        return all_of(answers)
    return unknown(f"{text(key)} has several values and {text(name)} says neither ForAllValues nor ForAnyValue")


def _is_null(key: str, wanted: tuple[str, ...], given: tuple[str, ...] | None) -> Answer:
    if given is None:
        return unknown(f"it is not known whether the request has {text(key)}")
    if given and not any(given):
        return unknown(f"{text(key)} is empty, and it is not known whether Null counts that as absent")
    return any_of(_same_boolean(value, "false" if given else "true") for value in wanted)


@dataclass(frozen=True)
class Operator:
    """`compare` takes a value of the policy and a value of the request; `negated` means that none may match."""

    compare: Callable[[str, str], Answer]
    takes_variables: bool = False
    negated: bool = False

    def answer(self, wanted: tuple[str, ...], given: str, variables: Variables | None) -> Answer:
        answers = any_of(self._matches(value, given, variables) for value in wanted)
        return negation(answers) if self.negated else answers

    def _matches(self, value: str, given: str, variables: Variables | None) -> Answer:
        if not self.takes_variables:
            return self.compare(value, given)
        expanded = expand(value, variables)
        # A variable without a value equals nothing and is like nothing, so that "not equals" and "not like" hold.
        return self.compare(expanded, given) if isinstance(expanded, str) else expanded


def _same_text(expanded: str, given: str) -> Answer:
    return Answer(literal(expanded) == given)


def _same_text_in_any_case(expanded: str, given: str) -> Answer:
    wanted = literal(expanded)
    if wanted == given or (wanted.isascii() and given.isascii()):
        return Answer(lowered(wanted) == lowered(given))
    if wanted.casefold() != given.casefold():
        return NO
    return unknown(f"it is not known whether AWS takes {wanted!r} and {given!r} for the same but for their case")


def _like(expanded: str, given: str) -> Answer:
    return Answer(like(expanded, given))


def _same_boolean(expanded: str, given: str) -> Answer:
    values = literal(expanded).lower(), given.lower()
    for value in values:
        if value not in ("true", "false"):
            return unknown(f"{quoted(value)} is neither true nor false")
    return Answer(values[0] == values[1])


def _same_bytes(wanted: str, given: str) -> Answer:
    try:
        return Answer(wanted == given or base64.b64decode(wanted, validate=True) == given.encode())
    except ValueError:  # not base64, or not even ASCII
        return unknown(f"{quoted(wanted)} is not base64")


def _in_network(wanted: str, given: str) -> Answer:
    try:
        return Answer(ip_address(given) in ip_network(wanted, strict=False))
    except ValueError as error:
        return unknown(str(error))


def _number(text: str) -> Decimal:
    try:
        number = Decimal(text if text.isascii() and "_" not in text else "")
    except InvalidOperation:
        raise ValueError(f"{quoted(text)} is not a number") from None
    if not number.is_finite():
        raise ValueError(f"{quoted(text)} is not a number")
    return number


def _moment(text: str) -> datetime:
    """An ISO 8601 date, or seconds since 1970. Four digits could be either: they are refused."""
    if re.fullmatch(r"[0-9]{5,12}(\.[0-9]+)?", text):
        return datetime.fromtimestamp(float(text), UTC)
    if not text.isascii() or not re.match(r"[0-9]{4}-?[0-9]{2}-?[0-9]{2}", text):
        raise ValueError(f"{quoted(text)} is not a date")
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _compared(parse: Callable[[str], Any], test: Callable[[Any, Any], bool]) -> Callable[[str, str], Answer]:
    """`test` gets the request's value first, as in "less than"."""

    def compare(wanted: str, given: str) -> Answer:
        try:
            return Answer(test(parse(given), parse(wanted)))
        except ValueError as error:
            return unknown(str(error))

    return compare


def _ordered(prefix: str, parse: Callable[[str], Any]) -> dict[str, Operator]:
    same = _compared(parse, eq)
    return {
        f"{prefix}equals": Operator(same),
        f"{prefix}notequals": Operator(same, negated=True),
        f"{prefix}lessthan": Operator(_compared(parse, lt)),
        f"{prefix}lessthanequals": Operator(_compared(parse, le)),
        f"{prefix}greaterthan": Operator(_compared(parse, gt)),
        f"{prefix}greaterthanequals": Operator(_compared(parse, ge)),
    }


OPERATOR = re.compile(r"(?:(?P<set>forallvalues|foranyvalue):)?(?P<base>[a-z]+?)(?P<if_exists>ifexists)?")
OPERATORS = {
    "stringequals": Operator(_same_text, takes_variables=True),
    "stringnotequals": Operator(_same_text, takes_variables=True, negated=True),
    "stringequalsignorecase": Operator(_same_text_in_any_case, takes_variables=True),
    "stringnotequalsignorecase": Operator(_same_text_in_any_case, takes_variables=True, negated=True),
    "stringlike": Operator(_like, takes_variables=True),
    "stringnotlike": Operator(_like, takes_variables=True, negated=True),
    # ArnEquals and ArnLike behave identically, and so do their negations.
    "arnequals": Operator(like_arn, takes_variables=True),
    "arnlike": Operator(like_arn, takes_variables=True),
    "arnnotequals": Operator(like_arn, takes_variables=True, negated=True),
    "arnnotlike": Operator(like_arn, takes_variables=True, negated=True),
    "bool": Operator(_same_boolean, takes_variables=True),
    "binaryequals": Operator(_same_bytes),
    "ipaddress": Operator(_in_network),
    "notipaddress": Operator(_in_network, negated=True),
    **_ordered("numeric", _number),
    **_ordered("date", _moment),
}
