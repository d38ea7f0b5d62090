"""Findings in a notebook: what is in the queues, and what comes into them while one listens."""

from IPython.display import DisplayHandle

from runbook import markdown
from runbook.aws_errors import told_in_words
from runbook.display.chooser import Choice
from runbook.display.halted import halts
from runbook.parameters import ParameterError
from runbook.run import Run
from runbook.steps.findings_reading import Findings
from runbook.steps.findings_topic import FindingsTopic

WHILE_LISTENING = "*Listening. To stop: ■ (Interrupt the kernel).*"


@halts
def read_findings(choice: Choice, run: Run) -> Findings:
    """The findings that wait in the queues. They are acknowledged only where `acknowledge` and `apply` say so."""
    with told_in_words():
        return _step(choice).read(choice.environment, run)


@halts
def listen_to(choice: Choice, run: Run) -> "Heard":
    """Follow the queues for `listen` seconds, in a table that grows; an interrupt ends it, and loses nothing."""
    step = _step(choice)
    if not step.listen:
        return Heard(Findings(), "`listen` is 0: nobody listened.")
    handle, heard, ended = DisplayHandle(), Findings(), f"Listened for {step.listen} seconds."  # type: ignore[no-untyped-call]
    with told_in_words():
        listening = step.listening(choice.environment, run)
        try:
            for number, heard in enumerate(listening):
                content = {
                    "text/markdown": markdown.gate(f"{heard.to_markdown()}\n\n{WHILE_LISTENING}"),
                    "text/plain": repr(heard),
                }
                (handle.update if number else handle.display)(content, raw=True)  # type: ignore[no-untyped-call]
        except KeyboardInterrupt:
            ended = "Stopped."
        finally:
            listening.close()
    handle.update({"text/markdown": "", "text/plain": ""}, raw=True)  # type: ignore[no-untyped-call]
    return Heard(heard, ended)


class Heard:
    """What was heard, and how it ended."""

    def __init__(self, findings: Findings, ended: str) -> None:
        self.findings = findings
        self._ended = ended

    def __repr__(self) -> str:
        return f"{self._ended}\n{self.findings!r}" if self.findings.sources else self._ended

    def _repr_markdown_(self) -> str:
        return f"{self._ended}\n\n{self.findings._repr_markdown_()}" if self.findings.sources else self._ended


def _step(choice: Choice) -> FindingsTopic:
    if not isinstance(choice.step, FindingsTopic):
        raise ParameterError([f"{choice.step.notebook} has no queues to read findings from; 06-findings-topic has."])
    return choice.step
