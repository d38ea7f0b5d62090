"""A cell that cannot go on: in front of people it says why, with a button to try again; headless it raises."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any

from runbook import markdown
from runbook.aws_errors import told_in_words
from runbook.display.frontend import in_voila, shows_widgets
from runbook.display.style import problem, styled
from runbook.errors import RunbookError
from runbook.secrets import redact
from runbook.untrusted import printable

BELOW = "Nothing to show yet: see the message above."

_RELOAD = ' onclick="location.reload()"'
"""The page of Voilà runs all cells again. JupyterLab's extension of ours runs the cells from this one on."""


@dataclass(frozen=True)
class Halted:
    """The reason why a cell has no result. Whatever is asked of it next is waiting for the same thing."""

    reason: str
    can_retry: bool = True

    def waiting(self, *_: Any) -> "Halted":
        """Return the short message of a cell further down."""
        return Halted(BELOW, can_retry=False)

    check = plan = preview = apply = verify = recommend = picture = waiting

    def __repr__(self) -> str:
        return printable(redact(self.reason))

    def _repr_mimebundle_(self, **_: Any) -> Mapping[str, Any]:
        plain = repr(self)
        html = styled(self._html())
        return {"text/plain": plain, "text/markdown": markdown.gate(markdown.plain(plain)), "text/html": html}

    def _html(self) -> str:
        if not self.can_retry:
            return f"<p><em>{BELOW}</em></p>"
        reload = _RELOAD if in_voila() else ""
        button = f'<button class="jupyter-button rb-again" type="button"{reload}>Try again</button>'
        return f"{problem(self.reason)}<p>{button}{'' if in_voila() else ' or run this cell again.'}</p>"


def halts(work: Callable[..., Any]) -> Callable[..., Any]:
    """Let a cell's function return Halted instead of raising one of our errors, where a person sees it."""

    @wraps(work)
    def said(*given: Any, **named: Any) -> Any:
        earlier = [value for value in (*given, *named.values()) if isinstance(value, Halted)]
        if earlier:
            return earlier[0].waiting()
        try:
            with told_in_words():
                return work(*given, **named)
        except RunbookError as error:
            if not shows_widgets():
                raise
            return Halted(str(error))

    return said
