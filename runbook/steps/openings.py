"""Buckets as they are, and as they are to be for bucketAV's scan role: one look at AWS, then values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from runbook.aws.cloudformation import Stack, StackError, read_stack
from runbook.aws.kms import Key, KeyUnreadable, read_key
from runbook.aws.s3 import Bucket, BucketError, PublicAccessBlock, read_account_block, read_bucket
from runbook.environment import AccountError, Environment
from runbook.policy import document, naming
from runbook.policy.document import Document, PolicyError
from runbook.policy.statements import Mode, key_statement, scan_statements
from runbook.progress import Progress, in_parallel, silent
from runbook.steps.inventory import Switch, Target
from runbook.steps.scan_access import Caller, Documents, decrypt_half, questions, read_caller

LABEL = "Scan"
"""What a Sid is followed by when another statement already has it."""
MODES: tuple[Mode, Mode] = ("literal", "hardened")

BELONGS = "The bucket is the account's"
TAKES = "Its policy can take the statements"


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
class Problem:
    """A bucket that cannot be opened at all: the check that says so, why, and what to do about it."""

    address: str
    title: str
    found: str
    remedy: str


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
    environment.identity(environment.account_a)
    stack = read_stack(environment)
    role_arn = stack.output("ScanRoleArn")
    if role_arn.split(":")[4] != environment.account_a:
        raise StackError(
            f"Stack `{stack.name}` names the scan role {role_arn}, which is not one of account "
            f"{environment.account_name(environment.account_a)}. Nothing is opened to a role of another account."
        )
    accounts = tuple(dict.fromkeys(target.account for target in targets))
    blocks = dict(
        zip(
            accounts,
            in_parallel(
                lambda account: _account_block(environment, account),
                accounts,
                what="accounts looked at",
                progress=progress,
            ),
            strict=True,
        )
    )
    found = in_parallel(
        lambda target: _read(environment, stack, target, blocks[target.account]),
        targets,
        what="buckets looked at",
        progress=progress,
    )
    problems = tuple(each for each in found if isinstance(each, Problem))
    openings = _with_keys(environment, [each for each in found if isinstance(each, Opening)], progress)
    owners = dict.fromkeys([*accounts, *(opening.key.account for opening in openings if opening.key)])
    return State(
        stack=stack,
        caller=read_caller(environment, role_arn, owners),
        mode=mode,
        openings=openings,
        problems=problems,
    )


def desired_bucket_policy(state: State, opening: Opening) -> Document:
    """The bucket's policy with the documented statements merged in.

    Statements of this section that are there but no longer asked for (deletion was switched off, the mode changed) are
    taken out; everything else stays as it is.
    """
    present = parsed(opening.bucket.policy)
    wanted = statements(state, opening, state.mode, delete=opening.delete, tag=opening.tag)
    surplus = [each for each in known_statements(state, opening) if not _among(each, wanted)]
    kept = document.remove(present, surplus) if present else None
    return document.merge(kept, wanted, label=LABEL)


def desired_key_policy(state: State, key: Key) -> Document:
    """The key's policy with a statement that lets the scan role decrypt."""
    return document.merge(parsed(key.policy), [key_statement(state.caller.role.arn)], label=LABEL)


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
    return key is not None and decrypt_half(state.caller, opening.bucket, key, _body(policy)).allowed


def documents(opening: Opening) -> Documents:
    """What decides over the bucket: its policy and its key's."""
    return Documents(_body(opening.bucket.policy), _body(opening.key.policy if opening.key else None))


def parsed(policy: str | None) -> Document | None:
    """A policy that was understood when it was read."""
    return document.parse(policy, "policy") if policy is not None else None


# --- helpers ---------------------------------------------------------------------------------------------------------


def _among(statement: document.Statement, others: Sequence[document.Statement]) -> bool:
    return any(document.same_meaning(statement, other) for other in others)


def _body(policy: str | None) -> Mapping[str, Any] | None:
    found = parsed(policy)
    return found.body if found else None


def _account_block(environment: Environment, account: str) -> PublicAccessBlock | BucketError:
    """Block Public Access of an account, once it has proved to be the account that it should be."""
    try:
        environment.identity(account)
        return read_account_block(environment, account)
    except AccountError as error:
        return BucketError(str(error), "")
    except BucketError as error:
        return error


def _read(
    environment: Environment, stack: Stack, target: Target, account_block: PublicAccessBlock | BucketError
) -> Opening | Problem:
    try:
        if isinstance(account_block, BucketError):
            raise account_block
        bucket = read_bucket(environment, target.account, target.bucket, account_block)
        _understand(bucket)
    except BucketError as error:
        return Problem(target.address, BELONGS, error.found, error.remedy)
    except PolicyError as error:
        return Problem(target.address, TAKES, str(error), "Its owner has to repair it first.")
    if target.region and target.region != bucket.region:
        found = f"It is in {bucket.region}; the inventory says {target.region}."
        return Problem(target.address, BELONGS, found, "Correct the inventory: another bucket may have been meant.")
    return Opening(
        target=target,
        bucket=bucket,
        key=None,
        key_problem="",
        delete=_switched(target.delete_infected_files, stack, "DeleteInfectedFiles"),
        tag=_switched(target.tag_files, stack, "TagFiles"),
    )


def _understand(bucket: Bucket) -> None:
    """Raise PolicyError for a policy that is none. One that differs from another in the name only is not read again."""
    if bucket.policy is not None:
        other = f"{bucket.arn.removesuffix(bucket.name)}{naming.stand_in(bucket.name)}"
        if naming.renamed(bucket.policy, bucket.arn, other) is None:
            document.parse(bucket.policy, f"bucket policy of {bucket.account}/{bucket.name}")


def _with_keys(environment: Environment, openings: Sequence[Opening], progress: Progress) -> tuple[Opening, ...]:
    """The openings with the keys of default encryption; a key that many buckets use is read once."""
    asked = [name for name in dict.fromkeys(map(_key_name, openings)) if name is not None]
    read = in_parallel(lambda name: _read_key(environment, *name), asked, what="keys looked at", progress=progress)
    keys = dict(zip(asked, read, strict=True))
    return tuple(
        opening if name is None else replace(opening, key=keys[name][0], key_problem=keys[name][1])
        for opening, name in zip(openings, map(_key_name, openings), strict=True)
    )


def _key_name(opening: Opening) -> tuple[str, str, str] | None:
    """What it takes to find the key of default encryption: account, Region, and what the bucket calls it."""
    bucket = opening.bucket
    return None if bucket.key is None else (bucket.account, bucket.region, bucket.key)


def _read_key(environment: Environment, account: str, region: str, name: str) -> tuple[Key | None, str]:
    """A key as a bucket names it, or why it cannot be looked at."""
    try:
        key = read_key(environment, account, region, name)
        if key.policy is not None:
            document.parse(key.policy, f"policy of key {key.arn}")
    except (KeyUnreadable, AccountError, PolicyError) as error:
        return None, str(error)
    return key, ""


def _switched(switch: Switch | None, stack: Stack, parameter: str) -> bool:
    if switch in (None, "stack"):
        return stack.parameters.get(parameter) == "true"
    return switch == "always"
