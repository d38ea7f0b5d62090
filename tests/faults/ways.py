"""The ways through that accidents happen on, one entry for each step and scenario; and what each test of them needs."""

import json
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any
from unittest.mock import patch

from botocore.retries.bucket import TokenBucket
from botocore.retries.quota import RetryQuota

from runbook import run as runs
from runbook.aws import confirmation, stack_parameters, stacks
from runbook.aws.cloudformation import read_stack
from runbook.aws.kinds import kind_of, same_json
from runbook.aws.template import parse, with_defaults
from runbook.environment import Environment, load_environment
from runbook.journal import Journal
from runbook.plan import Plan
from runbook.procedure import Procedure
from runbook.steps.add_ons import AddOns
from runbook.steps.allowlist import Allowlist
from runbook.steps.bucket_policy import BucketPolicy
from runbook.steps.findings_topic import FindingsTopic
from runbook.steps.iam_role import IamRole
from runbook.steps.scenarios import make_step
from runbook.steps.step import Step
from tests.faults.rules import Call
from tests.queues import queued, stored_queues
from tests.steps.way import foreign_statement
from tests.world import without_ids

World = dict[str, str | None]
"""What a way may change, as text, by ARN: policies of buckets and keys; queues, topics and subscriptions; parameters
and outputs of bucketAV's stack."""

PHASES = ("check", "plan", "apply", "verify")


@dataclass(frozen=True, eq=False)
class Way:
    """A step with a scenario, and something that it changes and a second operator might as well.

    `shared` is how that thing's ARN ends, and `touches` says which calls see or change it. `add` makes of its present
    value the one that the second operator wants; `ours` and `theirs` are texts by which one sees who has changed it.
    `unguarded` are the calls right before which their change is overwritten: between the last look and the write there
    is a moment that S3 lets nobody guard. CloudFormation does: a change set is not executed when the stack has changed.
    `looks_like` names a scenario of the same step that asks all that this one asks; then only changes are of interest.
    `in_turn`: it makes many calls, so that those which only read meet one kind of lasting fault each, the next call the
    next kind, and no process is killed while it only looks; with RUNBOOK_FAULTS=all (`make faults`) every call meets
    everything, as on all other ways.
    """

    step: type[Step]
    scenario: str
    shared: str
    touches: Callable[[Call], bool]
    add: Callable[[str | None], str]
    ours: str
    theirs: str
    unguarded: tuple[str, ...]
    values: Mapping[str, Any] = field(default_factory=dict)
    looks_like: str = ""
    in_turn: bool = False

    @property
    def thorough(self) -> bool:
        """Whether every call meets everything."""
        return not self.in_turn or os.environ.get("RUNBOOK_FAULTS") == "all"

    def chosen(self, call: Call, number: int, kinds: Sequence[Any]) -> Sequence[Any]:
        """Which of these kinds of fault the `number`-th call meets: all of them, or on some ways one in its turn."""
        return kinds if call.writes or self.thorough else (kinds[number % len(kinds)],)

    def __str__(self) -> str:
        return f"{self.step.notebook}-{self.scenario}"

    def procedure(self, environment: Environment, folder: Path) -> Procedure:
        """As the notebook, `runbook run --apply` and the form begin."""
        step = make_step(self.step, self.scenario, self.values)
        return Procedure(step, environment, scenario=self.scenario, apply=True, folder=str(folder))


def of_bucket(step: type[Step], scenario: str, bucket: str, ours: str = "ScanRole", **more: Any) -> Way:
    """A way that changes the policy of a bucket, to which somebody else adds a statement; `ours` names a role."""

    def add(policy: str | None) -> str:
        body = json.loads(policy) if policy else {"Version": "2012-10-17", "Statement": []}
        return json.dumps(body | {"Statement": [*body["Statement"], foreign_statement(bucket)]})

    def touches(call: Call) -> bool:
        return call.resource == bucket and call.operation.endswith("BucketPolicy")

    return Way(step, scenario, f":{bucket}", touches, add, ours, "SomebodyElse", ("PutBucketPolicy",), **more)


def of_stack(step: type[Step], scenario: str, account: str, **more: Any) -> Way:
    """A way that puts an account on the list of bucketAV's stack, on which somebody else puts another."""
    other = "676767676767"

    def add(parameters: str | None) -> str:
        values = stack_parameters.from_text(parameters or "{}")
        listed = ",".join([values["AWSAccountRestriction"], other])
        return stack_parameters.as_text(values | {"AWSAccountRestriction": listed})

    return Way(step, scenario, ":stack/bucketav/", _of_cloudformation, add, account, other, (), **more)


def of_connection(step: type[Step], scenario: str, account: str, **more: Any) -> Way:
    """A way that creates the connection stack of an account, kept to one bucket; somebody else's is kept to a key."""
    bucket, key = "arn:aws:s3:::uploads-b", "arn:aws:kms:eu-west-1:222222222222:key/theirs"

    def add(value: str | None) -> str:
        path = "add_ons/account-connection/v2.0.0/bucketav-add-on-account-connection.yaml"
        body = files("runbook.sandbox").joinpath(path).read_text(encoding="utf-8")
        values = {"BucketAVStackName": "bucketav", "BucketAVAccountId": "111111111111"}
        parameters = json.loads(value)["Parameters"] if value else with_defaults(parse(body), values)
        return stacks.as_text(body, {**parameters, "KMSKeyRestriction": key}, ("CAPABILITY_NAMED_IAM",))

    def touches(call: Call) -> bool:
        return call.service == "cloudformation" and call.account == account

    values = {"template_parameters": {"S3BucketRestriction": bucket}}
    return Way(step, scenario, f":{account}:stack/", touches, add, bucket, key, (), values, **more)


def of_queue(step: type[Step], scenario: str, arn: str, **more: Any) -> Way:
    """A way that lets the findings topic send to a queue that is there, to whose policy somebody else adds."""
    name = arn.rsplit(":", 1)[-1]

    def add(value: str | None) -> str:
        attributes = json.loads(value or "{}")
        policy = json.loads(attributes.get("Policy") or '{"Version": "2012-10-17", "Statement": []}')
        theirs = {**foreign_statement(name), "Action": "sqs:ReceiveMessage", "Resource": arn}
        policy["Statement"].append(theirs)
        return json.dumps(attributes | {"Policy": json.dumps(policy)})

    def touches(call: Call) -> bool:
        return call.operation in ("GetQueueAttributes", "SetQueueAttributes") and call.resource.endswith(f"/{name}")

    return Way(
        step, scenario, f":{name}", touches, add, "FindingsTopic", "SomebodyElse", ("SetQueueAttributes",), **more
    )


def _of_cloudformation(call: Call) -> bool:
    return call.service == "cloudformation"


WAYS = (
    of_stack(Allowlist, "one-account", "444444444444", in_turn=True),
    of_connection(IamRole, "one-account", "222222222222", in_turn=True),
    of_bucket(AddOns, "connection-target", "quarantine-c", ours="AccountConnection", in_turn=True),
    of_bucket(BucketPolicy, "one-bucket", "uploads-b", looks_like="encrypted-bucket"),
    of_bucket(BucketPolicy, "encrypted-bucket", "documents-b", in_turn=True),
    of_queue(FindingsTopic, "existing-queue", "arn:aws:sqs:eu-west-1:333333333333:security-events", in_turn=True),
)


@dataclass
class Trip:
    """One way through, phase by phase; the same object goes on where it stood."""

    way: Way
    environment: Environment
    folder: Path
    results: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.procedure = self.way.procedure(self.environment, self.folder)

    def go(self, *phases: str) -> Any:
        """Do these phases, all without any; what the last one answers."""
        for phase in phases or PHASES:
            self.results[phase] = getattr(self, f"_{phase}")()
        return self.results[(phases or PHASES)[-1]]

    def goes_on(self, folder: Path) -> "Trip":
        """Another trip that stands where this one does, with a procedure and a folder of its own."""
        return Trip(self.way, self.environment, folder, dict(self.results))

    @property
    def plan(self) -> Plan:
        plan: Plan = self.results["plan"]
        return plan

    def _check(self) -> Any:
        return self.procedure.check()

    def _plan(self) -> Any:
        return self.procedure.plan()

    def _apply(self) -> Any:
        return self.procedure.apply(self.plan)

    def _verify(self) -> Any:
        return self.procedure.verify(self.results["apply"])

    def _undo(self) -> Any:
        return runs.undo(self.folder, self.environment)

    # --- the evidence ---

    @property
    def journal(self) -> list[dict[str, Any]]:
        file = self.folder / "journal.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def counted(self, event: str) -> dict[int, int]:
        """How often the journal has the event, for each change."""
        counts: dict[int, int] = {}
        for entry in self.journal:
            if entry["event"] == event:
                counts[entry["index"]] = counts.get(entry["index"], 0) + 1
        return counts

    @property
    def status(self) -> str:
        file = self.folder / "result.json"
        return str(json.loads(file.read_text()).get("status", "")) if file.exists() else ""


@dataclass(frozen=True)
class Undisturbed:
    """What one run without accidents does: its calls by phase, its answers, and the world before and after it."""

    calls: dict[str, tuple[Call, ...]]
    results: dict[str, Any]
    before: World
    after: World


@dataclass(frozen=True)
class Left:
    """All that is left when a command has ended, however it did: the files in its folder, and what AWS has by then.

    Without times, the checksums of lines with a time, and ids that are others each time.
    """

    files: Mapping[str, str]
    world: World

    @property
    def without_reasons(self) -> tuple[object, ...]:
        """The state that the next command finds: journal and world, without the sentences about what stopped it."""
        journal = [json.loads(line) for line in self.files.get("journal.jsonl", "").splitlines()]
        for entry in journal:
            entry.pop("error", None)
        return self.files.get("plan.json"), json.dumps(journal), json.dumps(self.world, sort_keys=True)


def left(folder: Path) -> Left:
    """What is left now; nothing is called for it."""
    there = folder.iterdir() if folder.exists() else ()
    files = {file.name: re.sub(r"\+00:00", "Z", file.read_text(encoding="utf-8")) for file in there}
    return Left(
        {name: re.sub(r'"checksum": "\w+"', '"checksum": "SUM"', without_ids(text)) for name, text in files.items()},
        {**stored_policies(), **stored_connections(), **stored_stacks(), **queued()},
    )


@dataclass
class Bystander:
    """Looks at the world, and works in it as somebody else, through a door in which no fault stands."""

    url: str
    _environment: Environment | None = None

    @property
    def environment(self) -> Environment:
        if self._environment is None:
            self._environment = through(self.url)
        return self._environment

    def forget(self) -> None:
        """After a reset, sessions are gone."""
        self._environment = None

    def look(self) -> World:
        """The world as it is now. Policies come from moto's state: a look has to cost nothing to be taken often."""
        stack = read_stack(self.environment)
        settings = json.dumps([dict(stack.parameters), dict(stack.outputs)], sort_keys=True)
        return {**stored_policies(), **stored_connections(), stack.arn: settings}

    def contradictions(self, trip: Trip) -> list[str]:
        """Where the journal of a trip says something else than the world shows."""
        last = Journal(trip.folder).last_events()
        found = []
        for index, change in enumerate(trip.plan.changes):
            kind, event = kind_of(change.resource), last.get(index, {}).get("event", "undone")
            present = kind.read(self.environment, change.resource)
            made, not_made = kind.made(change, present), same_json(present, change.before)
            in_doubt = made or not_made or kind.in_part(change, present)
            if not {"done": made, "undone": not_made}.get(event, in_doubt):
                found.append(f"{change.resource}: the journal says {event}, but {'made' if made else 'not made'}")
        return found


def through(url: str) -> Environment:
    """A new sandbox environment, with credentials of its own, that calls at `url`."""
    environment = load_environment("sandbox")
    with patch.dict("os.environ", {"RUNBOOK_SANDBOX": url}):
        assert environment._sessions._sandbox
    return environment


def stored_policies() -> World:
    """Every bucket policy and key policy that moto holds, as AWS would show it; and queues, topics, subscriptions."""
    from moto.kms.models import kms_backends
    from moto.s3.models import s3_backends

    found: World = stored_queues()
    for _, partitions in s3_backends.items():
        for bucket in partitions["aws"].buckets.values():
            found[f"arn:aws:s3:::{bucket.name}"] = bucket.policy.decode() if bucket.policy else None
    for _, regions in kms_backends.items():
        for _, backend in regions.items():
            found |= {key.arn: backend.get_key_policy(key.id) for key in backend.keys.values()}
    return found


def stored_connections() -> World:
    """The connections that moto holds: stacks, roles, and bucketAV's items; without the ids and times in them."""
    from moto.dynamodb.models import dynamodb_backends
    from moto.iam.models import iam_backends

    from runbook.sandbox.cloudformation.stacks import all_stacks

    found: World = {}
    for stack in all_stacks():
        if "account-connection" in stack.name:
            found[f"{stack.account} {stack.name}"] = json.dumps([stack.status, stack.target.texts], sort_keys=True)
    for account, partitions in iam_backends.items():
        for role in partitions["aws"].roles.values():
            if role.name.endswith("-AccountConnection"):
                policies = json.dumps([role.assume_role_policy_document, role.policies])
                found[f"{account} {role.name}"] = without_ids(policies)
    table = dynamodb_backends["111111111111"]["eu-west-1"].tables.get("bucketav-AccountConnection")
    for item in table.all_items() if table else ():
        text = json.dumps(item.to_json()["Attributes"], sort_keys=True)
        found[f"item {len(found)}"] = without_ids(text)
    return found


def stored_stacks() -> World:
    """All stacks that moto holds: how far each has come with each of its resources, and its change sets."""
    from runbook.sandbox.cloudformation.stacks import all_stacks

    found: World = {}
    for stack in all_stacks():
        resources = [[each.logical_id, each.physical_id, each.status] for each in stack.resources.values()]
        change_sets = [[each.name, each.status, each.execution_status] for each in stack.change_sets.values()]
        shown = [stack.status, dict(stack.target.texts), stack.outputs, bool(stack.operation), resources, change_sets]
        found[f"{stack.account} {stack.name}"] = without_ids(repr(shown))
    return found


@contextmanager
def no_waiting() -> Any:
    """Retries and looks at what was written come at once, and every run has the retries that a new process has.

    Only the waits go: how often something is tried, and what counts as worth another try, stays as it is.
    """
    with (
        patch.object(time, "sleep", lambda _seconds: None),
        patch.object(TokenBucket, "acquire", lambda *_, **__: True),
        patch.object(RetryQuota, "acquire", lambda *_: True),
        patch.object(confirmation, "WAIT_SECONDS", 0.0),
        patch.object(confirmation, "GLANCE_SECONDS", 0.0),
        patch.object(confirmation, "BUSY_SECONDS", 0.0),
        patch.object(confirmation, "HIDDEN_SECONDS", 0),  # what an accident left hidden would be so for the next one
    ):
        yield
