"""A fleet: the jobs of a batch, read from one file and validated as a whole before the first of them starts."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from runbook import markdown
from runbook.batch.claims import Claim, claim_of, in_order, overlaps
from runbook.environment import AccountError, Environment
from runbook.execute import notebook_path
from runbook.jobs import DEFAULT_ENVIRONMENT, Job, environment_named, environment_of
from runbook.parameters import (
    ParameterError,
    Parameters,
    Several,
    Written,
    build,
    did_you_mean,
    load_yaml,
    matching,
    parse_yaml,
    project_root,
    quoted,
    resolve_path,
    shortened,
    shown,
)
from runbook.steps import asked_class
from runbook.steps.inventory import Account, read_table
from runbook.steps.scenarios import make_step
from runbook.steps.step import Asked
from runbook.strict_yaml import is_key

COLUMN = re.compile(r"\{(\w+)\}", re.ASCII)
"""What stands in a parameter for the value that a row has in that column."""

JobName = Annotated[str, matching(r"[a-z0-9]+(-[a-z0-9]+)*", "a job's name (small letters, digits, single hyphens)")]


class Limits(Parameters):
    """How much may go on in one account at a time, whoever of the batch does it."""

    calls_per_second: float | None = Field(
        None, gt=0, strict=False, allow_inf_nan=False, description="calls to AWS; none: no limit"
    )
    jobs_at_a_time: int | None = Field(None, ge=1, description="jobs that are about the account; none: no limit")


def _one_as_several(value: object) -> object:
    return (value,) if isinstance(value, str) else value


class JobEntry(Parameters):
    """A job of a fleet file, or one for each value that rows have in the columns `for_each`."""

    notebook: str
    scenario: str = ""
    parameters: dict[str, Any] = Field(
        {}, description="as the notebook takes them; `{column}` stands for a row's value"
    )
    for_each: Annotated[Several[str], BeforeValidator(_one_as_several)] = ()
    needs: Annotated[Several[str], BeforeValidator(_one_as_several)] = Field(
        (), description="jobs that have to be done before: of the same rows, where both are for rows"
    )


class FleetFile(Parameters):
    """`params/fleets/NAME.yaml`."""

    environment: str = Field("", description="where; empty: as RUNBOOK_ENVIRONMENT says, or else the sandbox")
    parameters: dict[str, Any] = Field({}, description="for every job whose notebook takes them")
    accounts: Several[Account] = Field((), description="the rows: one for each account, with the column `account`")
    inventory: str = Field("", description="or the rows of a CSV file, with the columns that it has")
    limits: Limits = Limits()
    cell_seconds: int = Field(14_400, ge=1, description="how long a cell may take")
    jobs: dict[JobName, JobEntry]


@dataclass(frozen=True)
class FleetJob:
    """One job, with nothing left to fill in.

    `notebook` is the path of its file, `given` what papermill hands to it, `meant` all its parameters, those of the
    scenario and defaults included. It begins when the jobs that it `needs` have succeeded, and those that it comes
    `after` are over. `account` is the id of the only account that it is about, else empty.
    """

    name: str
    notebook: str
    scenario: str
    given: Mapping[str, Any]
    meant: Mapping[str, Any]
    needs: tuple[str, ...] = ()
    accounts: tuple[str, ...] = ()
    after: tuple[str, ...] = ()

    @property
    def account(self) -> str:
        """The id of the account that it is about, empty when it is not about exactly one."""
        return self.accounts[0] if len(self.accounts) == 1 else ""


@dataclass(frozen=True)
class Fleet:
    """All jobs, each after those that it needs.

    `file` is where they were read, empty for those of a command line; `environment` what the environment's file holds.
    `named` says that somebody has named the environment.
    """

    name: str
    file: str
    environment: Mapping[str, Any]
    sandbox: bool
    jobs: tuple[FleetJob, ...]
    calls_per_second: float | None = None
    jobs_at_a_time: int | None = None
    cell_seconds: int | None = None
    named: bool = True

    @property
    def environment_name(self) -> str:
        """The name of the environment, as its jobs get it."""
        return str(self.jobs[0].given["environment"])

    @property
    def account_a(self) -> str:
        """The id of the account that runs bucketAV."""
        return str(self.environment["accounts"]["a"]["account_id"])


def folder_name(job: str) -> str:
    """What the run folder of a job is called: its name, where a file can have it."""
    return re.sub(r"[^A-Za-z0-9_.,=@+\[\]-]", "_", job.replace("/", ","))


def fleet_names() -> list[str]:
    """The fleets there are to choose from, in alphabetical order."""
    return sorted(path.stem for path in _folder().glob("*.yaml"))


def fleet_of(name: str, jobs: Sequence[Job]) -> Fleet:
    """Return jobs in one environment as a fleet, with nothing to fill in.

    Those that have nothing to do with each other may run at a time; the others run in their order, whether those before
    them succeed or not.
    """
    environment = jobs[0].environment
    names = [f"{job.notebook}[{job.scenario}]" for job in jobs]
    claims = {each: claim_of(job.asked, environment) for each, job in zip(names, jobs, strict=True)}
    after = in_order(claims)
    return Fleet(
        name,
        "",
        environment.file.model_dump(mode="json", exclude_defaults=True),
        environment.file.sandbox,
        tuple(
            FleetJob(
                each,
                shown(notebook_path(job.notebook)),
                job.scenario,
                job.parameters,
                dict(job.asked.as_given()),
                accounts=claims[each].accounts,
                after=after[each],
            )
            for each, job in zip(names, jobs, strict=True)
        ),
    )


def load_fleet(fleet: str) -> Fleet:
    """The fleet `params/fleets/NAME.yaml`, or the one in a YAML or CSV file when `fleet` is the path of one.

    Raises ParameterError with all that is wrong with it: parameters, duplicates, unknown needs, and jobs that would
    change the same thing without waiting for each other.
    """
    path = Path(fleet)
    if path.suffix not in (".yaml", ".yml", ".csv"):
        path = _folder() / f"{fleet}.yaml"
    elif not path.exists():
        path = resolve_path(fleet)
    path = path.absolute()
    where = shown(path)
    file = _of_table(path) if path.suffix == ".csv" else build(FleetFile, load_yaml(path), where)
    return _Resolving(file, path.stem, where).fleet()


def _folder() -> Path:
    return project_root() / "params" / "fleets"


# --- a table of jobs -------------------------------------------------------------------------------------------------

_OF_A_JOB = ("name", "notebook", "scenario", "environment", "needs")
"""The columns of a table of jobs that are not parameters."""


def _of_table(path: Path) -> FleetFile:
    """A CSV file with a job in each line: `notebook`, where wanted `name`, `scenario`, `needs` (names with spaces
    between them) and `environment`, which is the same in all lines, and a column for every parameter.
    """
    where, head, lines = read_table(str(path.absolute()))
    jobs: dict[str, Any] = {}
    environments: dict[str, int] = {}
    given: list[str] = []
    problems = [] if "notebook" in head else [f"{where}, line 1: there is no column `notebook`."]
    for line, cells in [] if problems else lines:
        place = f"{where}, line {line}"
        try:
            row = _row(head, cells, place)
            parameters = {
                name: parse_yaml(cell, f"{place}: `{name}`") if cell.startswith(("[", "{")) else cell
                for name, cell in row.items()
                if name not in _OF_A_JOB
            }
        except ParameterError as error:
            problems += error.problems
            continue
        name = row.get("name") or f"line-{line}"
        if name in jobs:
            problems.append(f"{place}: a job before it is called `{shortened(name)}` as well.")
        given.append(row.get("environment", ""))
        environments.setdefault(environment_named(given[-1]) or DEFAULT_ENVIRONMENT, line)
        jobs[name] = {
            "notebook": row.get("notebook", ""),
            "scenario": row.get("scenario", ""),
            "parameters": parameters,
            "needs": row.get("needs", "").split(),
        }
    if len(environments) > 1:
        found = markdown.joined([f"`{shortened(name)}` in line {line}" for name, line in environments.items()], most=5)
        problems.append(f"{where}: a batch runs in one environment; here are {found}.")
    if problems:
        raise ParameterError(problems)
    return build(FleetFile, {"environment": next(filter(None, given), ""), "jobs": jobs}, where)


def _row(head: Sequence[str], cells: Sequence[str], place: str) -> dict[str, str]:
    """The cells of a line by their columns, without empty ones. Raises ParameterError."""
    if len(cells) != len(head):
        raise ParameterError([f"{place}: has more or fewer cells than the head line."])
    if twice := [name for name in dict.fromkeys(head) if name and head.count(name) > 1]:
        name = twice[0] if is_key(twice[0]) else "…"
        raise ParameterError([f"{place.rpartition(',')[0]}, line 1: `{name}` stands {head.count(twice[0])} times."])
    return {name: cell for name, cell in zip(head, cells, strict=True) if name and cell}


# --- from the file to its jobs ---------------------------------------------------------------------------------------

_Row = Mapping[str, str]


@dataclass(frozen=True)
class _Instance:
    """One job that an entry makes: for these rows, by their numbers; None for a job that is not for rows."""

    name: str
    rows: frozenset[int] | None
    values: _Row


class _Resolving:
    """Makes jobs of a fleet file, and collects what is wrong with it."""

    def __init__(self, file: FleetFile, name: str, where: str) -> None:
        self._file = file
        self._name = name
        self._where = where
        self._named = bool(environment_named(file.environment))
        self._environment = environment_named(file.environment) or DEFAULT_ENVIRONMENT
        self._problems: list[str] = []

    def fleet(self) -> Fleet:
        environment = environment_of(self._file.environment)
        order = self._order()
        rows = self._rows(environment)
        classes = self._notebooks()
        self._refuse_unknown_parameters(classes.values())
        self._raise()
        instances = {name: self._instances(name, rows) for name in order}
        self._raise()
        jobs: dict[str, FleetJob] = {}
        claims: dict[str, Claim] = {}
        for entry, made in instances.items():
            for instance in made:
                job, claim = self._job(entry, instance, classes[entry], instances, environment)
                if job:
                    jobs[job.name], claims[job.name] = job, claim
        self._raise()
        self._refuse_duplicates(jobs.values())
        self._raise()
        self._refuse_overlaps(jobs, claims)
        self._raise()
        limits = self._file.limits
        return Fleet(
            self._name,
            self._where,
            environment.file.model_dump(mode="json", exclude_defaults=True),
            environment.file.sandbox,
            tuple(jobs.values()),
            limits.calls_per_second,
            limits.jobs_at_a_time,
            self._file.cell_seconds,
            self._named,
        )

    def _order(self) -> list[str]:
        """The entries, each after those that it needs."""
        entries = self._file.jobs
        if not entries:
            self._problems.append(f"{self._where}: `jobs` is empty.")
        for name, entry in entries.items():
            for need in entry.needs:
                if need not in entries:
                    told = did_you_mean(need, [each for each in entries if each != name])
                    self._problems.append(f"{self._where}: job `{name}` needs `{need}`, which is no job here.{told}")
        self._raise()
        try:
            return list(TopologicalSorter({name: entry.needs for name, entry in entries.items()}).static_order())
        except CycleError as error:
            circle = " needs ".join(f"`{name}`" for name in reversed(error.args[1]))
            raise ParameterError([f"{self._where}: jobs wait for each other: {circle}."]) from None

    def _rows(self, environment: Environment) -> list[_Row]:
        """The rows of the file, with ids for names of accounts."""
        if self._file.accounts and self._file.inventory:
            self._problems.append(f"{self._where}: `accounts` and `inventory` are both given; give one of them.")
        rows: dict[frozenset[tuple[str, str]], _Row] = {}
        listed: list[tuple[str, dict[str, str]]] = [(self._where, {"account": each}) for each in self._file.accounts]
        if self._file.inventory:
            name, head, lines = read_table(self._file.inventory)
            for line, cells in lines:
                try:
                    listed.append((f"{name}, line {line}", _row(head, cells, f"{name}, line {line}")))
                except ParameterError as error:
                    self._problems += error.problems
        for where, row in listed:
            try:
                found = {"account": environment.account_id(row["account"])} if "account" in row else {}
            except AccountError as error:
                self._problems.append(f"{where}: {error}")
                continue
            made = row | found
            if (key := frozenset(made.items())) in rows:
                self._problems.append(f"{where}: stands there twice ({shortened(', '.join(made.values()))}).")
            rows[key] = made
        return list(rows.values())

    def _notebooks(self) -> dict[str, type[Asked]]:
        """What the notebook of each entry asks for."""
        classes = {}
        for name, entry in self._file.jobs.items():
            try:
                classes[name] = asked_class(notebook_path(entry.notebook).stem)
            except ParameterError as error:
                self._problems += [f"{self._where}: job `{name}`: {problem}" for problem in error.problems]
        return classes

    def _refuse_unknown_parameters(self, classes: Iterable[type[Asked]]) -> None:
        known = sorted({name for each in classes for name in each.model_fields})
        self._problems += [
            f"{self._where}: `parameters.{name}` is not known to any notebook here.{did_you_mean(name, known)}"
            for name in self._file.parameters
            if name not in known
        ]

    def _instances(self, name: str, rows: Sequence[_Row]) -> list[_Instance]:
        """The jobs that an entry makes: one, or one for every different value of its columns."""
        columns = self._file.jobs[name].for_each
        if not columns:
            return [_Instance(name, None, {})]
        known = sorted({column for row in rows for column in row})
        if unknown := [column for column in columns if column not in known]:
            said = did_you_mean(unknown[0], known) or " Give `accounts` or an `inventory`."
            self._problems.append(f"{self._where}: job `{name}` is for each `{unknown[0]}`; no row has that.{said}")
            return []
        groups: dict[tuple[str, ...], list[int]] = {}
        for number, row in enumerate(rows):
            if all(column in row for column in columns):
                groups.setdefault(tuple(row[column] for column in columns), []).append(number)
        made = []
        for key, numbers in groups.items():
            of_group = [rows[number] for number in numbers]
            shared = {
                column: value
                for column, value in of_group[0].items()
                if all(row.get(column) == value for row in of_group)
            }
            made.append(_Instance(f"{name}[{'/'.join(key)}]", frozenset(numbers), shared))
        return made

    def _job(
        self,
        name: str,
        instance: _Instance,
        asked: type[Asked],
        instances: Mapping[str, Sequence[_Instance]],
        environment: Environment,
    ) -> tuple[FleetJob | None, Claim]:
        entry = self._file.jobs[name]
        common = {key: value for key, value in self._file.parameters.items() if key in asked.model_fields}
        place = f"{self._where}: job `{instance.name}`"
        try:
            own = {
                key: self._filled(value, instance, f"{place}: `{key}`")
                for key, value in (common | entry.parameters).items()
            }
            step = make_step(asked, entry.scenario, own, place, Written.FILE, environment)
            step.examine(environment)
            claim = claim_of(step, environment)
        except ParameterError as error:
            self._problems += [each if each.startswith(place) else f"{place}: {each}" for each in error.problems]
            return None, Claim()
        needs = [
            each.name
            for need in entry.needs
            for each in instances[need]
            if each.rows is None or instance.rows is None or each.rows & instance.rows
        ]
        given = {**own, "environment": self._environment, "scenario": entry.scenario}
        path = shown(notebook_path(entry.notebook))
        return FleetJob(
            instance.name, path, entry.scenario, given, dict(step.as_given()), tuple(needs), claim.accounts
        ), claim

    def _filled(self, value: Any, instance: _Instance, where: str) -> Any:
        """A parameter with the values of the row in place of `{column}`. Raises ParameterError."""

        def of_row(found: re.Match[str]) -> str:
            if instance.rows is None:
                raise ParameterError(
                    [f"{where}: `{found[0]}` stands for a row's value, and the job has no `for_each`."]
                )
            if found[1] not in instance.values:
                known = list(instance.values)
                raise ParameterError(
                    [f"{where}: `{found[0]}`: its rows have no such value.{did_you_mean(found[1], known)}"]
                )
            return instance.values[found[1]]

        match value:
            case str():
                return COLUMN.sub(of_row, value)
            case list():
                return [self._filled(each, instance, where) for each in value]
            case dict() if len(value) == 1 and None in value.values():
                raise ParameterError(
                    [f'{where}: is {quoted(value)}. Write `{{column}}` in quotes: "{{{next(iter(value))}}}".']
                )
            case dict():
                return {key: self._filled(each, instance, where) for key, each in value.items()}
            case _:
                return value

    def _refuse_duplicates(self, jobs: Iterable[FleetJob]) -> None:
        seen: dict[str, str] = {}
        folders: dict[str, str] = {}
        for job in jobs:
            meant = f"{job.notebook} {sorted((key, repr(value)) for key, value in job.meant.items())}"
            if meant in seen:
                self._problems.append(
                    f"{self._where}: jobs `{seen[meant]}` and `{job.name}` ask for the same. Leave one of them out."
                )
            seen.setdefault(meant, job.name)
            folder = folder_name(job.name)
            if folders.setdefault(folder, job.name) != job.name:
                self._problems.append(
                    f"{self._where}: jobs `{folders[folder]}` and `{job.name}` would both be in the folder `{folder}`."
                )

    def _refuse_overlaps(self, jobs: Mapping[str, FleetJob], claims: Mapping[str, Claim]) -> None:
        needs = {name: job.needs for name, job in jobs.items()}
        one = self._file.limits.jobs_at_a_time == 1
        for resource, (first, second) in overlaps(needs, claims, one_at_a_time=one).items():
            said = f"{self._where}: jobs `{first}` and `{second}` may change {resource} at the same time."
            said += " Let one need the other (`needs`), or make one job of them."
            if resource.startswith("the keys of"):
                said += " `limits: {jobs_at_a_time: 1}` keeps jobs about one account apart as well."
            self._problems.append(said)

    def _raise(self) -> None:
        if self._problems:
            raise ParameterError(list(dict.fromkeys(self._problems)))
