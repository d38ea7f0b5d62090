"""What people type: strict types for it, where it is read from, and errors that say what was meant."""

import difflib
import json
import math
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from runbook import commands, markdown, strict_yaml
from runbook.errors import RunbookError
from runbook.files import FileError, read_text
from runbook.untrusted import code

LARGEST_FILE, LARGEST_VALUE = 10_000_000, 65_536
"""Maximum size in bytes of a file that people write, and in characters of a value with YAML in it, as after `-p`."""

MOST_PROBLEMS, LONGEST_PROBLEM, LONGEST_VALUE = 20, 2_000, 200
"""Maximum number of problems in a message, of characters in one of them, and of characters of a value in that."""


class ParameterError(RunbookError):
    """One or more values cannot be used.

    `problems` holds one sentence or two for each: where, which key, what was found, what to do. The message has the
    first of them, and says how many more there are.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(shortened(problem, LONGEST_PROBLEM) for problem in problems)
        more = len(self.problems) - MOST_PROBLEMS
        last = [f"… and {markdown.count(more, 'more problem')}."] if more > 0 else []
        super().__init__("\n".join([*self.problems[:MOST_PROBLEMS], *last]))


def shortened(text: str, most: int = LONGEST_VALUE) -> str:
    """Return the beginning of a text that is too long for a message; a span of code that is cut is closed."""
    if len(text) <= most:
        return text
    begun = text[:most]
    return f"{begun}{'`' * (begun.count('`') % 2)}… ({len(text):,} characters)"


def quoted(value: object) -> str:
    """Return a value as messages quote it: on one line, control characters escaped, and not at any length."""
    return shortened(repr(value))


class Parameters(BaseModel):
    """The base of everything that is read from a file or given by a person: frozen, strict, nothing unknown."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


AnyParameters = TypeVar("AnyParameters", bound=BaseModel)


class Written(StrEnum):
    """Where somebody writes a value, which decides how advice spells the one that was meant."""

    FILE = "file"
    COMMAND = "command"
    NOTEBOOK = "notebook"


def build(
    model: type[AnyParameters], values: Mapping[str, Any], where: str, written: Written = Written.FILE
) -> AnyParameters:
    """Make a `model` from `values`; `where` (a file, "the parameters of …") goes into every message.

    Raises ParameterError with all the problems at once, not only the first. A value that is advised is spelled as it is
    `written` there.
    """
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        details = error.errors(include_url=False)
        told = [_problem(model, where, dict(detail), values, written) for detail in details[:MOST_PROBLEMS]]
        counted = [f"{where}: `{_path(detail['loc'])}` cannot be used." for detail in details[MOST_PROBLEMS:]]
        raise ParameterError(told + counted) from None


def load_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file. Raises ParameterError when there is no such file, or it is not a mapping.

    A key that stands twice is refused: YAML would silently keep the last one.
    """
    return mapping_in(read_file(path), shown(path))


def read_file(path: Path, most: int = LARGEST_FILE) -> str:
    """Return the text of a file that somebody names. Raises ParameterError for anything but a regular file of text."""
    try:
        return read_text(path, most)
    except FileNotFoundError as error:
        raise ParameterError([f"{shown(path)}: cannot be read ({error.strerror}).{_files_meant(path)}"]) from None
    except FileError as error:
        raise ParameterError([f"{shown(path)}: {error.why}"]) from None


def mapping_in(text: str, where: str) -> dict[str, Any]:
    """The mapping that a YAML text is, as `load_yaml` reads it from a file."""
    values = _yaml(text, where)
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ParameterError([f"{where}: holds a {type(values).__name__}; `key: value` lines were expected."])
    return values


def parse_yaml(text: str, where: str) -> Any:
    """The value that YAML writes down, with the strictness of `load_yaml`. Raises ParameterError."""
    if len(text) > LARGEST_VALUE:
        raise ParameterError([f"{where}: has {len(text):,} characters; a value has {LARGEST_VALUE:,} at most."])
    return _yaml(text, where)


def _yaml(text: str, where: str) -> Any:
    try:
        return yaml.load(text, Loader=strict_yaml.StrictLoader)
    # The latter three: a list as a key, a date with 13 months, depth.
    except (yaml.YAMLError, TypeError, ValueError, RecursionError) as error:
        raise ParameterError([f"{where}: is not valid YAML. {strict_yaml.described(error)}"]) from None


def project_root() -> Path:
    """The folder that holds `notebooks/` and `params/`: around the package, or around the working directory."""
    for folder in (Path(__file__).resolve().parent.parent, Path.cwd(), *Path.cwd().parents):
        if (folder / "notebooks").is_dir() and (folder / "params").is_dir():
            return folder
    raise ParameterError(
        [f"{Path.cwd()}: neither here nor above is a folder with `notebooks/` and `params/`. Start from a checkout."]
    )


def resolve_path(path: str) -> Path:
    """A path as parameters give it: from the project root, whatever the working directory."""
    return (project_root() / Path(path).expanduser()).resolve()


def shown(path: Path) -> str:
    """A path as people see it: from the project root where it lies inside."""
    try:
        return path.resolve().relative_to(project_root()).as_posix()
    except (ValueError, ParameterError):
        return path.as_posix()


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """ " Did you mean `x`?" for a near miss, else what there is to choose from."""
    near = difflib.get_close_matches(word, known, n=1)
    if near:
        return f" Did you mean {code(shortened(near[0]))}?"
    return f" There is: {markdown.names([*map(shortened, known)], most=MOST_PROBLEMS)}." if known else ""


# --- the types -------------------------------------------------------------------------------------------------------


def _account_id_is_text(value: object) -> object:
    """Explain what became of an account id on its way through YAML or papermill, before it is called a wrong type."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    if isinstance(value, float) and not math.isfinite(value):
        return value
    octal = f"0{int(value):o}"
    found = f"is the number {shortened(str(value))}, not an account id."
    if len(octal) == 12:
        raise NumberError(f"{found} Unquoted, YAML reads {octal} as octal.", octal)
    if len(str(value)) == 12:
        raise NumberError(found, str(value))
    raise ValueError(f"{found} A leading zero is lost without quotes: write all 12 digits in quotes.")


class NumberError(ValueError):
    """An account id has become a number; `meant` is the id."""

    def __init__(self, message: str, meant: str) -> None:
        self.meant = meant
        super().__init__(message)


def _account_id(value: str) -> str:
    if not is_account_id(value):
        found = f"has {len(value)} digits" if re.fullmatch("[0-9]+", value) else "is not a number of 12 digits"
        raise ValueError(f"is {quoted(value)}, which {found}. An account id has 12 digits.")
    return value


def is_account_id(text: str) -> bool:
    """Return whether a text is 12 digits, 0 to 9: other scripts have digits too, and AWS knows none of them."""
    return re.fullmatch("[0-9]{12}", text) is not None


def matching(pattern: str, meaning: str) -> AfterValidator:
    """Refuses a text that is not of a form; `meaning` says what was expected. Letters and digits are ASCII's."""
    expression = re.compile(pattern, re.ASCII)

    def check(value: str) -> str:
        if not expression.fullmatch(value):
            raise ValueError(f"is {quoted(value)}, which is not {meaning}.")
        return value

    return AfterValidator(check)


NUMBER_EXPLAINED = BeforeValidator(_account_id_is_text)
"""Says of an account id that has become a number what became of it on its way."""


@dataclass(frozen=True)
class Offer:
    """Says of a type what there is to choose its values from, for a form to offer. It checks nothing."""

    of: Literal["account", "add-on", "bucket", "organization", "OU", "queue", "region", "table file"]


AccountId = Annotated[str, NUMBER_EXPLAINED, AfterValidator(_account_id)]
"""12 digits, as text."""

BucketName = Annotated[
    str,
    matching(
        r"(?![0-9]+\.[0-9]+\.[0-9]+\.[0-9]+$)(?!.*\.\.)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]",
        "a bucket name (3 to 63 lower-case letters, digits, dots and hyphens; no path, no s3://)",
    ),
]
"""A general purpose bucket's name. Source: Amazon S3 user guide, "General purpose bucket naming rules"."""

Region = Annotated[str, matching(r"[a-z]{2}(-[a-z]+)+-[0-9]", "a Region such as `eu-west-1`"), Offer("region")]
RoleArn = Annotated[
    str,
    matching(
        r"arn:aws[a-z-]*:iam::[0-9]{12}:role/[A-Za-z0-9_+=,.@/-]+", "a role's ARN (arn:aws:iam::ACCOUNT_ID:role/NAME)"
    ),
]
Item = TypeVar("Item")
Several = Annotated[tuple[Item, ...], Field(strict=False)]
"""A tuple that may be written as a list, as YAML and JSON do; what is in it stays strict."""

OrganizationId = Annotated[
    str, matching(r"o-[a-z0-9]{10,32}", "an organization's id (`o-` and 10 to 32 characters)"), Offer("organization")
]


def _number(value: object) -> object:
    """A form and a notebook's empty default hold text."""
    return int(value) if isinstance(value, str) and re.fullmatch("[0-9]{1,9}", value.strip()) else value


def _yes_or_no(value: object) -> object:
    return {"true": True, "false": False}.get(value.strip().lower(), value) if isinstance(value, str) else value


Number = Annotated[int, BeforeValidator(_number)]
"""A whole number, which may be written as text."""

YesOrNo = Annotated[bool, BeforeValidator(_yes_or_no)]
"""True or False, which may be written as text: a notebook's default is empty, which means from the scenario."""

StackName = Annotated[
    str, matching(r"[A-Za-z][A-Za-z0-9-]{0,127}", "a stack name (a letter, then letters, digits and hyphens)")
]


# --- helpers ---------------------------------------------------------------------------------------------------------


def _problem(
    model: type[BaseModel], where: str, detail: Mapping[str, Any], values: Mapping[str, Any], written: Written
) -> str:
    """One pydantic error as a sentence that names the place, the key, and what was found there."""
    path = _path(detail["loc"])
    match detail["type"]:
        case "extra_forbidden":
            key = str(detail["loc"][-1])
            return f"{where}: `{path}` is not known here.{did_you_mean(key, _keys_at(model, detail['loc'][:-1]))}"
        case "missing":
            return f"{where}: `{path}` is missing."
        case kind if detail["loc"][-1:] == ("[key]",) and kind.endswith("_type"):
            return f"{where}: `{_path(detail['loc'][:1])}` has the key {quoted(detail['input'])}. Write it in quotes."
        case "value_error" if not path:
            return f"{where}: {detail['ctx']['error']}"
        case "value_error":
            said = str(detail["ctx"]["error"])
        case "literal_error":
            said = f"is {quoted(detail['input'])}; it can be {detail['ctx']['expected']}."
        case "greater_than_equal" | "greater_than" | "less_than_equal" | "less_than" as kind:
            (bound,) = detail["ctx"].values()
            said = f"is {quoted(detail['input'])}; {_BOUNDS[kind].format(bound)} was expected."
        case kind:
            said = f"is {quoted(detail['input'])}, {_EXPECTED.get(kind, 'which cannot be used here')}."
    advice = _advice(detail, values, written)
    if not advice and detail["type"] == "string_type" and isinstance(detail["input"], float):
        advice = "Write it in quotes."  # which digits it had is lost
    return " ".join(filter(None, [f"{where}: `{path}` {said}", advice]))


_BOUNDS = {
    "greater_than_equal": "{} or more",
    "greater_than": "more than {}",
    "less_than_equal": "{} or less",
    "less_than": "less than {}",
}

_EXPECTED = {
    "tuple_type": "not a list",
    "string_type": "not text",
    "bool_type": "neither true nor false",
    "int_type": "not a whole number",
    "int_from_float": "not a whole number",
    "float_type": "not a number",
    "float_parsing": "not a number",
    "finite_number": "not a finite number",
    "dict_type": "not a mapping of names to values",
    "model_type": "not `key: value` lines",
}


def _advice(detail: Mapping[str, Any], values: Mapping[str, Any], written: Written) -> str:
    """Return the value that was probably meant, spelled to be copied; nothing where that cannot be known."""
    meant = _meant(detail)
    if meant is None:
        return ""
    name, *rest = detail["loc"]
    if written is Written.FILE and [*map(type, rest)] not in ([], [int]):  # somewhere inside: its own line
        return f"Write {code(f'{rest[-1]}: {json.dumps(meant)}')}."
    whole = _with(values[name], rest, meant)
    if written is Written.FILE:
        return f"Write {code(f'{name}: {json.dumps(whole)}')}."
    if written is Written.COMMAND:
        return f"Write {code(shlex.join(['-p', name, commands.argument(whole)]))}."
    papermill = shlex.join(["-y", json.dumps({name: whole})])
    return f"Write {code(f'{name} = {whole!r}')} in the notebook, or {code(papermill)} with papermill."


def _with(value: Any, place: Sequence[str | int], meant: Any) -> Any:
    """Return a value with what was meant at one place, and numbers beside it in a list as text, as they have to be."""
    if not place:
        return meant
    first, *rest = place
    if isinstance(value, Mapping):
        return {str(key): _with(each, rest, meant) if key == first else each for key, each in value.items()}
    return [_with(each, rest, meant) if number == first else _text_of(each) for number, each in enumerate(value)]


def _meant(detail: Mapping[str, Any]) -> Any:
    """Return the value that somebody meant who wrote another; None where that cannot be known."""
    found = detail["input"]
    match detail["type"]:
        case "value_error":
            error = detail["ctx"]["error"]
            return error.meant if isinstance(error, NumberError) else None
        case "literal_error" if isinstance(found, bool):
            expected = detail["ctx"]["expected"]
            words = ("yes", "on", "true") if found else ("no", "off", "false")
            return next((word for word in words if f"'{word}'" in expected), None)
        case "tuple_type":
            return _items(found)
        case "string_type" if isinstance(found, bool | int):
            return json.dumps(found) if isinstance(found, bool) else str(found)
        case "string_type" if isinstance(found, list | tuple) and len(found) == 1 and isinstance(found[0], str):
            return found[0]
        case "bool_type":
            return _MEANS.get(str(found).strip().lower())
        case "int_type" | "int_from_float" if re.fullmatch(r"-?[0-9]{1,9}\.0*", str(found).strip()):
            return int(float(found))
        case "dict_type" if isinstance(found, str):
            pairs = [pair.partition("=") for pair in found.split(",")]
            return (
                {key.strip(): value.strip() for key, _, value in pairs} if all(sign for _, sign, _ in pairs) else None
            )
    return None


_MEANS = {"yes": True, "y": True, "on": True, "1": True, "no": False, "n": False, "off": False, "0": False}
"""Words for true and false. Of any other it is not known which is meant, and one of both may delete something."""


def _items(found: object) -> list[str] | None:
    """Return the list that somebody meant: a text may be written like one, or have commas between its items."""
    found = _text_of(found)
    if not isinstance(found, str) or re.fullmatch("[0-9]{5,11}", found):  # an account id that has lost digits
        return None
    text = found.strip()
    inside = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    items = [item.strip().strip("'\"[]").strip() for item in inside.split(",")]
    return [item for item in items if item] or None


def _text_of(value: Any) -> Any:
    """Return a number as text, an account id with all its digits, and everything else as it stands."""
    try:
        return _account_id_is_text(value)
    except NumberError as error:
        return error.meant
    except ValueError:
        return str(value)


def _path(location: Sequence[str | int]) -> str:
    """The way to a value through the keys of a file; a key that cannot be one of ours is not repeated."""
    return shortened(".".join(part if strict_yaml.is_key(part) else "…" for part in map(str, location)))


def _keys_at(model: type[BaseModel], location: Sequence[str | int]) -> list[str]:
    """The keys a nested model knows at `location`, as far as the way there goes through plain models and mappings."""
    for part in location:
        annotation = model.model_fields[str(part)].annotation if str(part) in model.model_fields else None
        nested = [each for each in (annotation, *getattr(annotation, "__args__", ())) if _is_model(each)]
        if nested:
            model = nested[0]
    return list(model.model_fields)


def _is_model(annotation: object) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _files_meant(path: Path) -> str:
    if not path.parent.is_dir():
        return ""
    return did_you_mean(path.stem, sorted(file.stem for file in path.parent.glob(f"*{path.suffix}")))
