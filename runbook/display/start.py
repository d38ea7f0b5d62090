"""What notebook 00-start-here shows: where things stand, the questions, and the approach that the answers lead to."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import ipywidgets

from runbook import commands, markdown
from runbook.aws_errors import told_in_words
from runbook.checks import Checks
from runbook.display import chosen, formatters
from runbook.display.access_list import AccessList, access_lines
from runbook.display.address import from_address, with_parameters
from runbook.display.band import band
from runbook.display.form import Form
from runbook.display.frontend import in_voila, shows_widgets
from runbook.display.halted import halts
from runbook.display.new_environment import NewEnvironment
from runbook.display.progress import NotebookProgress
from runbook.display.topology import Picture
from runbook.environment import Environment, Refusal, load_environment
from runbook.environments import AccountAccess, check_access
from runbook.parameters import ParameterError, build, resolve_path
from runbook.procedure import about_refusals
from runbook.progress import Progress
from runbook.result import record
from runbook.review.outline import links, load
from runbook.secrets import redact
from runbook.steps import STEPS
from runbook.steps.approach import Reason, Recommendation, recommend
from runbook.steps.approach_notebooks import Approach, Call
from runbook.steps.scenarios import merge_values, scenario_in
from runbook.steps.start_here import StartHere
from runbook.steps.topology import Topology, read_topology
from runbook.untrusted import code, printable

FIRST = "overview.same-account"
"""The entry of the outline that comes before the choice between the approaches."""


@halts
def start_here(*, environment: str, scenario: str = "", run_folder: str = "", **given: Any) -> Any:
    """Begin with a notebook's parameters. Headless, raises ParameterError when they cannot be used.

    An empty value means "from the scenario". What is chosen in the form is what the next cells use.
    """
    formatters.register()
    addressed = from_address(StartHere)
    environment, scenario = addressed.pop("environment", environment), addressed.pop("scenario", scenario)
    loaded = load_environment(environment)
    scenario = scenario_in(StartHere, scenario, loaded)
    values = merge_values(StartHere, scenario, given | addressed, loaded)
    start = Start(values, loaded, scenario, run_folder)
    if not shows_widgets():
        start.read_answers()
    return start


class Start:
    """The answers as they are now, and what follows from them. Nothing is changed, whatever is called."""

    def __init__(self, values: Mapping[str, Any], environment: Environment, scenario: str, folder: str) -> None:
        self.environment = environment
        if folder:
            environment.works_in(resolve_path(folder))
        self._values = values
        self._scenario = scenario
        self._folder = folder
        self._progress = NotebookProgress()
        self._form: Form[StartHere] | None = None
        self._told: Any = None
        self._refused: frozenset[Refusal] = frozenset()
        self._access: tuple[AccountAccess, ...] | None = None

    @property
    def answers(self) -> StartHere:
        """The answers, frozen. Raises ParameterError while the form holds something that cannot be used."""
        return self._form.step if self._form else self.read_answers()

    def read_answers(self) -> StartHere:
        """Return the answers that the notebook's parameters give. Raises ParameterError when they cannot be used."""
        answers = build(StartHere, self._values, f"the parameters of {StartHere.notebook}")
        answers.examine(self.environment)
        return answers

    @property
    def scenario(self) -> str:
        """The scenario that is chosen; empty for none."""
        return self._form.scenario if self._form else self._scenario

    @property
    def access(self) -> tuple[AccountAccess, ...]:
        """The access to each account of an environment of one's own, as it was when last tested."""
        if self._access is None:
            return () if self.environment.file.sandbox else self._test_access(self._progress)
        return self._access

    def _test_access(self, progress: Progress) -> tuple[AccountAccess, ...]:
        self._access = check_access(self.environment, progress)
        return self._access

    @cached_property
    def topology(self) -> Topology:
        """Accounts and buckets as they were when first asked for."""
        with told_in_words(), self.environment.noting_refusals() as refused:
            topology = read_topology(self.environment, self._progress)
        self._refused = frozenset(refused)
        return topology

    @halts
    def check(self) -> Any:
        """Check that the environment can be worked with, and that everything could be read."""
        found = self.topology.checks
        return Checks.of([*found, *about_refusals(self.environment, StartHere.notebook, self._refused, found)])

    @halts
    def picture(self) -> Any:
        """Where things stand."""
        return Picture(self.topology)

    @halts
    def recommend(self) -> Any:
        """The approach that fits, and the notebooks to open; kept in `result.json` where there is a run folder."""
        advice = self._advice()
        if self._form and shows_widgets():
            self._told = advice.follower = ipywidgets.Output()
            self._tell()
        if self._folder:
            values = {"mode": "preview", "step": StartHere.notebook, "scenario": self.scenario}
            values |= {"environment": self.environment.name, "status": "done", "plan": advice.headline}
            record(resolve_path(self._folder), {**values, "checks": self.check().as_json()})
        return advice

    def __repr__(self) -> str:
        answers = chosen.lines(self.answers) if self._usable else []
        return "\n".join([*map(str, self.access), printable(self._where()), *answers])

    def _repr_mimebundle_(self, **_: Any) -> Mapping[str, Any]:
        """The form where widgets run; what was answered where they do not."""
        form = self._panel() if shows_widgets() else {}
        table = chosen.table(self.answers, ("Question", "Answer", "Meaning")) if self._usable else ""
        parts = filter(None, [access_lines(self.access), self._where(), table])
        return {**form, "text/plain": repr(self), "text/markdown": markdown.gate("\n\n".join(parts))}

    def _panel(self) -> Mapping[str, Any]:
        self._form = Form(StartHere, self._values, self.environment, self._scenario)
        self._form.watch(self._tell)
        self._form.look_up_identity()
        access = [AccessList(self.access, self._test_access).box] if self.access else []
        box = ipywidgets.VBox([*access, self._form.box, NewEnvironment().box])
        box.add_class("rb-panel")
        bundle: Mapping[str, Any] = box._repr_mimebundle_()
        return bundle

    def _tell(self) -> None:
        """Show what follows from the form as it is now, where somebody has asked for it."""
        if self._told is None:
            return
        try:
            text = self._advice()._repr_markdown_()
        except ParameterError:
            text = "_Correct what is marked in the form above._"
        except Exception as error:  # noqa: BLE001 (shown here; the cell raises it when it is run)
            text = f"✗ {markdown.plain(redact(f'{type(error).__name__}: {error}'))}"
        data = {"text/markdown": markdown.gate(text), "text/plain": printable(text)}
        self._told.outputs = ({"output_type": "display_data", "data": data, "metadata": {}},)

    def _advice(self) -> "Advice":
        made = None if self.answers == StartHere() else recommend(self.answers, self.topology)
        return Advice(made, self.environment.name, self.environment.file.sandbox)

    def _where(self) -> str:
        how = f"scenario {code(self.scenario)}" if self.scenario else "no scenario"
        return f"{band(self.environment, ask=not shows_widgets())}\n\n**What you have**, {how}"

    @property
    def _usable(self) -> bool:
        return self._form is None or self._form.usable


NOTHING_ANSWERED = "Nothing is recommended yet: say which accounts, buckets or organizational units are to be scanned."


@dataclass
class Advice:
    """A recommendation as a notebook shows it; `follower` is a widget that shows the one of now in its place.

    `recommendation` is None where nothing was answered.
    """

    recommendation: Recommendation | None
    environment: str
    sandbox: bool = False
    follower: Any = None

    @property
    def headline(self) -> str:
        """The recommendation in a line."""
        if self.recommendation is None:
            return NOTHING_ANSWERED
        notebooks = [call.notebook for call in self.recommendation.calls]
        then = f", then {' and '.join(notebooks)}" if notebooks else ""
        return f"Recommended: {self.recommendation.approach}{then}. Nothing is changed here."

    def __repr__(self) -> str:
        made = self.recommendation
        if made is None:
            return NOTHING_ANSWERED
        lines = [self.headline, *(f"  because: {reason.text}" for reason in made.reasons)]
        lines += [f"  look out: {caution}" for caution in made.cautions]
        return "\n".join([*lines, *(f"  {_run(call, self.environment)}" for call in made.calls)])

    def _repr_markdown_(self) -> str:
        return markdown.gate("\n\n".join(self._parts()))

    def _repr_mimebundle_(self, **_: Any) -> Mapping[str, Any]:
        static = {"text/plain": repr(self), "text/markdown": self._repr_markdown_()}
        return {**self.follower._repr_mimebundle_(), **static} if self.follower else static

    def _parts(self) -> Iterator[str]:
        made, outline = self.recommendation, load()
        if made is None:
            yield NOTHING_ANSWERED
            return
        if made.approach is not Approach.SAME_ACCOUNT:
            first = links(outline, [outline.entry(FIRST)])
            yield (
                f"**Before all else** ({first}): can bucketAV run in the account of the buckets? That is what the "
                "documentation recommends: there is least to set up, and accounts stay apart. If it can, set "
                "`same_account`. Otherwise:"
            )
        yield f"### Recommended: {made.approach}"
        yield _list(_told(reason) for reason in made.reasons)
        if made.cautions:
            yield "Look out:"
            yield _list(f"⚠ {markdown.plain(caution)}" for caution in made.cautions)
        yield markdown.folded(
            "Why not another way",
            markdown.table(
                ["Way", "What speaks against it"], [(f"{way}", _told(reason)) for way, reason in made.others]
            ),
        )
        yield from self._calls(made.calls)

    def _calls(self, calls: Sequence[Call]) -> Iterator[str]:
        if not calls:
            yield "**Nothing is left to do here:** what this takes is in place already, or needs no notebook."
            return
        yield "### The notebooks, in order"
        rows = [
            (str(number), markdown.link(call.notebook, self._address(call)), call.why, _parameters(call))
            for number, call in enumerate(calls, start=1)
        ]
        yield markdown.table(["", "Notebook", "What for", "Parameters to fill in"], rows)
        yield (
            "Or as commands, in this order: each needs what the one before it has changed. Without `--apply` a command "
            f"is a preview and changes nothing.{self._about_sandbox()}"
        )
        yield markdown.code_block("\n".join(_run(call, self.environment) for call in calls), "sh")
        papermill = "\n".join(call.papermill_command(self.environment) for call in calls)
        yield markdown.folded("The same with papermill, in the project's folder", markdown.code_block(papermill, "sh"))

    def _about_sandbox(self) -> str:
        """Say where commands of other shells find the accounts that are shown here."""
        if not self.sandbox:
            return ""
        return (
            f" In the sandbox they share one that is running: of {commands.span('lab')}, {commands.span('app')} or, "
            f"in another terminal, {commands.span('sandbox')}."
        )

    def _address(self, call: Call) -> str:
        """A page takes its parameters from its address; JupyterLab opens the notebook as it is."""
        page = f"{call.notebook}.ipynb"
        return with_parameters(page, call.in_environment(self.environment)) if in_voila() else page


def _told(reason: Reason) -> str:
    """A reason, with the line of the page that it goes back to."""
    outline = load()
    return f"{reason.text} ({links(outline, [outline.entry(reason.entry)])})" if reason.entry else reason.text


def _list(lines: Iterator[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _parameters(call: Call) -> str:
    given = [f"{code(name)}: {_value(value)}" for name, value in call.values.items()]
    return "\n".join([*given, *([f"still to be named: {call.missing}"] if call.missing else [])])


def _value(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(code(each) for each in value)
    return code(str(value).lower() if isinstance(value, bool) else value)


def _run(call: Call, environment: str) -> str:
    line = call.runbook_command(environment)
    return line if call.missing or call.notebook not in STEPS else f"{line}  # {STEPS[call.notebook].title}"
