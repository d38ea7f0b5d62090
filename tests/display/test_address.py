"""What the address of a page may fill in, and that nobody can do more with a link than fill in a form."""

import os
from urllib.parse import urlsplit

import pytest

from runbook.display.address import from_address, with_parameters
from runbook.display.chooser import choose
from runbook.parameters import ParameterError
from runbook.steps.bucket_policy import BucketPolicy
from runbook.steps.iam_role import IamRole


def opened(patch: pytest.MonkeyPatch, address: str) -> None:
    """The kernel of a page that was opened by this address."""
    patch.setenv("VOILA_REQUEST_URL", address)
    patch.setenv("QUERY_STRING", urlsplit(address).query)


def test_a_page_hands_its_parameters_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {
        "environment": "sandbox",
        "scenario": "",
        "buckets": ["b/uploads-b", "222222222222/other-b"],
        "key_policy": "skip",
    }
    opened(monkeypatch, with_parameters("05-bucket-policy.ipynb", values))
    assert from_address(BucketPolicy) == values
    choice = choose(BucketPolicy, environment="elsewhere", scenario="encrypted-bucket", key_policy="change")
    assert (choice.environment.name, choice.scenario) == ("sandbox", "")
    assert choice.step == BucketPolicy(buckets=("b/uploads-b", "222222222222/other-b"), key_policy="skip")


def test_a_link_chooses_among_what_is_ones_own_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    strange = {
        "accounts": ["b"],
        "template_url": "https://elsewhere.example/x",
        "apply": True,
        "run_folder": "x",
        "token": "t",
    }
    opened(monkeypatch, with_parameters("02-iam-role.ipynb", strange))
    assert from_address(IamRole) == {"accounts": ["b"]}


@pytest.mark.parametrize("environment", ["../elsewhere.yaml", os.devnull, "nowhere"])
def test_a_link_leads_to_no_other_environment(environment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    opened(monkeypatch, with_parameters("02-iam-role.ipynb", {"environment": environment}))
    with pytest.raises(ParameterError, match="there is no environment"):
        from_address(IamRole)


def test_what_is_no_list_is_said_to_be_none(monkeypatch: pytest.MonkeyPatch) -> None:
    opened(monkeypatch, "02-iam-role.ipynb?accounts=[b")
    with pytest.raises(ParameterError, match="the address: accounts: is not valid YAML"):
        from_address(IamRole)


def test_outside_of_pages_there_is_no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUERY_STRING", "accounts=[d]")
    assert from_address(IamRole) == {}
