"""Queues for findings as they are: one look at AWS, then values."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from runbook.aws.cloudformation import Stack, StackError, read_stack
from runbook.aws.kms import Key
from runbook.aws.organizations import ControlPolicies, Levels
from runbook.aws.sns import TopicUnreadable, findings_topic, read_topic_policy
from runbook.aws.sqs import KEY, Queue, QueueUnreadable, read_queue
from runbook.aws.subscriptions import CONFIRMED, Subscription, subscriptions_of, with_attributes
from runbook.environment import AccountError, Environment
from runbook.policy import document
from runbook.policy.document import PolicyError
from runbook.progress import Progress, in_parallel, silent
from runbook.steps.bucket_look import understood_key
from runbook.steps.findings_parameters import FindingsOptions, Target
from runbook.untrusted import code


@dataclass(frozen=True)
class Standing:
    """One queue as it stands with the findings topic. `queue` is None where there is none yet.

    `key` is the one that the queue is to be encrypted with, `present_key` the one that it is; `key_problem` says why
    the first cannot be looked at.
    `problem` says why nothing is known of the queue at all.
    """

    target: Target
    arn: str
    queue: Queue | None = None
    dead_letter: Queue | None = None
    dead_letter_arn: str = ""
    key: Key | None = None
    present_key: Key | None = None
    key_problem: str = ""
    subscription: Subscription | None = None
    problem: str = ""

    @property
    def address(self) -> str:
        """`222222222222/bucketav-findings`."""
        return self.target.address

    @property
    def confirmed(self) -> bool:
        """Whether findings are delivered."""
        return self.subscription is not None and self.subscription.status == CONFIRMED


@dataclass(frozen=True)
class State:
    """Everything one look found: the findings topic, the queues, and what the organization says about them.

    `topic_policy` is None where there is no such topic. `resource_control_policies` bound, account by account, what may
    be done with queues; the accounts in `unread` have some that could not be read.
    """

    options: FindingsOptions
    stack: Stack
    topic_arn: str
    topic_found_in: str
    topic_policy: str | None
    standings: tuple[Standing, ...]
    organization_id: str | None = None
    resource_control_policies: Mapping[str, Levels] = field(default_factory=dict)
    unread: tuple[str, ...] = ()

    @property
    def topic_account(self) -> str:
        """Account a."""
        return self.topic_arn.split(":")[4]

    @property
    def keys(self) -> dict[str, Key]:
        """The keys of the queues, by ARN."""
        return {standing.key.arn: standing.key for standing in self.standings if standing.key}

    @property
    def usable(self) -> tuple[Standing, ...]:
        """The queues that could be looked at."""
        return tuple(standing for standing in self.standings if not standing.problem)


def observe(environment: Environment, options: FindingsOptions, progress: Progress = silent) -> State:
    """Look at the findings topic, its subscriptions, and every queue with what belongs to it, many at a time.

    Raises StackError, TopicUnreadable or AccountError when bucketAV itself cannot be looked at.
    """
    environment.identity(environment.account_a)
    stack = read_stack(environment)
    topic, found_in = findings_topic(environment, stack.outputs)
    if topic.split(":")[3:5] != [environment.region, environment.account_a]:
        raise StackError(
            f"Stack {code(stack.name)} names the findings topic {topic}, which is not one of account "
            f"{environment.account_name(environment.account_a)} in {environment.region}. Nothing is subscribed to it."
        )
    topic_policy = read_topic_policy(environment, topic)
    targets = options.targets(environment)
    subscriptions = subscriptions_of(environment, topic) if topic_policy is not None else {}

    def look(target: Target) -> Standing:
        return _look(environment, options, target, subscriptions)

    standings = tuple(in_parallel(look, targets, what="queues looked at", progress=progress))
    policies = ControlPolicies(environment)
    accounts = list(dict.fromkeys(target.account for target in targets))
    levels = in_parallel(lambda account: policies.in_force(account, "RESOURCE_CONTROL_POLICY"), accounts)
    in_force = dict(zip(accounts, levels, strict=True))
    return State(
        options=options,
        stack=stack,
        topic_arn=topic,
        topic_found_in=found_in,
        topic_policy=topic_policy,
        standings=standings,
        organization_id=policies.organization_of(environment.account_a),
        resource_control_policies={account: levels for account, levels in in_force.items() if levels},
        unread=tuple(account for account, levels in in_force.items() if levels is None),
    )


def _look(
    environment: Environment, options: FindingsOptions, target: Target, subscriptions: Mapping[str, Subscription]
) -> Standing:
    try:
        environment.identity(target.account)
        standing = Standing(target, target.arn(environment))
        queue = read_queue(environment, standing.arn)
        if queue and queue.policy is not None:
            document.parse(queue.policy, f"policy of queue {target.address}")
        dead_letter_arn = target.arn(environment, options.dead_letter) if options.dead_letter else ""
        subscription = subscriptions.get(standing.arn)
        present = queue.attributes.get(KEY, "") if queue else ""
        named = {"": present, "sse-sqs": ""}.get(options.encryption, options.encryption)
        key, key_problem = _key(environment, target, named)
        return replace(
            standing,
            queue=queue,
            dead_letter_arn=dead_letter_arn,
            dead_letter=read_queue(environment, dead_letter_arn) if dead_letter_arn else None,
            key=key,
            present_key=key if present == named else _key(environment, target, present)[0],
            key_problem=key_problem,
            subscription=with_attributes(environment, subscription) if subscription else None,
        )
    except (AccountError, QueueUnreadable, TopicUnreadable, PolicyError) as error:
        return Standing(target, target.arn(environment), problem=str(error))


def _key(environment: Environment, target: Target, name: str) -> tuple[Key | None, str]:
    """A key as a queue of the target's account names it, or why it cannot be looked at; no key without a name."""
    return understood_key(environment, target.account, environment.region, name) if name else (None, "")
