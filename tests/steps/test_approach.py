"""Which approach is recommended to whom, and that what it leads to can be run as it stands."""

import shlex
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook.display.address import CHOOSING
from runbook.environment import Environment, load_environment
from runbook.parameters import ParameterError
from runbook.steps import STEPS
from runbook.steps.approach import HANDFUL, recommend
from runbook.steps.approach_case import MANY
from runbook.steps.approach_notebooks import Approach, Call
from runbook.steps.scenarios import make_step, scenario_names
from runbook.steps.start_here import StartHere
from runbook.steps.topology import Way
from tests.steps.topologies import A, account, topology

SAME, ROLE, SETS, POLICY = Approach


@pytest.fixture(scope="module")
def sandbox_file() -> Environment:
    """The environment's names; nothing is called, so that nothing is started."""
    return load_environment("sandbox")


def answers(**values: Any) -> StartHere:
    return make_step(StartHere, "", values)


def called(calls: tuple[Call, ...]) -> dict[str, dict[str, Any]]:
    return {call.notebook: dict(call.values) for call in calls}


@pytest.mark.parametrize(
    ("values", "approach", "calls"),
    [
        ({"same_account": True, "accounts": ["b"]}, SAME, {}),
        ({"accounts": ["b"]}, ROLE, {"02-iam-role": {"accounts": ["b"]}}),
        ({"accounts": ["b", "c"]}, ROLE, {"02-iam-role": {"accounts": ["b"]}}),
        ({"accounts": ["c"]}, ROLE, {}),
        (
            {"accounts": ["d", "b"]},
            ROLE,
            {"01-allowlist": {"accounts": ["d"]}, "02-iam-role": {"accounts": ["d", "b"]}},
        ),
        ({"buckets": ["b/uploads-b"]}, POLICY, {"05-bucket-policy": {"buckets": ["b/uploads-b"]}}),
        ({"buckets": ["b/open-b"]}, POLICY, {}),
        (
            {"buckets": ["e/reports-e"]},
            POLICY,
            {"01-allowlist": {"accounts": ["e"]}, "05-bucket-policy": {"buckets": ["e/reports-e"]}},
        ),
        (
            {"buckets": ["b/uploads-b", "b/documents-b"]},
            POLICY,
            {"05-bucket-policy": {"buckets": ["b/uploads-b", "b/documents-b"], "key_policy": "change"}},
        ),
        # Nobody outside of the account gets at what AWS's own key encrypts.
        ({"buckets": ["b/uploads-b", "b/vault-b"]}, ROLE, {"02-iam-role": {"accounts": ["b"]}}),
        (
            {"buckets": ["b/uploads-b", "b/vault-b"], "create_roles": False},
            POLICY,
            {"05-bucket-policy": {"buckets": ["b/uploads-b"]}},
        ),
        (
            {"accounts": ["b"], "create_roles": False},
            POLICY,
            {"05-bucket-policy": {"buckets": ["b/documents-b", "b/uploads-b"], "key_policy": "change"}},
        ),
        ({"buckets": [f"b/bucket-{number}" for number in range(HANDFUL)]}, POLICY, None),
        ({"buckets": [f"b/bucket-{number}" for number in range(HANDFUL + 1)]}, ROLE, None),
        ({"accounts": ["b"], "number_of_accounts": MANY - 1}, ROLE, None),
        (
            {"accounts": ["b"], "number_of_accounts": MANY},
            SETS,
            {"03-stack-sets": {"targets": ["organization"], "allowlist_organization": True}},
        ),
        ({"accounts": ["b"], "number_of_accounts": MANY, "organization": "no"}, ROLE, None),
        (
            {"accounts": ["b", "c", "d", "e", "f"]},
            SETS,
            {
                "03-stack-sets": {
                    "targets": ["organization"],
                    "only_accounts": ["b", "c", "d", "e", "f"],
                    "allowlist_organization": True,
                }
            },
        ),
        (
            {"accounts": ["management", "b", "d", "e", "f"]},
            SETS,
            {
                "03-stack-sets": {
                    "targets": ["organization"],
                    "only_accounts": ["b", "d", "e", "f"],
                    "allowlist_organization": True,
                },
                "02-iam-role": {"accounts": ["management"]},
            },
        ),
        (
            {"organizational_units": ["Workloads"]},
            SETS,
            {"03-stack-sets": {"targets": ["Workloads"], "allowlist_organization": True}},
        ),
        (
            {"accounts": ["c"], "add_ons": ["quarantine", "other"], "target_buckets": ["b/documents-b"]},
            ROLE,
            {
                "04-add-ons": {
                    "target_buckets": ["b/documents-b"],
                    "add_ons": ["quarantine"],
                    "key_policy": "change",
                }
            },
        ),
        ({"accounts": ["c"], "add_ons": ["other"]}, ROLE, {}),
        ({"accounts": ["c"], "queues": ["c/events"]}, ROLE, {"06-findings-topic": {"queues": ["c/events"]}}),
        ({"same_account": True, "queues": ["c/events"]}, SAME, {"06-findings-topic": {"queues": ["c/events"]}}),
        # Account a is never connected to itself.
        ({"accounts": ["a", "b"]}, ROLE, {"02-iam-role": {"accounts": ["b"]}}),
    ],
)
def test_what_somebody_has_decides(
    values: dict[str, Any], approach: Approach, calls: dict[str, dict[str, Any]] | None
) -> None:
    made = recommend(answers(**values), topology())
    assert made.approach is approach
    assert calls is None or called(made.calls) == calls
    assert made.reasons
    assert [way for way, _ in made.others] == [way for way in Approach if way is not approach]


def test_without_any_account_named_all_of_the_environment_are_meant() -> None:
    made = recommend(answers(), topology())
    assert (made.approach, called(made.calls)) == (
        SETS,
        {"03-stack-sets": {"targets": ["organization"], "allowlist_organization": True}},
    )


def test_an_organization_that_is_on_the_list_is_not_put_there_again() -> None:
    made = recommend(answers(organizational_units=["Workloads"]), topology(listed=True))
    assert called(made.calls) == {"03-stack-sets": {"targets": ["Workloads"]}}


def test_outside_of_an_organization_there_are_no_stack_sets() -> None:
    assert recommend(answers(), topology(organization=False)).approach is ROLE
    made = recommend(answers(organization="yes", number_of_accounts=MANY), topology(organization=False))
    assert made.approach is SETS
    assert any("may not ask" in caution for caution in made.cautions)


@pytest.mark.parametrize(
    ("values", "facts", "said"),
    [
        ({"accounts": ["b"]}, {"version": "2.18.0"}, "too old for roles"),
        ({"accounts": ["b"], "create_roles": False}, {}, "`b/vault-b`: no policy can open them"),
        ({"buckets": ["b/documents-b"]}, {}, "05-bucket-policy does that"),
        ({"accounts": ["a", "b"]}, {}, "Account a's own buckets need nothing"),
        ({"accounts": ["b"], "add_ons": ["other"]}, {}, "Other add-ons than the four"),
        ({"organizational_units": ["Workloads"]}, {"managed": False}, "names no `management` account"),
        (
            {"accounts": ["b"]},
            {"others": {"b": account("b", "2" * 12, Way.ALLOWLISTED, problem="There is no way in.\nMore.")}},
            "b: There is no way in.",
        ),
    ],
)
def test_what_will_stand_in_the_way_is_said(values: dict[str, Any], facts: dict[str, Any], said: str) -> None:
    cautions = recommend(answers(**values), topology(**facts)).cautions
    assert any(said in caution for caution in cautions), cautions


def test_what_only_the_reader_knows_is_asked_for() -> None:
    made = recommend(answers(accounts=["c"], add_ons=["quarantine"]), topology())
    assert [(call.notebook, call.missing) for call in made.calls] == [
        ("04-add-ons", "`source_buckets` or `target_buckets`")
    ]
    made = recommend(answers(accounts=["d"], create_roles=False), topology())
    assert [call.missing for call in made.calls] == ["", "`buckets`, or an `inventory`: they could not be listed"]


NAMES = st.lists(st.sampled_from(["a", "management", "b", "c", "d", "e", "f", "4" * 12]), unique=True, max_size=6)
BUCKETS = ["a/uploads-a", "b/uploads-b", "b/vault-b", "b/documents-b", "c/archive-c", "d/unseen-d", "e/reports-e"]
ANSWERS = st.fixed_dictionaries(
    {},
    optional={
        "same_account": st.booleans(),
        "accounts": NAMES,
        "buckets": st.lists(st.sampled_from(BUCKETS), unique=True),
        "number_of_accounts": st.integers(0, 300),
        "organization": st.sampled_from(["look", "yes", "no"]),
        "organizational_units": st.lists(st.just("Workloads/Production"), max_size=1),
        "create_roles": st.booleans(),
        "encryption": st.sampled_from(["look", "s3", "customer-managed-key", "aws-managed-key"]),
        "add_ons": st.lists(
            st.sampled_from(["move-clean", "quarantine", "scheduled-bucket-scan", "other"]), unique=True
        ),
        "target_buckets": st.lists(st.sampled_from(["c/archive-c", "b/documents-b", "a/uploads-a"]), unique=True),
        "queues": st.lists(st.just("b/findings"), max_size=1),
    },
)


@given(values=ANSWERS, organization=st.booleans(), listed=st.booleans())
def test_every_recommendation_can_be_run_as_it_stands(
    values: dict[str, Any], organization: bool, listed: bool, sandbox_file: Environment
) -> None:
    asked = answers(**values)
    made = recommend(asked, topology(organization=organization, listed=listed))
    notebooks = [call.notebook for call in made.calls]
    assert len(set(notebooks)) == len(notebooks)
    assert "01-allowlist" not in notebooks[1:]
    if not asked.create_roles and not asked.same_account:
        assert made.approach is POLICY
    for call in made.calls:
        if call.notebook in STEPS and not call.missing:
            make_step(STEPS[call.notebook], "", dict(call.values)).examine(sandbox_file)
        assert set(call.values) <= set(CHOOSING), "or a page cannot hand it to the next"
        for name in ("accounts", "only_accounts"):
            assert not {"a", A} & set(call.values.get(name, ()))
        words = shlex.split(call.runbook_command("sandbox"), comments=True)
        if call.missing:
            assert words == [], "nothing to run before somebody names what is missing"
        else:
            assert (words[:3], words[-1]) == (["runbook", "run", call.notebook], "--apply")


@pytest.mark.parametrize("scenario", scenario_names("00-start-here"))
def test_every_scenario_leads_somewhere(scenario: str, sandbox_file: Environment) -> None:
    asked = make_step(StartHere, scenario, {})
    asked.examine(sandbox_file)
    assert recommend(asked, topology()).reasons


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"accounts": ["x"]}, "`accounts`: params/environments/sandbox.yaml: there is no account `x`"),
        ({"buckets": ["uploads-b"]}, "does not say whose bucket it is"),
        ({"queues": ["events"]}, "is not of the form ACCOUNT/QUEUE"),
        ({"queues": ["x/events"]}, "`queues`: params/environments/sandbox.yaml: there is no account `x`"),
        ({"add_ons": ["quarantin"]}, "`add_ons.0` is 'quarantin'"),
        ({"encryption": "kms"}, "`encryption` is 'kms'; it can be"),
        ({"number_of_accounts": -1}, "`number_of_accounts` is -1"),
    ],
)
def test_answers_that_cannot_be_are_refused(values: dict[str, Any], said: str, sandbox_file: Environment) -> None:
    with pytest.raises(ParameterError) as refused:
        answers(**values).examine(sandbox_file)
    assert said in str(refused.value)
