"""What people type: strict types for it, where it is read from, and errors that say what was meant."""

import difflib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from runbook import markdown, strict_yaml
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


def build(model: type[AnyParameters], values: Mapping[str, Any], where: str) -> AnyParameters:
    """Make a `model` from `values`; `where` (a file, "the parameters of …") goes into every message.

    Raises ParameterError with all the problems at once, not only the first.
    """
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        details = error.errors(include_url=False)
        told = [_problem(model, where, dict(detail)) for detail in details[:MOST_PROBLEMS]]
        counted = [f"{where}: `{_path(detail['loc'])}`: {detail['msg']}." for detail in details[MOST_PROBLEMS:]]
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
    if len(octal) == 12:
        story = f'Unquoted, YAML reads {octal} as octal. Write it in quotes: "{octal}".'
    elif len(str(value)) == 12:
        story = f'Write it in quotes: "{value}".'
    else:
        story = "A leading zero is lost without quotes: write all 12 digits in quotes."
    found = shortened(str(value))
    raise ValueError(f"is the number {found}, not an account id. {story} With papermill, use -r instead of -p.")


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


def _problem(model: type[BaseModel], where: str, detail: Mapping[str, Any]) -> str:
    """One pydantic error as a sentence that names the place, the key, and what was found there."""
    path = _path(detail["loc"])
    found = detail["input"]
    match detail["type"]:
        case "extra_forbidden":
            key = str(detail["loc"][-1])
            return f"{where}: `{path}` is not known here.{did_you_mean(key, _keys_at(model, detail['loc'][:-1]))}"
        case "missing":
            return f"{where}: `{path}` is missing."
        case "value_error" if path:
            return f"{where}: `{path}` {detail['ctx']['error']}"
        case "value_error":
            return f"{where}: {detail['ctx']['error']}"
        case "literal_error":
            return f"{where}: `{path}` is {quoted(found)}; it can be {detail['ctx']['expected']}."
        case "tuple_type":
            return f"{where}: `{path}` is {quoted(found)}, not a list. Write `[{shortened(str(found))}]`."
        case "string_type" if isinstance(found, int | float):
            return f"{where}: `{path}` is {quoted(found)}, not text. Write it in quotes."
        case _:
            return f"{where}: `{path}` is {quoted(found)}. {detail['msg']}."


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
