"""The allowlist as it is and as it is to be: one look at bucketAV's stack and what depends on it, then values."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from runbook.aws import template
from runbook.aws.cloudformation import Stack, StackError, read_settled_stack
from runbook.aws.connections import Connection, connections_or_problem
from runbook.aws.organizations import Organization
from runbook.aws.sns import TopicUnreadable, read_topic_policy
from runbook.aws.sqs import QueueUnreadable, read_queue_policy
from runbook.aws.stack_parameters import effects
from runbook.environment import Environment
from runbook.plan import Effect
from runbook.progress import Progress

ACCOUNTS, ORGANIZATIONS = "AWSAccountRestriction", "AWSOrganizationRestriction"
"""The two parameters of bucketAV's stack. Source: outline `allowlist.parameters`."""


@dataclass(frozen=True)
class Lists:
    """What is on the two lists: account ids and organization ids, in their order."""

    accounts: tuple[str, ...]
    organizations: tuple[str, ...]

    @property
    def empty(self) -> bool:
        """Whether nothing is on either: bucketAV then has nothing for other accounts at all."""
        return not (self.accounts or self.organizations)


@dataclass(frozen=True)
class Wish:
    """What is to be put on the lists and taken off them, as ids."""

    add: Lists
    remove: Lists


@dataclass(frozen=True)
class Policies:
    """Who may publish to the connection topic and send to the scan queue; None where there is no such policy."""

    topic: str | None
    queue: str | None


@dataclass(frozen=True)
class State:
    """Everything one look found.

    `organization` is account a's own, None when it cannot be asked. `connections` are the accounts that are connected
    by role; None when they cannot be read. `effects` are the resources that come or go with the change; None when the
    stack's template does not tell. `problems` says why, for each of these and for the policies.
    """

    stack: Stack
    wish: Wish
    organization: Organization | None
    connections: tuple[Connection, ...] | None
    policies: Policies | None
    effects: tuple[Effect, ...] | None
    problems: Mapping[str, str]

    @property
    def present(self) -> Lists:
        """The lists as they are."""
        return lists_of(self.stack.parameters)

    @property
    def wanted(self) -> Lists:
        """The lists as they are to be."""
        return lists_of(self.wanted_parameters)

    def lets_in(self, lists: Lists, account: str) -> bool:
        """Whether an account is on the lists, by itself or with account a's organization as far as that is known."""
        own = self.organization
        of_own = own is not None and own.id in lists.organizations and (own.members is None or account in own.members)
        return account in lists.accounts or of_own

    @property
    def wanted_parameters(self) -> dict[str, str]:
        """All parameters of the stack as they are to be."""
        return wanted_parameters(self.stack.parameters, self.wish)


def observe(environment: Environment, wish: Wish, organization: Organization | None, progress: Progress) -> State:
    """Look at the stack, once no operation is going on in it, and at what depends on the lists.

    `organization` is account a's, read before. Raises StackError or AccountError when the stack itself cannot be read.
    """
    account = environment.account_a
    environment.identity(account)
    stack = read_settled_stack(
        environment, account, environment.region, environment.stack_name, lambda what: progress(0, 0, what)
    )
    problems: dict[str, str] = {}
    return State(
        stack=stack,
        wish=wish,
        organization=organization,
        connections=connections_or_problem(environment, problems),
        policies=_policies(environment, stack, problems),
        effects=_effects(environment, stack, wanted_parameters(stack.parameters, wish), problems),
        problems=problems,
    )


def topic_arn(stack: Stack) -> str:
    """The topic that connection stacks report to, whether it is there or not."""
    _, partition, _, region, account, _ = stack.arn.split(":", 5)
    return f"arn:{partition}:sns:{region}:{account}:{stack.name}-AccountConnectionTopic"


def lists_of(parameters: Mapping[str, str]) -> Lists:
    """What is on the lists of these parameters, without doubles."""
    return Lists(_members(parameters.get(ACCOUNTS, "")), _members(parameters.get(ORGANIZATIONS, "")))


def wanted_parameters(parameters: Mapping[str, str], wish: Wish) -> dict[str, str]:
    """All parameters as they are to be; a list that holds already what it should stays as it is, to the letter."""
    changed = {
        ACCOUNTS: _changed(parameters.get(ACCOUNTS, ""), wish.add.accounts, wish.remove.accounts),
        ORGANIZATIONS: _changed(parameters.get(ORGANIZATIONS, ""), wish.add.organizations, wish.remove.organizations),
    }
    return {name: changed.get(name, value) for name, value in parameters.items()}


def _changed(present: str, add: Sequence[str], remove: Collection[str]) -> str:
    members = _members(present)
    wanted = [member for member in dict.fromkeys((*members, *add)) if member not in remove]
    return present if list(members) == wanted else ",".join(wanted)


def _members(value: str) -> tuple[str, ...]:
    """AWS, "Parameters": a list is separated by commas, and "each member string is space trimmed"."""
    return tuple(dict.fromkeys(member.strip() for member in value.split(",") if member.strip()))


def _policies(environment: Environment, stack: Stack, problems: dict[str, str]) -> Policies | None:
    try:
        return Policies(
            topic=read_topic_policy(environment, topic_arn(stack)),
            queue=read_queue_policy(environment, stack.output("ScanQueueArn")),
        )
    except (StackError, TopicUnreadable, QueueUnreadable) as error:
        problems["policies"] = str(error)
        return None


def _effects(
    environment: Environment, stack: Stack, wanted: Mapping[str, str], problems: dict[str, str]
) -> tuple[Effect, ...] | None:
    if wanted == stack.parameters:
        return ()
    try:
        return effects(environment, stack, wanted)
    except template.NotKnown as error:
        problems["effects"] = str(error)
        return None
