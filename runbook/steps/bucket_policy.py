"""S3 bucket-policy-based access: opens buckets of other accounts to bucketAV's scan role, bucket by bucket."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import ClassVar

from pydantic import Field, model_validator

from runbook import markdown
from runbook.access import Access, AccessMatrix, Part, Rows
from runbook.aws.cloudformation import scan_settings
from runbook.aws.s3 import Probe, probe_bucket
from runbook.checks import Check, Checks, Status
from runbook.environment import AccountError, Environment
from runbook.parameters import Several
from runbook.plan import Change, Plan, Resource
from runbook.policy import actions, document
from runbook.policy.evaluate import Verdict
from runbook.policy.statements import Mode
from runbook.progress import Progress, in_parallel, silent
from runbook.run import Run
from runbook.steps.alike import Alike
from runbook.steps.bucket_access import DECRYPT, access
from runbook.steps.bucket_checks import checks_of
from runbook.steps.inventory import (
    BucketAddress,
    InventoryFile,
    KeyPolicyChoice,
    Switch,
    Target,
    parse_address,
    read_inventory,
    with_account_ids,
)
from runbook.steps.key_policies import in_other_mode
from runbook.steps.merging import MODES, parsed, then_and_now
from runbook.steps.openings import (
    Opening,
    State,
    decrypts,
    desired_bucket_policy,
    desired_key_policy,
    documents,
    observe,
    statements,
)
from runbook.steps.policy_checks import action_names
from runbook.steps.step import Step, Verification
from runbook.untrusted import code

STATEMENTS = "bucket-policy.statements"
KEY = "bucket-policy.kms"

MANY = 3
"""From more buckets on that are left out, a plan says for what."""


class BucketPolicy(Step):
    """Parameters of notebook 05-bucket-policy."""

    notebook: ClassVar[str] = "05-bucket-policy"
    title: ClassVar[str] = "S3 bucket-policy-based access"
    default_scenario: ClassVar[str] = "one-bucket"
    alternatives: ClassVar[tuple[tuple[str, ...], ...]] = (("buckets", "inventory"),)

    buckets: Several[BucketAddress] = Field((), description="buckets to open, each as ACCOUNT/BUCKET")
    inventory: InventoryFile = Field("", description="instead: a CSV file that lists them, with options for each")
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

    def observe(self, environment: Environment, *, progress: Progress = silent) -> Alike:
        return Alike(observe(environment, self.targets(environment), self.mode, progress))

    def checks(self, environment: Environment, alike: Alike) -> Checks:  # noqa: ARG002 (a step's)
        return Checks.of(checks_of(alike))

    def plan(self, environment: Environment, alike: Alike, scenario: str = "") -> Plan:
        state = alike.state
        failures = [check for check in checks_of(alike) if check.status is Status.FAILED]
        failed = {check.subject for check in failures}
        changes = tuple(_changes(alike, leave_out=failed))
        return Plan(
            step=self.notebook,
            scenario=scenario,
            environment=environment.name,
            parameters=dict(self.as_given()),
            changes=changes,
            observed=(scan_settings(environment, state.stack),),
            notes=(
                *(_mode_note(state, opening) for opening in state.openings[:1]),
                *_notes_of_many(state, changes, failures),
            ),
            left_out=tuple(sorted(failed)),
        )

    def probe(
        self, environment: Environment, alike: Alike, run: Run, *, progress: Progress = silent
    ) -> tuple[Check, ...]:
        return tuple(_probe_checks(environment, alike.state, progress)) if run.applied else ()

    def present(self, environment: Environment, alike: Alike) -> Mapping[Resource, str | None]:  # noqa: ARG002 (a step's)
        openings = alike.state.openings
        keys = {each.key.policy_resource: each.key.policy for each in openings if each.key}
        return {each.bucket.policy_resource: each.bucket.policy for each in openings} | keys

    def verify(self, environment: Environment, alike: Alike, run: Run, probed: tuple[Check, ...]) -> Verification:  # noqa: ARG002 (a step's)
        question = partial(_proved, run.applied)
        parts: list[Part] = []
        checks: list[Check] = []
        for opening, before, after in then_and_now(alike.state.openings, run):
            models = alike.models(before, after)
            names = models[0].bucket.name, opening.bucket.name
            rows, told = alike.once(question, *models)
            parts.append(Part(rows, *names))
            checks += [check.renamed(*names) for check in told]
        checks += [problem.check for problem in alike.state.problems]
        if run.applied:
            checks += [*probed, *_not_looked_at(alike.state, run)]
        return Verification(Checks.of(checks), AccessMatrix(Rows(parts), predicted=not run.applied))


# --- the changes -----------------------------------------------------------------------------------------------------


def _changes(alike: Alike, leave_out: Collection[str]) -> Iterable[Change]:
    """The differences, a key before the buckets that use it; none for the addresses in `leave_out`."""
    state = alike.state
    openings = [opening for opening in state.openings if opening.address not in leave_out]
    to_open = {
        opening.key.arn: opening for opening in openings if opening.key and opening.target.key_policy == "change"
    }
    for opening in to_open.values():
        yield from _key_change(state, opening)
    for opening in openings:
        model = alike.model(opening)
        difference = alike.once(_bucket_difference, model)
        if difference is not None:
            after, summary = (text.replace(model.bucket.name, opening.bucket.name) for text in difference)
            yield Change(
                resource=opening.bucket.policy_resource,
                summary=summary,
                before=opening.bucket.policy,
                after=after,
                outline=(STATEMENTS,),
            )


def _bucket_difference(state: State, opening: Opening) -> tuple[str, str] | None:
    """What a bucket's policy should be and what that lets bucketAV do, where it is not so yet."""
    desired = desired_bucket_policy(state, opening)
    present = parsed(opening.bucket.policy)
    if present is not None and document.same_meaning(present, desired):
        return None
    return desired.text, f"let {_role_name(state)} {_may(state, opening)} in {code(opening.bucket.name)}"


def _may(state: State, opening: Opening) -> str:
    """`list, read, tag, and no longer delete`."""
    wanted = {"delete": opening.delete, "tag": opening.tag}
    lost = [word for word, kept in wanted.items() if not kept and _has(state, opening, word)]
    may = ", ".join(["list", "read", *(word for word, kept in wanted.items() if kept)])
    return f"{may}, and no longer {' or '.join(lost)}," if lost else may


def _has(state: State, opening: Opening, ability: str) -> bool:
    """Whether the bucket's policy holds our statement for deleting or tagging, in either mode."""
    present, switches = parsed(opening.bucket.policy), {"delete": False, "tag": False, ability: True}
    return any(document.holds(present, statements(state, opening, mode, **switches)[-1]) for mode in MODES)


def _key_change(state: State, opening: Opening) -> Iterable[Change]:
    key = opening.key
    if key is None or not key.policy:
        return
    role = state.caller.role.arn
    if not decrypts(state, opening, key.policy) or in_other_mode(key, role, state.mode):
        yield Change(
            resource=key.policy_resource,
            summary=f"let {_role_name(state)} decrypt what this key encrypts",
            before=key.policy,
            after=desired_key_policy(state, key).text,
            outline=(KEY,),
        )


def _mode_note(state: State, opening: Opening) -> str:
    """What the two modes make of a difference, worked out on statements with everything switched on."""
    literal, hardened = (statements(state, opening, each, delete=True, tag=True) for each in MODES)
    saved = actions.saved(literal, hardened)
    listed = markdown.names(saved, most=5)
    if state.mode == "literal":
        return f"Mode `literal`, the documented statements. `hardened` would not grant {len(saved)} actions: {listed}."
    return f"Mode `hardened`, ours and not confirmed by the vendor: does not grant {len(saved)} actions, {listed}."


def _notes_of_many(state: State, changes: Sequence[Change], failures: Sequence[Check]) -> Iterable[str]:
    """How many buckets are as they should be, and what others were left out for, where it does not meet the eye."""
    left_out = {failure.subject for failure in failures}
    changed = {change.resource.arn for change in changes}
    fine = [each for each in state.openings if each.address not in left_out and each.bucket.arn not in changed]
    if fine and changes:
        yield f"{markdown.count(len(fine), 'bucket')} more on the list: nothing to change there."
    if len(left_out) > MANY:
        reasons = Counter(title for title, _ in {(failure.title, failure.subject) for failure in failures})
        told = ", ".join(f"{title} ({number})" for title, number in sorted(reasons.items()))
        yield f"Checks that failed, and for how many: {told}."


def _role_name(state: State) -> str:
    return f"{code(state.role_name)} of account {state.caller.account}"


# --- the proof -------------------------------------------------------------------------------------------------------


def _proved(
    applied: bool, state: State, before: Opening, after: Opening
) -> tuple[tuple[Access, ...], tuple[Check, ...]]:
    """The access of one bucket before and after, and what it says about what was to be given and about the rest."""
    questions = after.questions
    rows = access(state.caller, after.bucket, after.key, documents(before), documents(after), questions)
    return tuple(rows), tuple(_proof(after, rows, applied))


def _proof(opening: Opening, rows: Sequence[Access], applied: bool) -> Iterable[Check]:
    title = f"The scan role {'has' if applied else 'would have'} what it needs"
    wrong = [row for row in rows if not row.as_wanted and row.after.verdict is Verdict.DENIED]
    unknown = [row for row in rows if row.granted and row.after.verdict is Verdict.INDETERMINATE]
    beyond = [row for row in rows if not row.granted and row.action != DECRYPT and not _denied(row)]
    if wrong:
        status = Status.FAILED if applied else Status.WARNING
        found = f"Not so for {action_names(wrong)}: {wrong[0].after.reason}"
        yield Check(title, opening.address, status, found, "See the checks before the plan.")
    if unknown:
        found = f"It cannot be told for {action_names(unknown)}: {unknown[0].after.reason}"
        yield Check(title, opening.address, Status.WARNING, found, "Look at it with the bucket's owner.")
    if _key_is_closed(opening, rows):
        found = "Its key does not let the scan role decrypt yet: what it encrypts cannot be scanned."
        yield Check(title, opening.address, Status.WARNING, found, "Left to the key's owner (`key_policy: skip`).")
    if beyond:
        found = f"{action_names(beyond)} may be allowed as well, by what was there before; not by this run."
        yield Check(title, opening.address, Status.WARNING, found, "Ask the bucket's owner whether it should be.")
    if not (wrong or unknown or beyond or _key_is_closed(opening, rows)):
        yield Check(title, opening.address, Status.OK, "Yes, and nothing beyond it.")


def _denied(row: Access) -> bool:
    return row.after.verdict is Verdict.DENIED


def _key_is_closed(opening: Opening, rows: Sequence[Access]) -> bool:
    """Whether a key that was left to its owner still keeps the scan role out, or could not be looked at."""
    left_closed = [row for row in rows if row.action == DECRYPT and not row.granted and not row.after.allowed]
    return bool(opening.key_problem or left_closed)


def _not_looked_at(state: State, run: Run) -> Iterable[Check]:
    """A change on something that is not on the list any more: an inventory may have been edited since the plan."""
    seen = {arn for opening in state.openings for arn in (opening.bucket.arn, opening.key.arn if opening.key else "")}
    for change in run.plan.changes:
        if change.resource.arn not in seen:
            found = "It was changed, but is not on the list of buckets any more, so access to it was not worked out."
            yield Check("The proof covers what was changed", change.name, Status.FAILED, found, "Was the list edited?")


def _probe_checks(environment: Environment, state: State, progress: Progress) -> Iterable[Check]:
    """Really list, read and tag with the scan role's credentials, where the environment says that this may be done."""
    title = "The scan role really reads it"
    if not environment.file.probe:
        return
    try:
        credentials = environment.assume(state.caller.role.arn, environment.account_a)
    except AccountError as error:
        yield Check(title, "all buckets", Status.WARNING, f"Not tried: {error}")
        return

    def probed(opening: Opening) -> Check:
        return _probe_check(title, opening, probe_bucket(environment, credentials, opening.bucket, tag=opening.tag))

    yield from in_parallel(probed, state.openings, what="buckets tried", progress=progress)


def _probe_check(title: str, opening: Opening, probe: Probe) -> Check:
    failed = [f"{action}: {answer}" for action, answer in probe.answers if answer != "ok"]
    done = ", ".join(action for action, answer in probe.answers if answer == "ok")
    if failed:
        skipped = opening.bucket.key is not None and opening.target.key_policy == "skip"
        status = Status.WARNING if skipped else Status.FAILED
        return Check(title, opening.address, status, "; ".join(failed), "See the access matrix.")
    if probe.key is None:
        return Check(title, opening.address, Status.OK, f"{done} worked; there is no object to read.")
    return Check(title, opening.address, Status.OK, f"{done} worked.")
