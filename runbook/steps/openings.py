"""Buckets as they are, and as they are to be for bucketAV's scan role: one look at AWS, then values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from runbook.aws.cloudformation import Stack, StackError, read_stack
from runbook.aws.kms import Key
from runbook.aws.s3 import Bucket
from runbook.environment import Environment
from runbook.policy import document
from runbook.policy.document import Document
from runbook.policy.statements import Mode, scan_statements
from runbook.progress import Progress, silent
from runbook.steps.bucket_access import Caller, Documents, key_half, read_caller
from runbook.steps.bucket_look import Problem, key_name, look_at_buckets, look_at_keys
from runbook.steps.inventory import Switch, Target
from runbook.steps.key_policies import READ, wanted_key_policy
from runbook.steps.merging import MODES, body, merged
from runbook.steps.scan_access import questions
from runbook.untrusted import code, pattern_text

LABEL = "Scan"
"""What a Sid is followed by when another statement already has it."""


@dataclass(frozen=True)
class Opening:
    """One bucket as it is, and what is to be opened on it."""

    target: Target
    bucket: Bucket
    key: Key | None
    key_problem: str
    delete: bool
    tag: bool

    @property
    def address(self) -> str:
        """`222222222222/uploads-b`."""
        return self.target.address

    def with_policies(self, policies: Mapping[str, str | None]) -> "Opening":
        """The same with other policies, by the ARN of bucket or key; where none is given, it keeps its own."""
        bucket, key = self.bucket, self.key
        if bucket.arn in policies:
            bucket = replace(bucket, policy=policies[bucket.arn])
        if key is not None and key.arn in policies:
            key = replace(key, policy=policies[key.arn])
        return self if bucket is self.bucket and key is self.key else replace(self, bucket=bucket, key=key)

    @property
    def questions(self) -> dict[str, bool]:
        """What to ask about access. A key that is left to its owner is asked about, but not promised."""
        asked = questions(tag=self.tag, delete=self.delete, encrypted=self.key is not None)
        return {action: granted and not self._left_to_others(action) for action, granted in asked.items()}

    def _left_to_others(self, action: str) -> bool:
        return action.startswith("kms:") and self.target.key_policy == "skip"


@dataclass(frozen=True)
class State:
    """Everything one look found: bucketAV's stack, its scan role, and the buckets."""

    stack: Stack
    caller: Caller
    mode: Mode
    openings: tuple[Opening, ...]
    problems: tuple[Problem, ...]

    @property
    def role_name(self) -> str:
        """The scan role, without the account."""
        return self.caller.role.arn.rsplit("/", 1)[-1]

    @cached_property
    def keys_to_open(self) -> frozenset[str]:
        """The ARNs of keys that a bucket on the list asks to be changed, for itself and for all others."""
        asking = (opening for opening in self.openings if opening.target.key_policy == "change")
        return frozenset(opening.key.arn for opening in asking if opening.key is not None)


def observe(environment: Environment, targets: Sequence[Target], mode: Mode, progress: Progress = silent) -> State:
    """Look at bucketAV, at every target and at every key, once each, many at a time.

    Raises StackError, RoleError or AccountError when bucketAV itself cannot be read; what stands against a single
    bucket is among the problems.
    """
    stack = read_bucketav(environment)
    found = look_at_buckets(environment, targets, progress)
    with_keys = look_at_keys(environment, [key_name(each) for each in found if isinstance(each, Bucket)], progress)
    openings = tuple(
        Opening(
            target,
            bucket,
            *with_keys(key_name(bucket)),
            delete=switched(target.delete_infected_files, stack, "DeleteInfectedFiles"),
            tag=switched(target.tag_files, stack, "TagFiles"),
        )
        for target, bucket in zip(targets, found, strict=True)
        if isinstance(bucket, Bucket)
    )
    accounts = dict.fromkeys(target.account for target in targets)
    owners = dict.fromkeys([*accounts, *(opening.key.account for opening in openings if opening.key)])
    return State(
        stack=stack,
        caller=read_caller(environment, stack.output("ScanRoleArn"), owners),
        mode=mode,
        openings=openings,
        problems=tuple(each for each in found if isinstance(each, Problem)),
    )


def read_bucketav(environment: Environment) -> Stack:
    """bucketAV's stack. Raises StackError where its scan role is another account's: nothing is opened to that one."""
    environment.identity(environment.account_a)
    stack = read_stack(environment)
    role_arn = stack.output("ScanRoleArn")
    if role_arn.split(":")[4] != environment.account_a:
        raise StackError(
            f"Stack {code(stack.name)} names the scan role {pattern_text(role_arn)}, which is not one of account "
            f"{environment.account_name(environment.account_a)}. Nothing is opened to a role of another account."
        )
    return stack


def desired_bucket_policy(state: State, opening: Opening) -> Document:
    """The bucket's policy with the documented statements merged in.

    Statements of this section that are there but no longer asked for (deletion was switched off, the mode changed) are
    taken out; everything else stays as it is.
    """
    wanted = statements(state, opening, state.mode, delete=opening.delete, tag=opening.tag)
    found = merged(opening.bucket.policy, [(wanted, LABEL)], known_statements(state, opening))
    assert found is not None  # something is always wanted
    return found


def desired_key_policy(state: State, key: Key) -> Document:
    """The key's policy with a statement that lets the scan role decrypt."""
    return wanted_key_policy(key, {state.caller.role.arn: READ}, state.mode, LABEL)


def statements(state: State, opening: Opening, mode: Mode, *, delete: bool, tag: bool) -> Sequence[document.Statement]:
    """The statements of this section for one bucket."""
    partition, role = opening.bucket.arn.split(":")[1], state.caller.role.arn
    return scan_statements(role, opening.bucket.name, partition=partition, delete=delete, tag=tag, mode=mode)


def known_statements(state: State, opening: Opening) -> list[document.Statement]:
    """Every statement that this section may ever have put on the bucket."""
    return [each for mode in MODES for each in statements(state, opening, mode, delete=True, tag=True)]


def decrypts(state: State, opening: Opening, policy: str | None) -> bool:
    """Whether a policy of the bucket's key gives the scan role its half of decrypting."""
    key = opening.key
    return key is not None and key_half(state.caller, opening.bucket, key, body(policy)).allowed


def documents(opening: Opening) -> Documents:
    """What decides over the bucket: its policy and its key's."""
    return Documents(body(opening.bucket.policy), body(opening.key.policy if opening.key else None))


def switched(switch: Switch | None, stack: Stack, parameter: str) -> bool:
    """What a switch says; left to the stack, what its parameter says."""
    if switch in (None, "stack"):
        return stack.parameters.get(parameter) == "true"
    return switch == "always"
