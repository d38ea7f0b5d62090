"""What a notebook shows: the form to choose with, and the way through a step behind it."""

from runbook import by_hand as instructions
from runbook.display.chooser import Choice, choose
from runbook.display.findings import listen_to, read_findings
from runbook.display.halted import halts
from runbook.display.modes import modes
from runbook.display.start import start_here
from runbook.review import console_steps as console
from runbook.review.outline import defect_notes, section_table

by_hand = halts(instructions.by_hand)
console_steps = halts(console.console_steps)

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
