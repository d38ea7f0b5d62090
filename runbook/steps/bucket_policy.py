"""S3 bucket-policy-based access: opens buckets of other accounts to bucketAV's scan role, bucket by bucket."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from pydantic import Field, model_validator

from runbook import markdown
from runbook.access import Access, AccessMatrix
from runbook.aws.cloudformation import Stack, read_stack, scan_settings
from runbook.aws.kms import Key, KeyUnreadable, read_key
from runbook.aws.organizations import MANAGEMENT
from runbook.aws.s3 import (
    Bucket,
    BucketError,
    Probe,
    PublicAccessBlock,
    probe_bucket,
    read_account_block,
    read_bucket,
)
from runbook.checks import Check, Checks, Status
from runbook.environment import AccountError, Environment
from runbook.parameters import Several
from runbook.plan import Change, Plan
from runbook.policy import actions, document, lint
from runbook.policy.document import Document, PolicyError
from runbook.policy.evaluate import Verdict
from runbook.policy.statements import Mode, key_statement, scan_statements
from runbook.run import Run
from runbook.steps.inventory import KeyPolicyChoice, Switch, Target, parse_address, read_inventory, with_account_ids
from runbook.steps.scan_access import (
    DECRYPT,
    Caller,
    Documents,
    access,
    decide,
    decrypt_half,
    questions,
    read_caller,
)
from runbook.steps.step import Step, Verification

PARALLEL_READS = 8
MODES: tuple[Mode, Mode] = ("literal", "hardened")
LABEL = "Scan"
"""What a Sid is followed by when another statement already has it."""

STATEMENTS = "bucket-policy.statements"
KEY = "bucket-policy.kms"


class BucketPolicy(Step):
    """Parameters of notebook 05-bucket-policy."""

    notebook: ClassVar[str] = "05-bucket-policy"
    title: ClassVar[str] = "S3 bucket-policy-based access"
    alternatives: ClassVar[tuple[tuple[str, ...], ...]] = (("buckets", "inventory"),)

    buckets: Several[str] = Field((), description="buckets to open, each as ACCOUNT/BUCKET")
    inventory: str = Field("", description="instead: a CSV file that lists them, with options for each")
    delete_infected_files: Switch = Field("stack", description="may bucketAV delete infected files; stack: as set up")
    tag_files: Switch = Field("stack", description="may bucketAV tag files with the result; stack: as set up")
    key_policy: KeyPolicyChoice = Field(
        "check", description="keys of encrypted buckets: must be open, open them, leave them"
    )
    mode: Mode = Field("literal", description="the documented statements, or narrower ones")

    @model_validator(mode="after")
    def _one_source_of_buckets(self) -> "BucketPolicy":
        if bool(self.buckets) == bool(self.inventory):
            given = "both are given" if self.buckets else "neither is given"
            raise ValueError(f"which buckets? Give either `buckets` or `inventory`; {given}.")
        for address in self.buckets:
            parse_address(address, "`buckets`")
        return self

    def targets(self, environment: Environment) -> tuple[Target, ...]:
        """The buckets with account ids and options filled in. Raises ParameterError."""
        if self.inventory:
            listed, where = read_inventory(self.inventory), self.inventory
        else:
            listed, where = [parse_address(address, "`buckets`") for address in self.buckets], "`buckets`"
        options = ("delete_infected_files", "tag_files", "key_policy")
        defaults = {name: getattr(self, name) for name in options}
        return with_account_ids(
            (
                each.model_copy(update={name: getattr(each, name) or defaults[name] for name in options})
                for each in listed
            ),
            environment,
            where,
        )

    def examine(self, environment: Environment) -> None:
        self.targets(environment)

    def check(self, environment: Environment) -> Checks:
        return Checks.of(_checks(_observe(self, environment)))

    def plan(self, environment: Environment, scenario: str = "") -> Plan:
        state = _observe(self, environment)
        failed = {check.subject for check in _checks(state) if check.status is Status.FAILED}
        return Plan(
            step=self.notebook,
            scenario=scenario,
            environment=environment.name,
            parameters=dict(self.as_given()),
            changes=tuple(_changes(state, leave_out=failed)),
            observed=(scan_settings(environment, state.stack),),
            notes=tuple(_notes(self, state, failed)),
        )

    def verify(self, environment: Environment, run: Run) -> Verification:
        state = _observe(self, environment)
        befores = {change.resource.arn: change.before for change in run.plan.changes}
        afters = {change.resource.arn: change.after for change in run.plan.changes}
        rows: list[Access] = []
        for opening in state.openings:
            live = _documents(opening)
            before = _documents_with(opening, befores) if run.applied else live
            after = live if run.applied else _documents_with(opening, afters)
            rows.extend(access(state.caller, opening.bucket, opening.key, before, after, opening.questions))
        matrix = AccessMatrix(tuple(rows), predicted=not run.applied)
        probes = _probe_checks(environment, state) if run.applied else []
        checks = [
            *_verification_checks(state, matrix, run),
            *probes,
            *(_problem_check(each) for each in state.problems),
        ]
        return Verification(Checks.of(checks), matrix)


# --- what is ---------------------------------------------------------------------------------------------------------


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
        return self.target.address

    @property
    def questions(self) -> dict[str, bool]:
        """What to ask about access. A key that is skipped is asked about, but not promised."""
        asked = questions(tag=self.tag, delete=self.delete, encrypted=self.key is not None)
        return {action: wanted and not self._left_to_others(action) for action, wanted in asked.items()}

    def _left_to_others(self, action: str) -> bool:
        return action.startswith("kms:") and self.target.key_policy == "skip"


@dataclass(frozen=True)
class Problem:
    """A bucket that could not be read, and what to do about it."""

    address: str
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


def _observe(step: BucketPolicy, environment: Environment) -> State:
    stack = read_stack(environment)
    targets = step.targets(environment)
    accounts = dict.fromkeys(target.account for target in targets)
    caller = read_caller(environment, stack.output("ScanRoleArn"), accounts)
    for account in accounts:
        environment.identity(account)
    with ThreadPoolExecutor(PARALLEL_READS) as pool:
        blocks = dict(
            zip(accounts, pool.map(lambda account: _account_block(environment, account), accounts), strict=True)
        )
        found = list(pool.map(lambda target: _read(environment, stack, target, blocks[target.account]), targets))
    return State(
        stack=stack,
        caller=caller,
        mode=step.mode,
        openings=tuple(each for each in found if isinstance(each, Opening)),
        problems=tuple(each for each in found if isinstance(each, Problem)),
    )


def _account_block(environment: Environment, account: str) -> PublicAccessBlock | BucketError:
    try:
        return read_account_block(environment, account)
    except BucketError as error:
        return error


def _read(
    environment: Environment, stack: Stack, target: Target, account_block: PublicAccessBlock | BucketError
) -> Opening | Problem:
    try:
        if isinstance(account_block, BucketError):
            raise account_block
        bucket = read_bucket(environment, target.account, target.bucket, account_block)
    except BucketError as error:
        return Problem(target.address, error.found, error.remedy)
    if target.region and target.region != bucket.region:
        return Problem(
            target.address,
            f"It is in {bucket.region}; the inventory says {target.region}.",
            "Correct the inventory: another bucket may have been meant.",
        )
    key, key_problem = None, ""
    if bucket.key is not None:
        try:
            key = read_key(environment, bucket.account, bucket.region, bucket.key)
        except KeyUnreadable as error:
            key_problem = str(error)
    return Opening(
        target=target,
        bucket=bucket,
        key=key,
        key_problem=key_problem,
        delete=_switched(target.delete_infected_files, stack, "DeleteInfectedFiles"),
        tag=_switched(target.tag_files, stack, "TagFiles"),
    )


def _switched(switch: Switch | None, stack: Stack, parameter: str) -> bool:
    if switch in (None, "stack"):
        return stack.parameters.get(parameter, "true") == "true"
    return switch == "always"


# --- what should be --------------------------------------------------------------------------------------------------


def desired_bucket_policy(state: State, opening: Opening) -> Document:
    """The bucket's policy with the documented statements merged in.

    Statements of this section that are there but no longer asked for (deletion was switched off, the mode changed) are
    taken out; everything else stays as it is. Raises PolicyError when the present policy cannot be understood.
    """
    present = _parse(opening.bucket.policy, f"bucket policy of {opening.address}")
    wanted = _statements(state, opening, state.mode, delete=opening.delete, tag=opening.tag)
    known = [statement for mode in MODES for statement in _statements(state, opening, mode, delete=True, tag=True)]
    surplus = [each for each in known if not any(document.same_meaning(each, statement) for statement in wanted)]
    kept = document.remove(present, surplus) if present else None
    return document.merge(kept, wanted, label=LABEL)


def _statements(state: State, opening: Opening, mode: Mode, *, delete: bool, tag: bool) -> Sequence[document.Statement]:
    partition = opening.bucket.arn.split(":")[1]
    role = state.caller.role.arn
    return scan_statements(role, opening.bucket.name, partition=partition, delete=delete, tag=tag, mode=mode)


def desired_key_policy(state: State, key: Key) -> Document:
    """The key's policy with a statement that lets the scan role decrypt."""
    present = _parse(key.policy, f"key policy of {key.arn}")
    return document.merge(present, [key_statement(state.caller.role.arn)], label=LABEL)


def _changes(state: State, leave_out: Collection[str]) -> Iterable[Change]:
    """The differences, a key before the buckets that use it; none for the addresses in `leave_out`."""
    openings = [opening for opening in state.openings if opening.address not in leave_out]
    to_open = {
        opening.key.arn: opening for opening in openings if opening.key and opening.target.key_policy == "change"
    }
    for opening in to_open.values():
        yield from _key_change(state, opening)
    for opening in openings:
        yield from _bucket_change(state, opening)


def _bucket_change(state: State, opening: Opening) -> Iterable[Change]:
    desired = desired_bucket_policy(state, opening)
    present = _parse(opening.bucket.policy, "")
    if present is None or not document.same_meaning(present, desired):
        also = ["delete" if opening.delete else "", "tag" if opening.tag else ""]
        may = ", ".join(word for word in ["list", "read", *also] if word)
        yield Change(
            resource=opening.bucket.policy_resource,
            summary=f"let {_role_name(state)} {may} in `{opening.bucket.name}`",
            before=opening.bucket.policy,
            after=desired.text,
            outline=(STATEMENTS,),
        )


def _key_change(state: State, opening: Opening) -> Iterable[Change]:
    key = opening.key
    if key and key.policy and not _decrypts(state, opening, key.policy):
        yield Change(
            resource=key.policy_resource,
            summary=f"let {_role_name(state)} decrypt what this key encrypts",
            before=key.policy,
            after=desired_key_policy(state, key).text,
            outline=(KEY,),
        )


def _notes(step: BucketPolicy, state: State, left_out: Collection[str]) -> Iterable[str]:
    if left_out:
        yield f"Left out because a check failed: {', '.join(sorted(left_out))}."
    if state.openings:
        yield _mode_note(step.mode, state, state.openings[0])


def _mode_note(mode: Mode, state: State, opening: Opening) -> str:
    """What the two modes make of a difference, worked out on statements with everything switched on."""
    literal, hardened = (_statements(state, opening, each, delete=True, tag=True) for each in MODES)
    saved = actions.saved(literal, hardened)
    listed = markdown.names(saved, most=5)
    if mode == "literal":
        return f"Mode `literal`, the documented statements. `hardened` would not grant {len(saved)} actions: {listed}."
    return f"Mode `hardened`, ours and not confirmed by the vendor: does not grant {len(saved)} actions, {listed}."


def _role_name(state: State) -> str:
    return f"`{state.caller.role.arn.rsplit('/', 1)[-1]}` of account {state.caller.account}"


def _parse(policy: str | None, where: str) -> Document | None:
    return document.parse(policy, where) if policy is not None else None


def _body(policy: str | None) -> Mapping[str, Any] | None:
    parsed = _parse(policy, "policy")
    return parsed.body if parsed else None


def _documents(opening: Opening) -> Documents:
    return Documents(_body(opening.bucket.policy), _body(opening.key.policy) if opening.key else None)


def _documents_with(opening: Opening, policies: Mapping[str, str | None]) -> Documents:
    """The documents with those of `policies`, by ARN, in the place of the live ones."""
    key_policy = policies.get(opening.key.arn, opening.key.policy) if opening.key else None
    return Documents(_body(policies.get(opening.bucket.arn, opening.bucket.policy)), _body(key_policy))


# --- checks ----------------------------------------------------------------------------------------------------------


def _checks(state: State) -> Iterable[Check]:
    stack = state.stack
    engine = {"clamav": "ClamAV", "sophos": "Sophos"}.get(stack.outputs.get("Engine", ""), "an unknown engine")
    product = f"Powered by {engine}, version {stack.outputs.get('Version', 'unknown')}"
    yield Check("bucketAV is installed", stack.name, Status.OK, f"{product}, {stack.status}.")
    yield Check("The scan role exists", state.caller.role.arn.rsplit("/", 1)[-1], Status.OK, "Its policies were read.")
    yield _organization_check(state)
    yield from _allowlist_checks(state)
    for problem in state.problems:
        yield _problem_check(problem)
    for opening in state.openings:
        yield from _bucket_checks(state, opening)


def _organization_check(state: State) -> Check:
    """Whether the organization's own policies are part of what is worked out about access."""
    title = "Policies of the organization are counted in"
    if not state.caller.unread:
        accounts = {opening.bucket.account for opening in state.openings} | {state.caller.account}
        return Check(title, markdown.count(len(accounts), "account"), Status.OK, "They were read.")
    return Check(
        title,
        ", ".join(state.caller.unread),
        Status.WARNING,
        "Service and resource control policies could not be read: one of them may still deny what is worked out below.",
        f"Name the organization's `{MANAGEMENT}` account in the environment, with a role that may list policies.",
    )


def _allowlist_checks(state: State) -> Iterable[Check]:
    """Opening a bucket does not need the allowlist, but bucketAV takes events only from accounts that are on it."""
    title = "The account is allowlisted"
    accounts = state.stack.parameter_list("AWSAccountRestriction")
    organization = state.caller.organization_id
    in_organization = organization in state.stack.parameter_list("AWSOrganizationRestriction")
    for account in dict.fromkeys(opening.bucket.account for opening in state.openings):
        if account in accounts or account == state.caller.account:
            yield Check(title, account, Status.OK, "It is in AWSAccountRestriction of bucketAV's stack.")
        elif in_organization:
            yield Check(title, account, Status.OK, f"bucketAV's stack takes every account of {organization}.")
        else:
            yield Check(
                title,
                account,
                Status.WARNING,
                "It is not in AWSAccountRestriction of bucketAV's stack: bucketAV takes no events from its buckets.",
                "Add it there first (step 1 of the documentation).",
            )


def _problem_check(problem: Problem) -> Check:
    return Check("The bucket is the account's", problem.address, Status.FAILED, problem.found, problem.remedy)


def _bucket_checks(state: State, opening: Opening) -> Iterable[Check]:
    """What stands against one bucket; the later questions are asked only where the earlier ones have an answer."""
    yield Check("The bucket is the account's", opening.address, Status.OK, "Yes.")
    try:
        desired = desired_bucket_policy(state, opening)
    except PolicyError as error:
        yield Check(
            "Its policy can take the statements",
            opening.address,
            Status.FAILED,
            str(error),
            "Repair the present policy first; it is not ours to change.",
        )
        return
    yield from _policy_checks(opening, desired)
    yield from _key_checks(state, opening)
    yield from _access_checks(state, opening, desired)
    yield from _own_key_access(state, opening)


def _policy_checks(opening: Opening, desired: Document) -> Iterable[Check]:
    title = "Its policy can take the statements"
    limit = document.SIZE_LIMITS["bucket-policy"]
    stale = lint.stale_principals(desired)
    if desired.size > limit:
        yield Check(
            title,
            opening.address,
            Status.FAILED,
            f"It would be {desired.size:,} bytes; S3 takes {limit:,} ({desired.size - limit:,} too many).",
            "Shorten the present policy (join or drop statements), or connect the account by IAM role instead.",
        )
    elif stale:
        yield Check(
            title,
            opening.address,
            Status.FAILED,
            f"It names {', '.join(stale)}: a role or user that no longer exists. S3 refuses any policy that names one.",
            "Ask the bucket's owner to remove or replace that principal; it is not ours to drop.",
        )
    else:
        yield Check(title, opening.address, Status.OK, "Yes.")
    yield from _public_checks(opening, desired)


def _public_checks(opening: Opening, desired: Document) -> Iterable[Check]:
    title = "Block Public Access does not stand in the way"
    if not lint.is_public(desired):
        yield Check(title, opening.address, Status.OK, "The policy is not public.")
    elif opening.bucket.block_public_policy:
        yield Check(
            title,
            opening.address,
            Status.FAILED,
            "The present policy is public and BlockPublicPolicy is on: S3 refuses to store it again, with or without "
            "our statements.",
            "Ask the bucket's owner to take out the public grant.",
        )
    elif opening.bucket.restrict_public_buckets:
        yield Check(
            title,
            opening.address,
            Status.FAILED,
            "The present policy is public and RestrictPublicBuckets is on: S3 cuts off every other account, the scan "
            "role included.",
            "Ask the bucket's owner to take out the public grant.",
        )
    else:
        yield Check(
            title,
            opening.address,
            Status.WARNING,
            "The present policy is public already.",
            "Ask the bucket's owner whether it should be; our statements do not make it so.",
        )


def _key_checks(state: State, opening: Opening) -> Iterable[Check]:
    title = "What is encrypted can be read"
    if opening.key_problem:
        status = Status.WARNING if opening.target.key_policy == "skip" else Status.FAILED
        yield Check(title, opening.address, status, opening.key_problem, "Ask the key's owner to have a look.")
    elif opening.key is None:
        yield Check(
            title, opening.address, Status.OK, f"Default encryption is {opening.bucket.encryption}; no key to open."
        )
    elif opening.key.aws_managed:
        yield Check(
            title,
            opening.address,
            Status.FAILED,
            "Default encryption uses the AWS-managed key aws/s3; its policy cannot be changed, so no other account can "
            "ever read what it encrypts.",
            "Change the bucket to SSE-S3 or a customer-managed key and copy its objects over themselves, "
            "or run bucketAV in this account.",
        )
    else:
        yield _customer_key_check(state, opening, opening.key, title)


def _customer_key_check(state: State, opening: Opening, key: Key, title: str) -> Check:
    shown, choice = f"Default encryption uses {key.arn}", opening.target.key_policy
    if not key.enabled:
        return Check(title, opening.address, Status.FAILED, f"{shown}, which is not enabled.", "Enable the key.")
    if _decrypts(state, opening, key.policy):
        return Check(title, opening.address, Status.OK, f"{shown}, which lets the scan role decrypt.")
    if choice == "skip":
        return Check(
            title,
            opening.address,
            Status.WARNING,
            f"{shown}, which does not let the scan role decrypt: until it does, objects cannot be scanned.",
            "Have the key's owner add kms:Decrypt for the scan role.",
        )
    if choice == "check":
        return Check(
            title,
            opening.address,
            Status.FAILED,
            f"{shown}, which does not let the scan role decrypt.",
            "`key_policy: change` adds a statement to the key's policy; `skip` leaves the key to its owner.",
        )
    try:
        desired = desired_key_policy(state, key)
    except PolicyError as error:
        return Check(title, opening.address, Status.FAILED, str(error), "Repair the key's policy first.")
    limit = document.SIZE_LIMITS["key-policy"]
    if desired.size > limit:
        found = f"The key's policy would be {desired.size:,} bytes; KMS takes {limit:,}."
        return Check(title, opening.address, Status.FAILED, found, "Shorten the key's policy first.")
    if stale := lint.stale_principals(desired):
        found = f"The key's policy names {', '.join(stale)}, which no longer exists: KMS refuses to store it again."
        return Check(title, opening.address, Status.FAILED, found, "Ask the key's owner to remove that principal.")
    decision = decrypt_half(state.caller, opening.bucket, key, desired.body)
    if decision.verdict is Verdict.DENIED and decision.explicit:
        return Check(
            title,
            opening.address,
            Status.FAILED,
            f"{shown}. A statement would be useless there: {decision.reason}",
            "Ask the key's owner to make an exception for the scan role.",
        )
    return Check(title, opening.address, Status.OK, f"{shown}; a statement will let the scan role decrypt.")


def _access_checks(state: State, opening: Opening, desired: Document) -> Iterable[Check]:
    """Whether the statements would be of use: a foreign Deny, or the scan role's own policy, may still keep it out."""
    after = replace(_documents(opening), bucket_policy=desired.body)
    asked = {action: granted for action, granted in opening.questions.items() if action.startswith("s3:") and granted}
    rows = access(state.caller, opening.bucket, opening.key, after, after, asked)
    denied = [row for row in rows if row.after.verdict is Verdict.DENIED and row.after.explicit]
    own = [row for row in rows if row.after.verdict is Verdict.DENIED and not row.after.explicit]
    open_questions = [row for row in rows if row.after.verdict is Verdict.INDETERMINATE]
    title = "The grant is of use"
    if denied:
        yield Check(
            title,
            opening.address,
            Status.FAILED,
            f"{_actions(denied)} would stay denied: {denied[0].after.reason}",
            "Ask the bucket's owner to make an exception for the scan role, or leave the bucket out.",
        )
    if own:
        yield Check(
            title,
            opening.address,
            Status.WARNING,
            f"The scan role's own policy keeps it from {_actions(own)}: {own[0].after.reason}",
            "Add the bucket to S3BucketRestriction and S3ObjectRestriction of bucketAV's stack (deletion and tagging "
            "follow DeleteInfectedFiles and TagFiles).",
        )
    if open_questions:
        yield Check(
            title,
            opening.address,
            Status.WARNING,
            f"Whether {_actions(open_questions)} will be allowed cannot be told: {open_questions[0].after.reason}",
            "Look at that statement with the bucket's owner.",
        )
    if not (denied or own or open_questions):
        yield Check(title, opening.address, Status.OK, "Nothing denies it, and the scan role's own policy allows it.")


def _own_key_access(state: State, opening: Opening) -> Iterable[Check]:
    """Cross-account, the key's policy is only half of it: KMSKeyRestriction limits the scan role's own half."""
    key = opening.key
    if key is None or key.policy is None or opening.target.key_policy == "skip":
        return
    open_key = Documents(None, desired_key_policy(state, key).body)
    decision = decide(state.caller, opening.bucket, key, open_key, DECRYPT)
    if decision.verdict is Verdict.DENIED and not decision.explicit:
        yield Check(
            "The grant is of use",
            opening.address,
            Status.WARNING,
            f"The scan role's own policy keeps it from {DECRYPT}: {decision.reason}",
            f"Add {key.arn} to KMSKeyRestriction of bucketAV's stack.",
        )


def _decrypts(state: State, opening: Opening, policy: str | None) -> bool:
    """Whether the policy of the bucket's key gives the scan role its half of decrypting."""
    key = opening.key
    return key is not None and decrypt_half(state.caller, opening.bucket, key, _body(policy)).allowed


def _actions(rows: Sequence[Access]) -> str:
    return ", ".join(row.action for row in rows)


# --- the proof -------------------------------------------------------------------------------------------------------


def _verification_checks(state: State, matrix: AccessMatrix, run: Run) -> Iterable[Check]:
    wrong: dict[str, list[Access]] = {}
    for row in matrix.not_as_wanted:
        wrong.setdefault(row.resource, []).append(row)
    verb = "has" if run.applied else "would have"
    for opening in state.openings:
        rows = wrong.get(opening.address, [])
        if rows:
            found = f"Not so for {_actions(rows)}. {rows[0].after.reason}"
            status = Status.FAILED if run.applied else Status.WARNING
            yield Check(f"The scan role {verb} what it needs", opening.address, status, found, "See the checks above.")
        else:
            yield Check(
                f"The scan role {verb} what it needs", opening.address, Status.OK, "Yes, and nothing beyond it."
            )


def _probe_checks(environment: Environment, state: State) -> Iterable[Check]:
    """Really list, read and tag with the scan role's credentials, where the environment says that this may be done."""
    title = "The scan role really reads it"
    if not environment.file.probe:
        return
    try:
        credentials = environment.assume(state.caller.role.arn, environment.account_a)
    except AccountError as error:
        yield Check(title, "all buckets", Status.WARNING, f"Not tried: {error}", "")
        return
    for opening in state.openings:
        yield _probe_check(title, opening, probe_bucket(environment, credentials, opening.bucket, tag=opening.tag))


def _probe_check(title: str, opening: Opening, probe: Probe) -> Check:
    failed = [f"{action}: {answer}" for action, answer in probe.answers if answer != "ok"]
    done = ", ".join(action for action, answer in probe.answers if answer == "ok")
    if failed:
        return Check(title, opening.address, Status.FAILED, "; ".join(failed), "See the access matrix.")
    if probe.key is None:
        return Check(title, opening.address, Status.OK, f"{done} worked; there is no object to read.")
    return Check(title, opening.address, Status.OK, f"{done} worked.")
