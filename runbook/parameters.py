"""What people type: strict types for it, where it is read from, and errors that say what was meant."""

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from runbook.errors import RunbookError
from runbook.untrusted import code


class ParameterError(RunbookError):
    """One or more values cannot be used.

    `problems` holds one sentence or two for each: where, which key, what was found, what to do.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


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
        raise ParameterError([_problem(model, where, dict(detail)) for detail in error.errors()]) from None


def load_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file. Raises ParameterError when there is no such file, or it is not a mapping.

    A key that stands twice is refused: YAML would silently keep the last one.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ParameterError([f"{shown(path)}: cannot be read ({error.strerror}).{_files_meant(path)}"]) from None
    except UnicodeDecodeError:
        raise ParameterError([f"{shown(path)}: is not UTF-8 text."]) from None
    values = parse_yaml(text, shown(path))
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ParameterError([f"{shown(path)}: holds a {type(values).__name__}; `key: value` lines were expected."])
    return values


def parse_yaml(text: str, where: str) -> Any:
    """The value that YAML writes down, with the strictness of `load_yaml`. Raises ParameterError."""
    try:
        return yaml.load(text, Loader=_StrictLoader)
    except (yaml.YAMLError, TypeError, ValueError) as error:  # the latter two: a list as a key, a date with 13 months
        raise ParameterError([f"{where}: is not valid YAML. {' '.join(str(error).split())}"]) from None


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
        return f" Did you mean {code(near[0])}?"
    return f" There is: {', '.join(map(code, known))}." if known else ""


# --- the types -------------------------------------------------------------------------------------------------------


def _account_id_is_text(value: object) -> object:
    """Explain what became of an account id on its way through YAML or papermill, before it is called a wrong type."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    octal = f"0{int(value):o}"
    if len(octal) == 12:
        story = f'Unquoted, YAML reads {octal} as octal. Write it in quotes: "{octal}".'
    elif len(str(value)) == 12:
        story = f'Write it in quotes: "{value}".'
    else:
        story = "A leading zero is lost without quotes: write all 12 digits in quotes."
    raise ValueError(f"is the number {value}, not an account id. {story} With papermill, use -r instead of -p.")


def _account_id(value: str) -> str:
    if not re.fullmatch(r"\d{12}", value):
        found = f"has {len(value)} digits" if value.isdigit() else "is not a number of 12 digits"
        raise ValueError(f"is {value!r}, which {found}. An account id has 12 digits.")
    return value


def matching(pattern: str, meaning: str) -> AfterValidator:
    """Refuses a text that is not of a form; `meaning` says what was expected."""
    expression = re.compile(pattern)

    def check(value: str) -> str:
        if not expression.fullmatch(value):
            raise ValueError(f"is {value!r}, which is not {meaning}.")
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
        r"(?!\d+\.\d+\.\d+\.\d+$)(?!.*\.\.)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]",
        "a bucket name (3 to 63 lower-case letters, digits, dots and hyphens; no path, no s3://)",
    ),
]
"""A general purpose bucket's name. Source: Amazon S3 user guide, "General purpose bucket naming rules"."""

Region = Annotated[str, matching(r"[a-z]{2}(-[a-z]+)+-\d", "a Region such as `eu-west-1`"), Offer("region")]
RoleArn = Annotated[
    str, matching(r"arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]+", "a role's ARN (arn:aws:iam::ACCOUNT_ID:role/NAME)")
]
Item = TypeVar("Item")
Several = Annotated[tuple[Item, ...], Field(strict=False)]
"""A tuple that may be written as a list, as YAML and JSON do; what is in it stays strict."""

OrganizationId = Annotated[
    str, matching(r"o-[a-z0-9]{10,32}", "an organization's id (`o-` and 10 to 32 characters)"), Offer("organization")
]


def _number(value: object) -> object:
    """A form and a notebook's empty default hold text."""
    return int(value) if isinstance(value, str) and re.fullmatch(r"\d{1,9}", value.strip()) else value


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


class _StrictLoader(yaml.SafeLoader):
    """YAML's safe loader, refusing a key that stands twice in one mapping."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"`{key}` stands twice; only one of them would count.", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def _problem(model: type[BaseModel], where: str, detail: Mapping[str, Any]) -> str:
    """One pydantic error as a sentence that names the place, the key, and what was found there."""
    path = ".".join(str(part) for part in detail["loc"])
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
            return f"{where}: `{path}` is {found!r}; it can be {detail['ctx']['expected']}."
        case "tuple_type":
            return f"{where}: `{path}` is {found!r}, not a list. Write `[{found}]`."
        case "string_type" if isinstance(found, int | float):
            return f"{where}: `{path}` is {found!r}, not text. Write it in quotes."
        case _:
            return f"{where}: `{path}` is {found!r}. {detail['msg']}."


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
