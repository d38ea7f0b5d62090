"""From the instances that there are to those that are to be: which calls it takes, and what is made in part."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import botocore.session
import pytest
from botocore.validate import validate_parameters

from runbook.aws.likely_causes import likely_cause
from runbook.aws.stack_instances import MOST_UNITS, StackInstances, creations, removals, requests
from runbook.aws.stack_set_operations import Result, grouped, progress_line
from runbook.plan import Change, Resource
from runbook.untrusted import Untrusted

REGION = "eu-west-1"
PREFERENCES = {"FailureToleranceCount": 5, "MaxConcurrentCount": 10, "ConcurrencyMode": "SOFT_FAILURE_TOLERANCE"}
ONE, TWO, THREE = "100000000001", "100000000002", "100000000003"
P, Q, ROOT = "ou-examp-pppppppp", "ou-examp-qqqqqqqq", "r-examp"
KIND = StackInstances()


def value(up_to_date: Mapping[str, Sequence[str]], **more: Any) -> str:
    return json.dumps({"Region": REGION, "UpToDate": up_to_date, **more})


def change(before: str | None, after: str | None) -> Change:
    arn = "arn:aws:cloudformation:eu-west-1:999999999999:stackset-target/connections"
    resource = Resource(kind=KIND.name, account="999999999999", region=REGION, arn=arn)
    return Change(resource=resource, summary="connect", before=before, after=after)


def calls(present: str | None, wanted: str | None) -> list[tuple[str, Any]]:
    return [
        (each.call.split("_")[0], each.arguments["DeploymentTargets"]) for each in requests(change(present, wanted))
    ]


def named(units: Sequence[str], *accounts: str) -> dict[str, Any]:
    return {"OrganizationalUnitIds": [*units], "Accounts": [*accounts], "AccountFilterType": "INTERSECTION"}


ALL_BUT_TWO = {"AccountFilterType": "DIFFERENCE", "Accounts": [TWO]}


@pytest.mark.parametrize(
    ("present", "wanted", "expected"),
    [
        (None, None, []),
        (value({P: [ONE]}), value({P: [ONE]}), []),
        (None, value({P: [ONE, TWO]}, Filter={}), [("create", {"OrganizationalUnitIds": [P]})]),
        (None, value({P: [ONE]}, Filter=ALL_BUT_TWO), [("create", {"OrganizationalUnitIds": [P], **ALL_BUT_TWO})]),
        # Put back as it was: exactly the accounts that there were, because who else is in the OU now is not known.
        (None, value({P: [ONE, TWO]}), [("create", named([P], ONE, TWO))]),
        # Again after some have failed: those and no others.
        (value({P: [ONE]}, OutOfDate={P: [TWO]}), value({P: [ONE, TWO]}, Filter={}), [("create", named([P], TWO))]),
        (value({P: [ONE]}), value({P: [ONE, TWO], Q: [THREE]}, Filter={}), [
            ("create", {"OrganizationalUnitIds": [Q]}), ("create", named([P], TWO)),
        ]),
        (value({P: [ONE]}), None, [("delete", {"OrganizationalUnitIds": [P]})]),
        (value({P: [ONE], Q: [TWO]}), value({Q: [TWO]}), [("delete", {"OrganizationalUnitIds": [P]})]),
        (value({ROOT: [ONE, TWO]}), value({ROOT: [ONE]}), [("delete", named([ROOT], TWO))]),
        (value({P: [ONE]}, OutOfDate={P: [TWO]}), value({P: [ONE]}), [("delete", named([P], TWO))]),
        # Taken out first: an account cannot be in twice.
        (value({P: [ONE]}), value({Q: [ONE]}, Filter={}), [
            ("delete", {"OrganizationalUnitIds": [P]}), ("create", {"OrganizationalUnitIds": [Q]}),
        ]),
        # Who was not up to date before cannot be made so again.
        (value({P: [ONE, TWO]}), value({P: [ONE]}, OutOfDate={P: [TWO]}), [("delete", named([P], TWO))]),
        (value({P: [ONE]}, OutOfDate={P: [TWO]}), value({P: [ONE]}, OutOfDate={P: [TWO]}), []),
        (value({P: [ONE]}, Suspended={P: [TWO]}), value({P: [ONE]}), []),
        (value({P: [ONE]}, Suspended={P: [TWO]}), None, [
            ("delete", named([P], TWO)), ("delete", {"OrganizationalUnitIds": [P]}),
        ]),
    ],
)  # fmt: skip
def test_the_calls_that_lead_from_one_to_the_other(
    present: str | None, wanted: str | None, expected: list[tuple[str, Any]]
) -> None:
    assert calls(present, wanted) == expected


@pytest.mark.parametrize(
    ("before", "present", "after", "expected"),
    [
        # An OU that had nobody is put back without those who were left out of it.
        (value({}, LeftOut=[TWO]), None, value({P: [], Q: [ONE]}), [
            ("create", {"OrganizationalUnitIds": [P], **ALL_BUT_TWO}), ("create", named([Q], ONE)),
        ]),
        # Somebody joined a target since: whoever the change does not know stays, wherever the change goes on from.
        (value({P: [ONE]}), value({P: [ONE, THREE]}), value({P: [ONE, TWO]}), [("create", named([P], TWO))]),
        (value({P: [ONE, TWO]}), value({P: [ONE, TWO, THREE]}), value({P: [ONE]}), [("delete", named([P], TWO))]),
        (value({P: [ONE, TWO]}), value({P: [ONE, THREE]}), value({P: [ONE]}), []),
        (value({P: [ONE, TWO]}), value({P: [ONE, TWO]}, OutOfDate={P: [THREE]}), value({P: [ONE, TWO]}), []),
        # An OU of the change that goes, goes with all that is in it; one that the change does not know stays.
        (value({P: [ONE]}), value({P: [ONE, THREE]}), None, [("delete", {"OrganizationalUnitIds": [P]})]),
        (value({P: [ONE]}), value({P: [ONE], Q: [THREE]}), None, [("delete", {"OrganizationalUnitIds": [P]})]),
    ],
)  # fmt: skip
def test_nobody_is_taken_out_whom_the_change_does_not_know(
    before: str | None, present: str | None, after: str | None, expected: list[tuple[str, Any]]
) -> None:
    on_the_way = change(before, after)
    made = [*removals(on_the_way, present), *creations(on_the_way, present)]
    assert [(each.call.split("_")[0], each.arguments["DeploymentTargets"]) for each in made] == expected


@pytest.mark.parametrize(
    ("before", "after", "present", "made"),
    [
        (None, value({P: [ONE]}), value({P: [ONE, TWO]}), True),
        (None, value({P: [ONE]}), value({P: [ONE]}, OutOfDate={P: [TWO]}), True),
        (None, value({P: [ONE]}), value({P: [TWO]}), False),
        (None, value({P: [ONE]}), value({P: [ONE], Q: [TWO]}), False),
        (value({P: [ONE, TWO]}), value({P: [ONE]}), value({P: [ONE, TWO]}), False),
        (value({P: [ONE, TWO]}), value({P: [ONE]}), value({P: [ONE, THREE]}), True),
        (value({P: [ONE]}), None, value({P: [TWO]}), False),
    ],
)
def test_who_joins_a_target_meanwhile_does_not_make_a_change_unmade(
    before: str | None, after: str | None, present: str | None, made: bool
) -> None:
    assert KIND.made(change(before, after), present) is made


def test_every_call_is_one_that_the_api_takes() -> None:
    model = botocore.session.get_session().get_service_model("cloudformation")
    after = value({Q: [TWO, THREE], ROOT: []}, Filter={}, OperationPreferences=PREFERENCES)
    made = requests(change(value({P: [ONE], Q: [TWO]}), after))
    assert [each.call for each in made] == [
        "delete_stack_instances",
        "create_stack_instances",
        "create_stack_instances",
    ]
    for each in made:
        operation = "".join(part.capitalize() for part in each.call.split("_"))
        arguments = {"StackSetName": "connections", **each.arguments}
        shape = model.operation_model(operation).input_shape
        assert shape is not None
        validate_parameters(arguments, shape)  # raises for what the API does not take


def test_many_organizational_units_go_into_several_calls() -> None:
    units = [f"ou-examp-{number:08}" for number in range(2 * MOST_UNITS + 1)]
    made = calls(None, value({unit: [f"{number:012}"] for number, unit in enumerate(units)}, Filter={}))
    assert [len(targets["OrganizationalUnitIds"]) for _, targets in made] == [MOST_UNITS, MOST_UNITS, 1]
    assert [unit for _, targets in made for unit in targets["OrganizationalUnitIds"]] == units
    back = calls(value({unit: ["1"] for unit in units}), None)
    assert [len(targets["OrganizationalUnitIds"]) for _, targets in back] == [MOST_UNITS, MOST_UNITS, 1]


@pytest.mark.parametrize(
    ("before", "after", "present", "in_part"),
    [
        (None, value({P: [ONE, TWO]}), value({P: [ONE]}, OutOfDate={P: [TWO]}), True),
        (None, value({P: [ONE, TWO]}), None, True),
        (value({Q: [THREE]}), value({Q: [THREE], P: [ONE, TWO]}), value({Q: [THREE], P: [ONE]}), True),
        (value({Q: [THREE]}), value({Q: [THREE], P: [ONE]}), value({Q: [], P: [ONE]}), False),
        (value({Q: [THREE]}), value({Q: [THREE], P: [ONE]}), value({Q: [THREE], P: [ONE], ROOT: [TWO]}), False),
        (value({P: [ONE, TWO]}), None, value({}, OutOfDate={P: [TWO]}), True),
        (value({Q: [THREE]}), value({Q: [THREE], P: [ONE]}), value({Q: [THREE, TWO], P: []}), True),
    ],
)
def test_what_is_made_in_part_is_told_from_what_somebody_else_did(
    before: str | None, after: str | None, present: str | None, in_part: bool
) -> None:
    assert KIND.in_part(change(before, after), present) is in_part


def test_how_to_go_about_it_is_no_difference() -> None:
    planned = value({P: [TWO, ONE]}, Filter={}, OperationPreferences=PREFERENCES, CallAs="SELF")
    assert KIND.same(value({P: [ONE, TWO]}, Suspended={P: [THREE]}), planned)
    assert not KIND.same(value({P: [ONE]}, OutOfDate={P: [TWO]}), planned)
    assert KIND.same(None, value({}))
    assert KIND.same(value({P: [ONE]}), value({P: [ONE]}, OutOfDate={P: [TWO]})), "it was so before, and is gone"
    assert not KIND.same(value({P: [ONE]}, OutOfDate={P: [TWO]}), value({P: [ONE]})), "something of it is still there"


def test_by_hand_is_every_call_with_what_to_click() -> None:
    more = {"Filter": ALL_BUT_TWO, "OperationPreferences": PREFERENCES, "CallAs": "DELEGATED_ADMIN"}
    shown = KIND.by_hand(change(value({Q: [THREE]}), value({P: [ONE]}, **more)))
    assert "request-1.json" in shown
    assert "Delete stacks from StackSet › Deploy to organizational units: `ou-examp-qqqqqqqq`" in shown
    assert (
        "Add stacks to StackSet › Deploy to organizational units: `ou-examp-pppppppp`; Account filter type Difference: "
        f"{TWO}. Region eu-west-1. Maximum concurrent accounts 10, Failure tolerance 5 › Next › Submit."
    ) in shown
    assert (
        "aws cloudformation create-stack-instances --region eu-west-1 --stack-set-name connections --call-as "
        "DELEGATED_ADMIN --cli-input-json file://request-2.json"
    ) in shown


# --- operations ------------------------------------------------------------------------------------------------------


def test_progress_is_told_account_by_account() -> None:
    results = [Result(ONE, "SUCCEEDED"), Result(TWO, "FAILED", Untrusted("no")), Result(THREE, "PENDING")]
    assert progress_line("connections", results) == "Stack set `connections`: 2 of 3 accounts, 1 failed"


def test_failures_are_told_by_reason_with_names_and_what_is_likely_behind_them() -> None:
    denied = "User: arn:aws:sts::{}:assumed-role/x is not authorized with an explicit deny in a service control policy"
    failed = [
        Result(ONE, "FAILED", Untrusted(denied.format(ONE))),
        Result(TWO, "FAILED", Untrusted(denied.format(TWO))),
    ]
    failed += [Result(THREE, "CANCELLED", Untrusted("Cancelled since failure tolerance has exceeded"))]
    first, second = grouped(failed, {ONE: Untrusted("archive")})
    assert first.startswith(f"- {ONE} (archive), {TWO} failed, of {ONE} for example: User: arn:aws:sts::{ONE}:")
    assert "Likely: a service control policy of the organization forbids it there." in first
    assert second.startswith(f"- {THREE} not come to: Cancelled since failure tolerance has exceeded. ")
    assert "`failure_tolerance`" in second


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        (
            "Resource of type 'AWS::IAM::Role' with identifier 'bucketav-AccountConnection' already exists.",
            "another way",
        ),
        ("User is not authorized to perform: SNS:Publish on resource: arn:aws:sns:...", "01-allowlist"),
        ("CloudFormation did not receive a response from your Custom Resource", "alarms"),
        ("Connecting account a to itself is refused.", "cannot be connected to itself"),
        ("Account 1 should have 'stacksets-exec-1' role with trust relationship", "trusted access"),
        ("Something nobody has heard of", ""),
    ],
)
def test_what_is_likely_behind_a_reason(reason: str, said: str) -> None:
    assert said in likely_cause(reason) if said else likely_cause(reason) == ""
