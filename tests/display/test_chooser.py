"""The form without a browser: it starts from the parameters, refills from a scenario, and never hides an error."""

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import ipywidgets
import pytest

from runbook.display import Choice, choose
from runbook.display.fields import input_for
from runbook.display.form import Form
from runbook.environment import Environment
from runbook.parameters import ParameterError, Region, project_root
from runbook.steps import STEPS
from runbook.steps.bucket_policy import BucketPolicy
from runbook.steps.iam_role import IamRole
from runbook.steps.scenarios import make_step, scenario_names
from runbook.steps.stack_sets import StackSets
from runbook.steps.step import Asked

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def choice(environment: Environment) -> Choice:
    """A choice whose form somebody sees."""
    found: Choice = choose(BucketPolicy, environment="sandbox", scenario="one-bucket")
    assert found.panel.form.usable
    return found


def widgets(form: Form[Any], kind: type[Any]) -> list[Any]:
    """The form's widgets of one kind, from top to bottom."""

    def walk(widget: Any) -> list[Any]:
        return [widget, *(each for child in getattr(widget, "children", ()) for each in walk(child))]

    return [widget for widget in walk(form.box) if isinstance(widget, kind)]


def field(choice: Choice, name: str) -> Any:
    """What a parameter is typed into."""
    return choice.panel.form._fields[name].input.control


def beside(choice: Choice, name: str) -> str:
    """What is said to be wrong with a field."""
    return str(choice.panel.form._fields[name]._problem.value)


def message(choice: Choice) -> str:
    return str(choice.panel.form._message.value)


def test_the_form_starts_from_the_parameters(environment: Environment) -> None:
    choice = choose(BucketPolicy, environment="sandbox", scenario="encrypted-bucket", key_policy="skip")
    assert field(choice, "buckets").value == "b/documents-b"
    assert field(choice, "key_policy").value == "skip"
    assert choice.scenario == "encrypted-bucket"


@pytest.mark.parametrize("notebook", list(STEPS))
def test_every_input_has_a_label_and_every_value_comes_back_from_the_form(
    notebook: str, environment: Environment
) -> None:
    choice = choose(STEPS[notebook], environment="sandbox", scenario=scenario_names(notebook)[0])
    form = choice.panel.form
    for name in STEPS[notebook].model_fields:
        assert field(choice, name).description, name
    step = choice.step
    form._on_field()
    assert choice.step == step


def test_what_is_typed_is_the_step_that_runs_next(choice: Choice) -> None:
    field(choice, "buckets").value = "b/website-uploads-b\n\n c/archive-c "
    field(choice, "tag_files").value = "never"
    assert choice.step == BucketPolicy(buckets=("b/website-uploads-b", "c/archive-c"), tag_files="never")
    assert [change.name for change in choice.plan().changes] == ["website-uploads-b", "archive-c"]


def test_a_scenario_refills_every_field(choice: Choice) -> None:
    scenario = widgets(choice.panel.form, ipywidgets.RadioButtons)[0]
    assert ("one-bucket: One bucket that has no policy yet.", "one-bucket") in scenario.options
    scenario.value = "inventory"
    assert (field(choice, "buckets").value, field(choice, "inventory").value) == (
        "",
        "params/05-bucket-policy/inventory.csv",
    )
    scenario.value = "encrypted-bucket"
    assert (choice.scenario, field(choice, "key_policy").value) == ("encrypted-bucket", "change")
    assert choice.plan().scenario == "encrypted-bucket"


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("uploads-b", "does not say whose bucket it is"),
        ("x/uploads-b", "there is no account <code>x</code>"),
        ("", "neither is given"),
        ("b/<b>bold</b>", "&lt;b&gt;"),
    ],
)
def test_an_error_is_shown_beside_its_field_and_stops_the_next_cell(typed: str, said: str, choice: Choice) -> None:
    field(choice, "buckets").value = typed
    assert said in beside(choice, "buckets")
    assert "the form" not in beside(choice, "buckets")
    assert "marked above" in message(choice)
    with pytest.raises(ParameterError):
        choice.check()
    field(choice, "buckets").value = "b/uploads-b"
    assert beside(choice, "buckets") == ""
    assert "can be used" in message(choice)
    assert choice.check()


def test_what_is_wrong_with_an_item_stands_beside_its_list(environment: Environment) -> None:
    choice = choose(IamRole, environment="sandbox", accounts=["b"])
    assert choice.panel.form.usable
    field(choice, "accounts").value = "b\n22222222222"
    assert "has 11 digits" in beside(choice, "accounts")
    assert beside(choice, "disconnect") == ""


def test_an_error_that_nobody_expected_is_shown_too(choice: Choice, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a defect of ours")

    monkeypatch.setattr(BucketPolicy, "examine", fail)
    field(choice, "tag_files").value = "never"
    assert "RuntimeError: a defect of ours" in message(choice)
    with pytest.raises(RuntimeError):
        choice.plan()


def test_parameters_that_cannot_be_used_stop_the_notebook_at_once(environment: Environment) -> None:
    with pytest.raises(ParameterError, match="Did you mean `buckets`"):
        choose(BucketPolicy, environment="sandbox", scenario="one-bucket", bucket=["b/uploads-b"])


def test_headless_the_choice_is_a_table_and_no_widget(environment: Environment) -> None:
    bundle = choose(BucketPolicy, environment="sandbox", scenario="one-bucket")._repr_mimebundle_()
    assert "| `buckets` | `b/uploads-b` |" in bundle["text/markdown"]
    assert "buckets: b/uploads-b" in bundle["text/plain"]
    assert set(bundle) == {"text/markdown", "text/plain"}


def test_where_widgets_run_the_form_is_shown(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runbook.display.chooser.shows_widgets", lambda: True)
    bundle = choose(BucketPolicy, environment="sandbox", scenario="one-bucket")._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle


@pytest.mark.parametrize("given", ["false", "no", "true", "", 0, 1, None])
def test_apply_is_true_or_false_and_nothing_that_looks_like_it(given: object, environment: Environment) -> None:
    with pytest.raises(ParameterError, match=rf"`apply` is {given!r}, not True or False.* -p apply True"):
        choose(BucketPolicy, environment="sandbox", scenario="one-bucket", apply=given)


@pytest.mark.parametrize("given", [True, False])
def test_true_applies_and_false_does_not(given: bool, environment: Environment) -> None:
    assert choose(BucketPolicy, environment="sandbox", scenario="one-bucket", apply=given).applies is given


def test_a_mapping_is_typed_a_pair_a_line(environment: Environment) -> None:
    choice = choose(IamRole, environment="sandbox", accounts=["b"], template_parameters={"One": "1"})
    assert field(choice, "template_parameters").value == "One=1"
    field(choice, "template_parameters").value = "One = a=b\n\nTwo=x,y\n"
    step = choice.step
    assert isinstance(step, IamRole)
    assert step.template_parameters == {"One": "a=b", "Two": "x,y"}
    assert "| `template_parameters` | `One=a=b, Two=x,y` |" in choice.to_markdown()
    field(choice, "template_parameters").value = ""
    assert choice.step == IamRole(accounts=("b",))


def test_an_account_is_chosen_by_its_name_or_typed(environment: Environment) -> None:
    choice = choose(StackSets, environment="sandbox", targets=["organization"], administrator="a")
    assert field(choice, "administrator").value == "a (111111111111)"
    field(choice, "administrator").value = "management (999999999999)"
    assert choice.step == StackSets(targets=("organization",), administrator="management")
    field(choice, "administrator").value = "999999999999"
    assert choice.step == StackSets(targets=("organization",), administrator="999999999999")


def test_what_is_saved_is_a_scenario_to_choose(
    environment: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(project_root() / "params", tmp_path / "params")
    monkeypatch.setattr("runbook.steps.scenarios.project_root", lambda: tmp_path)
    choice = choose(BucketPolicy, environment="sandbox", scenario="one-bucket")
    form = choice.panel.form
    sharing = form._sharing
    assert "&quot;scenario&quot;: &quot;one-bucket&quot;" in sharing._command.value
    field(choice, "mode").value = "hardened"
    assert "hardened" in sharing._command.value
    sharing._name.value, sharing._about.value = "Mine", "Narrow."
    sharing._save.click()
    assert "small letters" in sharing._told.value
    sharing._name.value = "mine"
    sharing._save.click()
    assert "mine.yaml" in sharing._told.value
    assert ("mine: Narrow.", "mine") in widgets(form, ipywidgets.RadioButtons)[0].options
    assert choice.scenario == "mine"
    assert choice.step == make_step(BucketPolicy, "mine", {})
    field(choice, "buckets").value = ""
    assert sharing._save.disabled


def test_a_table_that_is_uploaded_is_kept_and_read_at_once(
    environment: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "params" / "05-bucket-policy").mkdir(parents=True)
    monkeypatch.setattr("runbook.steps.scenarios.project_root", lambda: tmp_path)
    choice = choose(BucketPolicy, environment="sandbox", buckets=["b/uploads-b"])
    upload = widgets(choice.panel.form, ipywidgets.FileUpload)[0]
    for content, said in ((b"account,bucket\nx,y-y\n", "there is no account"), (b"account,bucket\nb,uploads-b\n", "")):
        field(choice, "buckets").value = ""
        upload.value = ({"name": "mine.csv", "type": "", "size": 1, "content": content, "last_modified": NOW},)
        assert said in beside(choice, "inventory")
    assert field(choice, "inventory").value.endswith("mine-2.csv")
    assert [target.bucket for target in choice.step.targets(environment)] == ["uploads-b"]


def test_a_region_is_chosen_from_those_of_the_partition_without_asking_aws(environment: Environment) -> None:
    class WithRegion(Asked):
        region: Region = "eu-west-1"

    found = input_for("region", WithRegion.model_fields["region"], "", environment)
    assert found.control.options[0] == environment.region
    assert "us-east-1" in found.control.options
    assert "cn-north-1" not in found.control.options
    found.show("eu-central-1")
    assert found.given == "eu-central-1"
