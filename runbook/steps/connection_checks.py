"""What has to be so before any account is connected by IAM role, one at a time or many: answers, nothing called."""

import json
import re
from collections.abc import Collection, Iterable, Mapping

from runbook import commands, markdown
from runbook.aws.cloudformation import Stack
from runbook.checks import Check, Status
from runbook.environment import Environment
from runbook.steps.allowlist_state import Lists
from runbook.untrusted import code

LEAST_VERSIONS = {"clamav": (2, 19, 0), "sophos": (2, 11, 0)}
"""From which version on accounts can be connected by IAM role. Source: outline `iam-role.version`."""


def version_check(stack: Stack, *, needed: bool) -> Check:
    """Whether bucketAV is new enough for role-based access: a warning, or failed where that is `needed` now."""
    title, outputs = "The version can connect accounts by IAM role", stack.outputs
    version, least = outputs.get("Version", ""), LEAST_VERSIONS.get(outputs.get("Engine", ""))
    numbers = re.fullmatch(r"([0-9]+)\.([0-9]+)\.([0-9]+)", version)
    status = Status.FAILED if needed else Status.WARNING
    if least is None or numbers is None:
        found = f"Which version it is cannot be told: {stack.product}."
        return Check(title, stack.name, status, found, "Look at the outputs of the stack.")
    first = ".".join(map(str, least))
    if tuple(map(int, numbers.groups())) >= least:
        return Check(title, stack.name, Status.OK, f"{version} can; {first} was the first.")
    if needed:
        return Check(
            title,
            stack.name,
            status,
            f"{stack.product}: it cannot, {first} is needed.",
            "Update bucketAV to its latest version first: follow the Update Guide of the product documentation, which "
            f"updates stack {code(stack.name)} in CloudFormation. Then run this again. Until then, 05-bucket-policy "
            "opens single buckets.",
        )
    return Check(
        title,
        stack.name,
        status,
        f"{version} cannot, {first} is needed. The lists let in events of buckets all the same.",
        "Update bucketAV first (its Update Guide), unless accounts are opened by bucket policies only.",
    )


def allowlist_checks(
    environment: Environment,
    lists: Lists,
    accounts: Collection[str],
    organizations: Mapping[str, str | None],
) -> Iterable[Check]:
    """Whether each account is let in, by its id or with its organization.

    `organizations` holds the id of each account's organization, None where it is in none or could not be asked.
    """
    title = "The account is on bucketAV's allowlist"
    missing = [account for account in accounts if let_in_by(lists, account, organizations.get(account)) is None]
    for account in accounts:
        subject, by = environment.account_name(account), let_in_by(lists, account, organizations.get(account))
        if by:
            yield Check(title, subject, Status.OK, f"Yes, {by}.")
        else:
            of = organizations.get(account)
            belongs = f" Its organization, {of}, is not on the list either." if of and lists.organizations else ""
            yield Check(
                title,
                subject,
                Status.FAILED,
                f"No. Its connection stack could not report to bucketAV, and would fail.{belongs}",
                allowlist_command(environment, missing),
            )


def let_in_by(lists: Lists, account: str, organization: str | None) -> str | None:
    """How an account is let in: `by its id`, or `with o-exampleorg`; None when it is not."""
    if account in lists.accounts:
        return "by its id"
    return f"with {organization}" if organization in lists.organizations else None


def allowlist_command(environment: Environment, values: Collection[str], parameter: str = "accounts") -> str:
    """The step that lets accounts in, or `organizations` as a whole, with its parameters filled in.

    As a command, and for the notebook.
    """
    listed = json.dumps(list(values))
    line = commands.for_notebook(
        "run", "01-allowlist", environment.name, values={parameter: list(values)}, options=("--apply",)
    )
    own = code(f"{parameter} = {listed}")
    return f"Do 01-allowlist first: {code(line)}, or set {own} and `apply = True` in its notebook."


def not_account_a(environment: Environment, accounts: Iterable[str]) -> Iterable[str]:
    """A problem with the parameters: account a cannot be connected to itself."""
    if environment.account_a in accounts:
        yield (
            f"{markdown.names([environment.account_name(environment.account_a)])} runs bucketAV: its own buckets are "
            "scanned without a connection, and bucketAV refuses to connect its account to itself. Leave it out."
        )
