"""Allowlisting in the sandbox: everything else stays as it is, nothing is done twice, everything can be taken back."""

import json
from collections.abc import Callable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from runbook.aws import change_sets, cloudformation
from runbook.aws.change_sets import UpdateRefused
from runbook.aws.cloudformation import read_settled_stack, read_stack
from runbook.aws.stack_parameters import from_text
from runbook.checks import ChecksFailed, Status
from runbook.environment import Environment
from runbook.parameters import ParameterError, project_root
from runbook.plan import Plan
from runbook.policy.evaluate import Verdict
from runbook.procedure import Procedure
from runbook.run import ApplyFailed, StalePlan, UndoFailed, UndoRefused, apply, undo
from runbook.sandbox import clock
from runbook.steps.allowlist import Allowlist
from runbook.steps.scenarios import make_step, scenario_names
from tests.steps.way import Through, answer, deny, let_time_pass_by_what_is_told, open_buckets
from tests.world import table_items, whole_stack

A, B, C, D, E = "111111111111", "222222222222", "333333333333", "444444444444", "555555555555"
F, PILOT, GONE = "777777777777", "888888888888", "666666666666"
EVERYONE = [B, C, F, PILOT, GONE]
SEEDED = ",".join(EVERYONE)
"""An account on the list of the seeded world that the organization no longer has."""


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stacks take a moment instead of a fifth of a second, and are looked at as often."""
    monkeypatch.setattr(clock, "OPERATION_SECONDS", 0.04)
    monkeypatch.setattr(clock, "PLANNING_SECONDS", 0.01)
    monkeypatch.setattr(cloudformation, "PAUSES", (0.01,))


@pytest.fixture
def procedure(environment: Environment, tmp_path: Path) -> Through:
    """Make a procedure from a scenario and values; each has a run folder of its own."""

    def make(scenario: str = "", *, apply: bool = False, within: Environment = environment, **given: Any) -> Procedure:
        step = make_step(Allowlist, scenario, given)
        step.examine(within)
        folder = tmp_path / f"run-{len(list(tmp_path.iterdir()))}"
        return Procedure(step, within, scenario=scenario, apply=apply, folder=str(folder))

    return make


@pytest.fixture
def update(environment: Environment) -> Callable[..., None]:
    """Somebody else updates bucketAV's stack."""

    def make(**values: str) -> None:
        client = environment.client("cloudformation", A)
        known = read_stack(environment).parameters
        client.update_stack(
            StackName="bucketav",
            UsePreviousTemplate=True,
            Capabilities=["CAPABILITY_IAM"],
            Parameters=[
                {"ParameterKey": name, "ParameterValue": values[name]}
                if name in values
                else {"ParameterKey": name, "UsePreviousValue": True}
                for name in known
            ],
        )
        client.get_waiter("stack_update_complete").wait(
            StackName="bucketav", WaiterConfig={"Delay": 0.05, "MaxAttempts": 100}
        )

    return make


def accounts(environment: Environment) -> str:
    return read_stack(environment).parameters["AWSAccountRestriction"]


def organizations(environment: Environment) -> str:
    return read_stack(environment).parameters["AWSOrganizationRestriction"]


# --- the way through -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scenario", scenario_names("01-allowlist"))
def test_every_scenario_applies_once_and_is_taken_back(
    scenario: str, procedure: Through, environment: Environment
) -> None:
    before = whole_stack(environment)
    folder = open_buckets(procedure(scenario, apply=True))
    after = whole_stack(environment)
    assert after != before
    assert procedure(scenario).plan().changes == ()
    undo(folder, environment)
    assert whole_stack(environment) == before


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"accounts": ["d"]}, (f"{SEEDED},{D}", "")),
        ({"accounts": [E, "b", D, "d"]}, (f"{SEEDED},{E},{D}", "")),
        ({"organizations": ["o-exampleorg"]}, (SEEDED, "o-exampleorg")),
        ({"remove_accounts": ["b", D]}, (f"{C},{F},{PILOT},{GONE}", "")),
        ({"accounts": ["d"], "remove_accounts": [GONE]}, (f"{B},{C},{F},{PILOT},{D}", "")),
    ],
)
def test_lists_keep_what_is_there_in_order_and_without_doubles(
    given: Mapping[str, Any], expected: tuple[str, str], procedure: Through, environment: Environment
) -> None:
    open_buckets(procedure(**given))
    assert (accounts(environment), organizations(environment)) == expected


def test_a_list_that_has_it_all_is_left_as_it_is_written(
    procedure: Through, environment: Environment, update: Callable[..., None]
) -> None:
    """Spaces and doubles of somebody's are no reason for an update."""
    update(AWSAccountRestriction=f"{B}, {C},{B}")
    plan = procedure(accounts=["b", "c"]).plan()
    assert plan.changes == ()
    assert any("On the lists already" in note for note in plan.notes)
    folder = open_buckets(procedure(accounts=["d"]))
    assert accounts(environment) == f"{B},{C},{D}"
    undo(folder, environment)
    assert accounts(environment) == f"{B}, {C},{B}", "undo restores it to the letter"


def test_every_other_parameter_keeps_its_value_secret_ones_included(
    procedure: Through, environment: Environment, update: Callable[..., None]
) -> None:
    """The token is only shown as asterisks; what the stack makes of it shows that it was kept."""
    update(TagKey="scanned", SupportToken="another-token")
    before = whole_stack(environment)
    open_buckets(procedure("one-account"))
    after = whole_stack(environment)
    assert {**before.parameters, "AWSAccountRestriction": accounts(environment)} == after.parameters
    assert after.secret == "another-token"
    assert "another-token" not in json.dumps(procedure("organization").plan().model_dump(mode="json"))


def test_what_cloudformation_did_is_told_and_in_the_journal(procedure: Through) -> None:
    applying = procedure("one-account")
    run = applying.apply(applying.plan())
    assert "- CloudFormation: modify AccountConnectionTopicPolicy (AWS::SNS::TopicPolicy)." in run._repr_markdown_()
    assert "UPDATE_COMPLETE after" in repr(run)
    assert applying.folder
    events = [json.loads(line) for line in (applying.folder / "journal.jsonl").read_text().splitlines()]
    assert [event["told"] for event in events if event["event"] == "done"] == [list(run.told)]


def test_progress_tells_what_the_stack_is_at(
    environment: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    let_time_pass_by_what_is_told(monkeypatch, told)
    step = make_step(Allowlist, "one-account", {})
    applying = Procedure(
        step, environment, folder=str(tmp_path / "run"), progress=lambda _done, _of, what: told.append(what)
    )
    applying.apply(applying.plan())
    assert any("making the change set" in line for line in told)
    assert any("UPDATE_IN_PROGRESS" in line and "resources done" in line for line in told), told


def test_emptying_the_lists_says_what_goes_and_undo_brings_it_back(
    procedure: Through, environment: Environment
) -> None:
    removing = procedure(remove_accounts=EVERYONE)
    (change,) = removing.plan().changes
    lost = {effect.name: effect.holds for effect in change.effects if effect.action == "remove"}
    assert lost["AccountConnectionTable"] == 2, "account c and the pilot are connected"
    assert "AccountConnectionTopic" in lost
    folder = open_buckets(removing)
    assert (accounts(environment), table_items(environment, "bucketav-AccountConnection")) == ("", None)
    undo(folder, environment)
    assert accounts(environment) == SEEDED
    assert table_items(environment, "bucketav-AccountConnection") == 0, "a table that was deleted comes back empty"


def test_a_plan_shows_what_comes_and_goes(procedure: Through) -> None:
    shown = procedure(remove_accounts=EVERYONE).plan().to_markdown()
    assert "remove AccountConnectionTable (AWS::DynamoDB::Table), and 2 items in it" in shown


# --- checks ----------------------------------------------------------------------------------------------------------


def test_nothing_stands_against_a_known_account(procedure: Through) -> None:
    checks = procedure("one-account").check()
    assert [check for check in checks if check.status is not Status.OK] == []


def test_an_account_outside_of_the_organization_is_a_warning(procedure: Through) -> None:
    found = answer(procedure(accounts=["676767676767"]).check(), "The account is known", Status.WARNING)
    assert found == (
        "676767676767: It is not in o-exampleorg, the organization of account a. "
        "Compare the number: whose account it is may send bucketAV messages and events from then on."
    )


def test_an_account_that_cannot_be_looked_up_is_a_warning(
    procedure: Through, environment: Environment, elsewhere: Callable[..., Environment]
) -> None:
    deny(environment, "organizations:ListAccounts")
    within = elsewhere(without="management")
    found = answer(procedure(accounts=["d"], within=within).check(), "The account is known", Status.WARNING)
    assert f"{D}: It could not be looked up" in found
    assert "name the organization's `management` account in" in found


def test_a_suspended_account_is_a_warning(procedure: Through) -> None:
    from moto.organizations.models import organizations_backends

    (account,) = [each for each in organizations_backends["999999999999"]["aws"].accounts if each.id == D]
    account.status = account.state = "SUSPENDED"
    found = answer(procedure(accounts=["d"]).check(), "The account is known", Status.WARNING)
    assert "It is `partner` of o-exampleorg, suspended. An account that is not in use needs no access." in found


def test_another_organization_is_a_warning(procedure: Through) -> None:
    found = answer(
        procedure(organizations=["o-0123456789"]).check(), "The organization is account a's own", Status.WARNING
    )
    assert found == (
        "o-0123456789: Account a is in o-exampleorg. Compare the id: every account of the other one is let in."
    )


def test_a_list_that_is_too_long_fails(procedure: Through, environment: Environment) -> None:
    many = [f"{number:012}" for number in range(1, 320)]
    applying = procedure(accounts=many, apply=True)
    with pytest.raises(
        ChecksFailed, match=r"AWSAccountRestriction: It would be 4,211 bytes; CloudFormation takes 4,096"
    ):
        applying.check()
    assert applying.plan().changes == ()
    assert applying.plan().left_out == ("AWSAccountRestriction",)
    assert accounts(environment) == SEEDED


def test_a_connected_account_that_is_taken_off_is_a_warning(procedure: Through) -> None:
    checks = procedure(remove_accounts=["b", "c"]).check()
    title = "What is taken off the lists is not in use"
    assert answer(checks, title, Status.WARNING) == (
        "333333333333 (c): It is still connected (eu-west-1); bucketAV takes no events from its buckets without the "
        "list. Disconnect it first: delete its connection stack in CloudFormation."
    )
    assert "222222222222 (b): It is not connected." in answer(checks, title, Status.OK)
    assert "It is not on the list." in answer(procedure(remove_accounts=["d"]).check(), title, Status.OK)


def test_an_account_that_its_organization_still_lets_in_may_be_taken_off(
    procedure: Through, update: Callable[..., None]
) -> None:
    update(AWSOrganizationRestriction="o-exampleorg")
    checks = procedure(remove_accounts=["c"]).check()
    assert not checks.with_status(Status.WARNING)


def test_emptying_both_lists_is_a_warning(procedure: Through) -> None:
    checks = procedure(remove_accounts=EVERYONE).check()
    found = answer(checks, "bucketAV keeps its connections", Status.WARNING)
    assert "bucketAV then deletes its table of connections (2 connections in it)" in found


def test_connections_that_cannot_be_read_are_a_warning(procedure: Through, environment: Environment) -> None:
    deny(environment, "dynamodb:Scan")
    checks = procedure(remove_accounts=["b"]).check()
    found = answer(checks, "What is taken off the lists is not in use", Status.WARNING)
    assert "The table `bucketav-AccountConnection` cannot be read: AccessDeniedException" in found


def test_a_template_that_cannot_be_read_lets_add_but_not_empty(procedure: Through, environment: Environment) -> None:
    deny(environment, "cloudformation:GetTemplate")
    title = "What else comes or goes is known"
    adding = procedure(accounts=["d"])
    found = answer(adding.check(), title, Status.WARNING)
    assert "AccessDenied (GetTemplate)" in found
    assert "Without it nothing may be removed." in found
    open_buckets(adding)
    assert D in accounts(environment)
    assert answer(procedure(remove_accounts=[*EVERYONE, D]).check(), title, Status.FAILED)


@pytest.mark.parametrize(
    ("version", "engine", "status", "said"),
    [
        ("2.18.4", "clamav", Status.WARNING, "2.18.4 cannot, 2.19.0 is needed."),
        ("2.10.0", "sophos", Status.WARNING, "2.10.0 cannot, 2.11.0 is needed."),
        ("2.11.0", "sophos", Status.OK, "2.11.0 can"),
        ("3.0", "clamav", Status.WARNING, "Which version it is cannot be told"),
    ],
)
def test_a_version_without_connections_is_a_warning(
    version: str, engine: str, status: Status, said: str, procedure: Through, elsewhere: Callable[..., Environment]
) -> None:
    within = elsewhere(stack_name="old")
    template = files("runbook.sandbox").joinpath("bucketav.yaml").read_text(encoding="utf-8")
    template = template.replace('"2.19.3"', f'"{version}"').replace('Value: "clamav"', f'Value: "{engine}"')
    create(within, "old", template, AWSAccountRestriction=B)
    checks = procedure(accounts=["d"], within=within).check()
    assert said in answer(checks, "The version can connect accounts by IAM role", status)


def test_a_stack_without_the_lists_fails(procedure: Through, elsewhere: Callable[..., Environment]) -> None:
    within = elsewhere(stack_name="other")
    create(within, "other", json.dumps({"Resources": {"Queue": {"Type": "AWS::SQS::Queue"}}}))
    found = answer(procedure(accounts=["d"], within=within).check(), "The stack has the two lists", Status.FAILED)
    assert "It has no parameter AWSAccountRestriction and no AWSOrganizationRestriction." in found
    assert procedure(accounts=["d"], within=within).plan().changes == ()


def test_a_stack_that_does_not_exist_is_an_error_that_says_where_to_look(
    procedure: Through, elsewhere: Callable[..., Environment]
) -> None:
    with pytest.raises(
        Exception, match=r"Stack `nowhere` cannot be read in eu-west-1 .* Correct `region`, `stack_name`"
    ):
        procedure(accounts=["d"], within=elsewhere(stack_name="nowhere")).check()


def test_a_stack_whose_creation_failed_fails(procedure: Through, elsewhere: Callable[..., Environment]) -> None:
    within = elsewhere(stack_name="failed")
    within.client("dynamodb", A).create_table(
        TableName="failed-BucketCache",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "x", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "x", "KeyType": "HASH"}],
    )
    template = files("runbook.sandbox").joinpath("bucketav.yaml").read_text(encoding="utf-8")
    create(within, "failed", template, AWSAccountRestriction=B)
    found = answer(procedure(accounts=["d"], within=within).check(), "bucketAV's stack takes an update", Status.FAILED)
    assert "ROLLBACK_COMPLETE. It was never set up completely" in found


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ("CREATE_COMPLETE", ""),
        ("UPDATE_ROLLBACK_COMPLETE", ""),
        ("UPDATE_IN_PROGRESS", "Run this again when that is over."),
        ("UPDATE_ROLLBACK_FAILED", "choose Stack actions › Continue update rollback."),
        ("UPDATE_FAILED", "choose Stack actions › Roll back."),
        ("ROLLBACK_COMPLETE", "Install bucketAV first."),
        ("DELETE_FAILED", "Install bucketAV first."),
        ("REVIEW_IN_PROGRESS", "Install bucketAV first."),
    ],
)
def test_there_is_a_way_out_of_every_status(status: str, said: str) -> None:
    found = cloudformation.way_out(cloudformation.Stack("bucketav", status, "arn", {}, {}))
    assert (found == "") if not said else found.endswith(said)


def test_an_organization_that_cannot_be_asked_for_is_a_warning(
    procedure: Through, environment: Environment, elsewhere: Callable[..., Environment]
) -> None:
    deny(environment, "organizations:DescribeOrganization")
    named = procedure(organizations=["o-exampleorg"]).check()
    assert answer(named, "The organization is account a's own", Status.OK), "the management account has listed it"
    within = elsewhere(without="management")
    checks = procedure(within=within, accounts=["d"], organizations=["o-exampleorg"]).check()
    assert answer(checks, "The organization is account a's own", Status.WARNING) == (
        "o-exampleorg: Which organization account a is in could not be asked. "
        "Compare the id: every account of it is let in."
    )
    assert "It could not be looked up" in answer(checks, "The account is known", Status.WARNING)


def create(environment: Environment, name: str, template: str, **parameters: str) -> None:
    """Create a stack in account a and wait until that is over, well or not."""
    client = environment.client("cloudformation", A)
    client.create_stack(
        StackName=name,
        TemplateBody=template,
        Capabilities=["CAPABILITY_IAM"],
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
    )
    read_settled_stack(environment, A, environment.region, name, lambda _: None)


# --- refusals and accidents ------------------------------------------------------------------------------------------


def test_a_stack_that_was_changed_since_the_plan_is_refused_with_the_difference(
    procedure: Through, environment: Environment, update: Callable[..., None]
) -> None:
    applying = procedure("one-account")
    plan = applying.plan()
    update(TagFiles="false")
    with pytest.raises(StalePlan, match=r'-  "TagFiles": "true"(.|\n)*\+  "TagFiles": "false"'):
        applying.apply(plan)
    assert D not in accounts(environment)


def test_a_stack_that_was_changed_since_the_run_is_not_undone(
    procedure: Through, environment: Environment, update: Callable[..., None]
) -> None:
    folder = open_buckets(procedure("one-account"))
    update(AWSOrganizationRestriction="o-exampleorg")
    with pytest.raises(UndoRefused, match=r'\+  "AWSOrganizationRestriction": "o-exampleorg"'):
        undo(folder, environment)
    assert D in accounts(environment)


def test_an_update_that_somebody_else_has_just_begun_is_waited_for(
    procedure: Through, environment: Environment
) -> None:
    client = environment.client("cloudformation", A)
    client.update_stack(
        StackName="bucketav",
        UsePreviousTemplate=True,
        Capabilities=["CAPABILITY_IAM"],
        Parameters=[
            {"ParameterKey": name, "UsePreviousValue": True}
            if name != "AWSAccountRestriction"
            else {"ParameterKey": name, "ParameterValue": f"{B},{E}"}
            for name in read_stack(environment).parameters
        ],
    )
    assert read_stack(environment).busy
    open_buckets(procedure("one-account", apply=True))
    assert accounts(environment) == f"{B},{E},{D}"


def test_removing_what_was_not_planned_is_refused_and_nothing_is_left_behind(
    procedure: Through, environment: Environment, tmp_path: Path
) -> None:
    before = whole_stack(environment)
    applying = procedure(remove_accounts=EVERYONE)
    plan = applying.plan()
    (change,) = plan.changes
    unplanned: Plan = plan.model_copy(update={"changes": (change.model_copy(update={"effects": ()}),)})
    with pytest.raises(StalePlan, match="differs in `effects`"):
        applying.apply(unplanned)
    with pytest.raises(ApplyFailed) as failure:
        apply(unplanned, environment, tmp_path / "unplanned")
    assert "It would remove AccountConnectionTable (AWS::DynamoDB::Table)." in str(failure.value)
    assert "The change was not made." in str(failure.value)
    assert whole_stack(environment) == before
    assert environment.client("cloudformation", A).list_change_sets(StackName="bucketav")["Summaries"] == []


def test_replacing_anything_is_refused(procedure: Through, elsewhere: Callable[..., Environment]) -> None:
    """A version whose template puts the lists where they replace a resource."""
    within = elsewhere(stack_name="replacing")
    create(
        within,
        "replacing",
        json.dumps(
            {
                "Parameters": {
                    "AWSAccountRestriction": {"Type": "CommaDelimitedList", "Default": ""},
                    "AWSOrganizationRestriction": {"Type": "CommaDelimitedList", "Default": ""},
                },
                "Resources": {
                    "Queue": {
                        "Type": "AWS::SQS::Queue",
                        "Properties": {"QueueName": {"Fn::Join": ["-", {"Ref": "AWSAccountRestriction"}]}},
                    }
                },
                "Outputs": {"ScanQueueArn": {"Value": {"Fn::GetAtt": ["Queue", "Arn"]}}},
            }
        ),
        AWSAccountRestriction=B,
    )
    applying = procedure(accounts=["d"], within=within)
    with pytest.raises(ApplyFailed, match=r"It would replace Queue \(AWS::SQS::Queue\): a new one is made"):
        applying.apply(applying.plan())
    assert read_stack(within).parameters["AWSAccountRestriction"] == B


def test_what_depends_on_a_resource_that_stays_is_not_taken_for_replaced(
    procedure: Through, elsewhere: Callable[..., Environment]
) -> None:
    """A template with the types of the product's own: a permission's function is modified, so that CloudFormation says
    that the permission may be replaced, although its function stays what it is.
    """
    within = elsewhere(stack_name="product")
    template = (project_root() / "tests" / "sandbox" / "product.yaml").read_text(encoding="utf-8")
    create(within, "product", template)
    assert read_stack(within).status == "CREATE_COMPLETE"
    applying = procedure(accounts=["b"], within=within)
    run = applying.apply(applying.plan())
    assert "CloudFormation: modify SchedulePermission (AWS::Lambda::Permission)." in run.told
    assert "CloudFormation: add ConnectionTable (AWS::DynamoDB::Table)." in run.told
    assert read_stack(within).parameters["AWSAccountRestriction"] == B
    undo(applying.folder or Path(), within)
    assert read_stack(within).parameters["AWSAccountRestriction"] == ""


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ([("Function", "False", [])], {"Function"}),
        ([("Queue", "True", [("Always", "Static", "ParameterReference", "P")])], set()),
        (
            [
                ("Function", "False", []),
                ("Permission", "Conditional", [("Always", "Dynamic", "ResourceAttribute", "Function.Arn")]),
                ("Alias", "Conditional", [("Always", "Dynamic", "ResourceReference", "Permission")]),
            ],
            {"Function", "Permission", "Alias"},
        ),
        (
            [
                ("Function", "True", []),
                ("Permission", "Conditional", [("Always", "Dynamic", "ResourceAttribute", "Function.Arn")]),
            ],
            set(),
        ),
        (
            [
                ("Template", "False", []),
                ("Fleet", "Conditional", [("Always", "Dynamic", "ResourceAttribute", "Template.LatestVersionNumber")]),
            ],
            {"Template"},
        ),
        (
            [
                ("Function", "False", []),
                (
                    "Both",
                    "Conditional",
                    [
                        ("Always", "Dynamic", "ResourceReference", "Function"),
                        ("Conditionally", "Static", "DirectModification", ""),
                    ],
                ),
            ],
            {"Function"},
        ),
        ([("Odd", "Conditional", [])], set()),
    ],
)
def test_a_resource_stays_if_only_ids_that_stay_could_replace_it(
    changes: list[tuple[str, str, list[tuple[str, str, str, str]]]], expected: set[str]
) -> None:
    """AWS, ResourceChange, Replacement: Always and Dynamic make it conditional."""
    shown: list[Any] = [
        {
            "Action": "Modify",
            "LogicalResourceId": name,
            "Replacement": replacement,
            "Details": [
                {
                    "Target": {"Attribute": "Properties", "RequiresRecreation": recreation},
                    "Evaluation": evaluation,
                    "ChangeSource": source,
                    "CausingEntity": entity,
                }
                for recreation, evaluation, source, entity in details
            ],
        }
        for name, replacement, details in changes
    ]
    assert change_sets.staying(shown) == expected


def test_an_update_that_fails_is_explained_and_everything_is_as_before(
    procedure: Through, environment: Environment
) -> None:
    open_buckets(procedure(remove_accounts=EVERYONE))
    environment.client("dynamodb", A).create_table(
        TableName="bucketav-BucketCache",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "x", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "x", "KeyType": "HASH"}],
    )
    before = whole_stack(environment)
    applying = procedure("one-account")
    with pytest.raises(ApplyFailed) as failure:
        applying.apply(applying.plan())
    told = str(failure.value)
    assert "CloudFormation could not make the update, and put everything back as it was." in told
    assert "What failed: BucketCacheTable (AWS::DynamoDB::Table):" in told
    assert "already exists" in told
    assert "The change was not made." in told
    assert whole_stack(environment) == before

    environment.client("dynamodb", A).delete_table(TableName="bucketav-BucketCache")
    applying.apply(Plan.load(applying.folder or Path()))
    assert accounts(environment) == D


def test_an_undo_does_not_take_the_connections_of_accounts_with_it(
    procedure: Through, environment: Environment
) -> None:
    """The run made the table, so undoing deletes it; what was connected since then would be lost."""
    open_buckets(procedure(remove_accounts=EVERYONE))
    folder = open_buckets(procedure("one-account"))
    item = {"account_connection_id": {"S": f"aws:eu-west-1:{D}"}, "account_id": {"S": D}, "region": {"S": "eu-west-1"}}
    environment.client("dynamodb", A).put_item(TableName="bucketav-AccountConnection", Item=item)
    with pytest.raises(UndoFailed, match=r"It would remove the table `bucketav-AccountConnection` with 1 item\."):
        undo(folder, environment)
    assert accounts(environment) == D
    environment.client("dynamodb", A).delete_item(
        TableName="bucketav-AccountConnection", Key={"account_connection_id": item["account_connection_id"]}
    )
    undo(folder, environment)
    assert accounts(environment) == ""


def test_a_call_that_is_refused_is_told_in_a_sentence(procedure: Through, environment: Environment) -> None:
    applying = procedure("one-account")
    plan = applying.plan()
    deny(environment, "cloudformation:CreateChangeSet")
    with pytest.raises(ApplyFailed, match=r"AWS refused a call: AccessDenied \(CreateChangeSet\)"):
        applying.apply(plan)
    assert D not in accounts(environment)


# --- what is opened --------------------------------------------------------------------------------------------------


def test_the_matrix_shows_who_is_let_in_before_and_after(procedure: Through) -> None:
    preview = procedure("one-account")
    predicted = preview.verify(preview.preview(preview.plan())).access
    applying = procedure("one-account")
    found = applying.verify(applying.apply(applying.plan())).access
    for matrix in (predicted, found):
        shown = {
            (row.principal, row.action): (row.before.verdict.value, row.after.verdict.value) for row in matrix.rows
        }
        for action in ("sns:Publish", "sqs:SendMessage"):
            assert shown[f"{D} (d)", action] == ("denied", "allowed")
            assert shown[f"{B} (b)", action] == ("allowed", "allowed")
            assert shown["any other account", action] == ("denied", "denied")
    assert (predicted.predicted, found.predicted) == (True, False)


def test_the_matrix_predicts_what_an_apply_then_proves(procedure: Through) -> None:
    """From nothing, and back to nothing: where there is no topic yet, what its policy will say is assumed."""
    open_buckets(procedure(remove_accounts=EVERYONE))
    for given in ({"organizations": ["o-exampleorg"]}, {"accounts": ["d"]}, {"remove_accounts": ["d"]}):
        preview = procedure(**given)
        predicted = preview.verify(preview.preview(preview.plan())).access.rows
        applying = procedure(**given)
        found = applying.verify(applying.apply(applying.plan())).access.rows
        assert [(row.principal, row.action, row.before.verdict, row.after.verdict) for row in predicted] == [
            (row.principal, row.action, row.before.verdict, row.after.verdict) for row in found
        ]
        assert all(row.as_wanted for row in found)


def test_who_is_let_in_really_is_and_who_is_not_is_not(procedure: Through, environment: Environment) -> None:
    """Not worked out, but tried, with the accounts' own credentials."""
    topic = f"arn:aws:sns:eu-west-1:{A}:bucketav-AccountConnectionTopic"

    def publishes(account: str) -> bool:
        try:
            environment.client("sns", account).publish(TopicArn=topic, Message="{}")
        except ClientError as error:
            if error.response["Error"]["Code"] != "AuthorizationError":
                raise
            return False
        return True

    assert [publishes(account) for account in (B, D, E)] == [True, False, False]
    folder = open_buckets(procedure("one-account"))
    assert [publishes(account) for account in (B, D, E)] == [True, True, False]
    open_buckets(procedure("organization"))
    assert [publishes(account) for account in (B, D, E)] == [True, True, True]
    open_buckets(procedure(remove_organizations=["o-exampleorg"]))
    undo(folder, environment)
    assert [publishes(account) for account in (B, D, E)] == [True, False, False]


@pytest.mark.parametrize(("effect", "subject"), [("Allow", "any other account"), ("Deny", f"{D} (d)")])
def test_a_policy_that_does_not_follow_the_lists_is_told(
    effect: str, subject: str, procedure: Through, environment: Environment
) -> None:
    """Somebody has changed the topic's policy by hand: who is let in beyond the lists is a warning, as it is not by
    this run; who is not let in fails it.
    """
    applying = procedure("one-account")
    run = applying.apply(applying.plan())
    topic = f"arn:aws:sns:eu-west-1:{A}:bucketav-AccountConnectionTopic"
    statement = {"Effect": effect, "Principal": {"AWS": "*"}, "Action": "sns:Publish", "Resource": topic}
    environment.client("sns", A).set_topic_attributes(
        TopicArn=topic,
        AttributeName="Policy",
        AttributeValue=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
    )
    if effect == "Deny":
        with pytest.raises(ChecksFailed, match=r"and 3 more: sns:Publish is denied: .* by statement 1"):
            applying.verify(run)
    else:
        (check,) = applying.verify(run).checks.with_status(Status.WARNING)
        assert (check.subject, "sns:Publish is allowed" in check.found) == (subject, True)


def test_a_topic_that_is_gone_fails_the_verification(procedure: Through, environment: Environment) -> None:
    applying = procedure("one-account")
    run = applying.apply(applying.plan())
    environment.client("sns", A).delete_topic(TopicArn=f"arn:aws:sns:eu-west-1:{A}:bucketav-AccountConnectionTopic")
    with pytest.raises(
        ChecksFailed, match="Connection stacks have a topic to report to: bucketav: There is none, although the lists"
    ):
        applying.verify(run)


def test_a_list_that_was_changed_after_the_run_fails_the_verification(
    procedure: Through, update: Callable[..., None]
) -> None:
    applying = procedure("one-account")
    run = applying.apply(applying.plan())
    update(AWSAccountRestriction=B)
    with pytest.raises(ChecksFailed, match="The change is in place: bucketav: No"):
        applying.verify(run)


def test_policies_that_cannot_be_read_are_a_warning_and_nothing_is_claimed(
    procedure: Through, environment: Environment
) -> None:
    deny(environment, "sns:GetTopicAttributes")
    preview = procedure("one-account")
    verification = preview.verify(preview.preview(preview.plan()))
    assert verification.access.rows == ()
    (check,) = verification.checks.with_status(Status.WARNING)
    assert "AuthorizationError (GetTopicAttributes)" in check.found


def test_an_account_whose_organization_is_not_known_is_not_guessed_about(
    procedure: Through, elsewhere: Callable[..., Environment], update: Callable[..., None]
) -> None:
    """Another organization is on the list too, and which one the account is in cannot be asked."""
    update(AWSOrganizationRestriction="o-0123456789")
    preview = procedure(remove_accounts=["d"], within=elsewhere(without="management"))
    rows = preview.verify(preview.preview(preview.plan())).access.rows
    assert {row.principal: row.after.verdict for row in rows if row.action == "sns:Publish"} == {
        f"{B} (b)": Verdict.ALLOWED,
        f"{C} (c)": Verdict.ALLOWED,
        f"{F} (f)": Verdict.ALLOWED,
        PILOT: Verdict.ALLOWED,
        GONE: Verdict.ALLOWED,
        "any account of o-0123456789": Verdict.ALLOWED,
        "any other account": Verdict.DENIED,
    }


# --- parameters ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "what is to be changed?"),
        ({"accounts": ["22222222222"]}, "`accounts.0` is '22222222222', which"),
        (
            {"accounts": [222222222222]},
            "is the number 222222222222, not an account id. Write `accounts = \\['2",
        ),
        ({"remove_accounts": [1402433619]}, "Unquoted, YAML reads 012345670123 as octal"),
        ({"accounts": ["x"]}, "`accounts`: .*there is no account `x`"),
        ({"organizations": ["exampleorg"]}, "`organizations.0` is 'exampleorg', which is not an organization's id"),
        ({"accounts": ["b"], "remove_accounts": [B]}, f"`{B}` is both to be let in and to be taken off"),
        ({"accounts": ["a"]}, f"{A} is account a, which runs bucketAV"),
    ],
)
def test_bad_parameters_are_explained_before_anything_is_looked_at(
    given: Mapping[str, Any], said: str, environment: Environment
) -> None:
    with pytest.raises(ParameterError, match=said):
        make_step(Allowlist, "", given).examine(environment)


def test_what_is_given_puts_aside_what_a_scenario_would_change() -> None:
    step = make_step(Allowlist, "one-account", {"organizations": ["o-exampleorg"]})
    assert (step.accounts, step.organizations) == ((), ("o-exampleorg",))


def test_the_organization_is_recommended_where_it_is_what_is_meant(procedure: Through) -> None:
    one = " ".join(procedure(accounts=["d"]).plan().notes)
    assert f"`{D}` belongs to organization o-exampleorg. To let in all of its accounts" in one
    everyone = " ".join(procedure(accounts=["b", "c", "d", "e", "f", PILOT, "121212121212", "management"]).plan().notes)
    assert "every active account of organization o-exampleorg is on the list, one by one" in everyone
    assert "`organizations: [o-exampleorg]`" in everyone
    already = procedure(accounts=["d"], organizations=["o-exampleorg"]).plan().notes
    assert any("lets in" in note and "without their ids" in note for note in already)


def test_by_hand_sends_everything_else_as_it_is(procedure: Through) -> None:
    from runbook.by_hand import by_hand

    plan = procedure("one-account").plan()
    text = by_hand(plan).to_markdown()
    block = text[text.index("[\n  {") :].partition("```")[0]
    sent = {each["ParameterKey"]: each for each in json.loads(block)}
    assert sent.keys() == from_text(plan.changes[0].before or "").keys()
    assert sent["AWSAccountRestriction"]["ParameterValue"] == f"{SEEDED},{D}"
    assert sent["SupportToken"] == {"ParameterKey": "SupportToken", "UsePreviousValue": True}
    assert "aws cloudformation execute-change-set" in text


def test_a_stack_that_takes_no_update_is_refused_at_the_last_moment_too(
    procedure: Through, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    applying = procedure("one-account")
    plan = applying.plan()
    monkeypatch.setattr(change_sets, "UPDATABLE", ())
    with pytest.raises(ApplyFailed, match="takes no update"):
        applying.apply(plan)
    assert issubclass(UpdateRefused, Exception)
    assert D not in accounts(environment)
