"""Wrong values of every type of parameter, in every way to give one: our words, and advice that works as printed."""

import ast
import json
import re
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, get_origin

import pytest
import yaml
from papermill.cli import _resolve_type

from runbook.cli import _given
from runbook.display.form import Form
from runbook.environment import load_environment
from runbook.jobs import prepare
from runbook.parameters import ParameterError, Written, parse_yaml
from runbook.steps import ASKED
from runbook.steps.scenarios import examine_file, make_step, read_parameter_file, scenario_names
from runbook.steps.step import Asked

Given = Callable[[str, str], Any]
"""Makes of a parameter's name and a text on a command line or in a file what arrives."""

WAYS: dict[str, tuple[Written, Given]] = {
    "runbook -p": (Written.COMMAND, lambda name, text: _given([(name, text)])[name]),
    "papermill -p": (Written.NOTEBOOK, lambda _, text: _resolve_type(text)),
    "papermill -r": (Written.NOTEBOOK, lambda _, text: text),
    "papermill -y": (Written.NOTEBOOK, lambda name, text: yaml.safe_load(f"{{{name}: {text}}}")[name]),
    "a file": (Written.FILE, lambda name, text: parse_yaml(f"{name}: {text}", "file")[name]),
}

TEXTS = [
    "no", "yes", "on", "off", "true", "maybe", "0", "1", "2", "-1", "5.0", "1.5", "five", "444444444444",
    "012345670123", "22222222222", "b", "b/uploads-b", "[b]", "[444444444444]", "[012345670123, 444444444444]", "[[b]]",
    "[5]", "[true]", "[no]", "b,c", "A=b", "{a: 5}", "{a: [b]}", "o-exampleorg", "2.0.0", "2.10", "null", "[null]",
    "2026-01-01", "1e400", ".nan", "[2026-01-01]", "{1: 2}", "'x y'", "[b, 5, null]",
]  # fmt: skip

PYDANTIC = re.compile(
    r"Input|valid(?! YAML)|unable|parse|should|instance|dictionary|boolean|integer|string\b|None required|type=", re.I
)

KINDS = ("bool", "int", "literal", "list", "dict", "text")


def kind_of(annotation: Any) -> str:
    """Return the kind of a parameter, as people would call it."""
    if get_origin(annotation) is Literal:
        return "literal"
    return {tuple: "list", dict: "dict"}.get(
        get_origin(annotation) or annotation, "text" if annotation is str else str(annotation.__name__)
    )


def parameters() -> list[tuple[type[Asked], str]]:
    """Return one parameter of each type that there is."""
    found: dict[str, tuple[type[Asked], str]] = {}
    for asked in ASKED.values():
        for name, field in asked.model_fields.items():
            found.setdefault(repr((field.annotation, field.metadata)), (asked, name))
    return list(found.values())


PARAMETERS = parameters()


def required(asked: type[Asked], name: str) -> dict[str, Any]:
    """Return values without which nothing is accepted."""
    return {other: ["b/q"] for other, field in asked.model_fields.items() if field.is_required() and other != name}


def problems(asked: type[Asked], given: Mapping[str, Any], written: Written) -> tuple[str, ...]:
    try:
        make_step(asked, "", given, "here", written)
    except ParameterError as error:
        return error.problems
    return ()


def about(name: str, found: tuple[str, ...]) -> list[str]:
    """Return the problems with a value's form: what a step says of several values is another matter."""
    return [problem for problem in found if re.match(rf"here: `{name}(\.|`)", problem)]


def test_every_kind_of_parameter_is_there() -> None:
    assert {kind_of(asked.model_fields[name].annotation) for asked, name in PARAMETERS} == set(KINDS)
    assert len(PARAMETERS) > 20


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("asked", "name"), PARAMETERS, ids=[f"{each.notebook}.{name}" for each, name in PARAMETERS])
def test_an_answer_is_ours_and_its_advice_is_taken(way: str, asked: type[Asked], name: str) -> None:
    """Whatever is typed: what is advised is accepted, as it stands and where it was typed. No way leads in a circle."""
    written, given = WAYS[way]
    for text in TEXTS:
        try:
            value = given(name, text)
        except (ParameterError, ValueError):
            continue  # a date with 13 months, a key that is no text: said by who reads it
        found = about(name, problems(asked, required(asked, name) | {name: value}, written))
        for problem in found:
            assert not PYDANTIC.search(problem.replace(repr(value), "")), (text, problem)
        for meant in {meant for problem in found for meant in advised(problem, name, value, written)}:
            then = about(name, problems(asked, required(asked, name) | {name: json.loads(meant)}, written))
            assert not [problem for problem in then if "Write `" in problem], (text, found, then)


def advised(problem: str, name: str, value: Any, written: Written) -> list[str]:
    """Return the values that a problem advises, as they arrive when its advice is taken as it stands; as JSON."""
    spans = re.findall(r"`([^`]+)`", problem.partition(" Write `")[2] and f"`{problem.partition(' Write `')[2]}")
    if not spans:
        return []
    if written is Written.COMMAND:
        flag, told, text = shlex.split(spans[0])
        assert (flag, told) == ("-p", name)
        return [json.dumps(_given([(name, text)])[name])]
    if written is Written.NOTEBOOK:
        told, _, literal = spans[0].partition(" = ")
        flag, text = shlex.split(spans[1])
        assert (flag, told) == ("-y", name)
        in_cell, by_papermill = ast.literal_eval(literal), yaml.safe_load(text)[name]
        assert in_cell == by_papermill
        return [json.dumps(in_cell)]
    line = parse_yaml(spans[0], "file")
    if name not in line:  # inside of a mapping
        line = {name: {**value, **line}}
    return [json.dumps(line[name], default=str)]


def test_a_list_leads_from_any_way_to_a_value_that_is_taken() -> None:
    """The circle as it was seen: -r, then -p, then -y, then -r again."""
    for text in ("444444444444", "[444444444444]", "['444444444444']"):
        for way, (written, given) in WAYS.items():
            value = given("accounts", text)
            found = problems(ASKED["01-allowlist"], {"accounts": value}, written)
            if not found:
                continue
            (meant,) = {meant for problem in found for meant in advised(problem, "accounts", value, written)}
            assert json.loads(meant) == ["444444444444"], (way, text)
            assert problems(ASKED["01-allowlist"], {"accounts": json.loads(meant)}, written) == ()


@pytest.mark.parametrize(("text", "said"), [("no", "false"), ("yes", "true"), ("1", "true")])
def test_a_switch_is_spelled_for_the_one_who_typed_it(text: str, said: str) -> None:
    with pytest.raises(
        ParameterError, match=f"`delete` is '{text}', neither true nor false. Write `-p delete {said}`."
    ):
        prepare("03-stack-sets", scenario=None, params=None, given={"delete": text}, environment="sandbox")


def test_a_word_that_could_mean_anything_is_not_taken_for_yes() -> None:
    (problem,) = problems(ASKED["03-stack-sets"], {"delete": "maybe"}, Written.COMMAND)
    assert problem == "here: `delete` is 'maybe', neither true nor false."


def test_apply_is_no_parameter_of_the_command() -> None:
    with pytest.raises(ParameterError, match="-p apply: to make the changes, say --apply"):
        prepare("03-stack-sets", scenario=None, params=None, given={"apply": "true"}, environment="sandbox")


def test_a_file_is_answered_in_yaml(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("accounts: b\n")
    with pytest.raises(ParameterError) as refused:
        examine_file(ASKED["01-allowlist"], read_parameter_file(file))
    assert str(refused.value).endswith("mine.yaml: `accounts` is 'b', not a list. Write `accounts: [\"b\"]`.")
    file.write_text('accounts: ["b"]\n')
    assert examine_file(ASKED["01-allowlist"], read_parameter_file(file)).as_given() == {"accounts": ["b"]}


@pytest.mark.parametrize("notebook", ASKED)
def test_a_form_answers_in_our_words(notebook: str) -> None:
    """A form's inputs give lists, numbers and switches as such; what can be wrong is what is typed into them."""
    asked = ASKED[notebook]
    sandbox = load_environment("sandbox")
    form: Form[Any] = Form(asked, make_step(asked, scenario_names(notebook)[0], {}).as_given(), sandbox, "")
    for name, field in form._fields.items():
        for text in TEXTS:
            try:
                field.input.control.value = text
            except Exception:  # noqa: BLE001 (an input that takes no text: nobody can type it)
                break
            shown = field._problem.value.replace(text, "")
            assert not PYDANTIC.search(re.sub(r"<[^>]+>", "", shown).replace(name, "")), (text, shown)
