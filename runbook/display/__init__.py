"""What a notebook shows: the form to choose with, and the way through a step behind it."""

from runbook.by_hand import by_hand
from runbook.display.chooser import Choice, choose
from runbook.display.findings import listen_to, read_findings
from runbook.display.modes import modes
from runbook.display.start import start_here
from runbook.review.console_steps import console_steps
from runbook.review.outline import defect_notes, section_table

__all__ = [
    "Choice",
    "by_hand",
    "choose",
    "console_steps",
    "defect_notes",
    "listen_to",
    "modes",
    "read_findings",
    "section_table",
    "start_here",
]
