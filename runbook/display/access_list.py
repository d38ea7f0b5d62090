"""The accounts of an environment at the top of 00-start-here: reached as whom, or why not; to be tested again there."""

from collections.abc import Callable
from typing import Any

import ipywidgets

from runbook import markdown
from runbook.display.rich_text import from_markdown
from runbook.display.views import view_of_failure
from runbook.display.worker import Worker
from runbook.environments import AccountAccess
from runbook.progress import Progress


def access_lines(access: tuple[AccountAccess, ...]) -> str:
    """The access to each account as a list in Markdown, a line each."""
    return "\n".join(f"- {markdown.plain(str(each))}" for each in access)


class AccessList:
    """A line for each account, and a button for after a login. `test` asks again, in a thread."""

    def __init__(
        self, access: tuple[AccountAccess, ...], test: Callable[[Progress], tuple[AccountAccess, ...]]
    ) -> None:
        self._test = test
        self.lines = ipywidgets.HTML(from_markdown(access_lines(access)))
        self.worker = Worker(self._on_end)
        self.again = ipywidgets.Button(
            description="Test again", tooltip="After a login, such as aws sso login", layout={"width": "10em"}
        )
        self.again.on_click(self._on_click)
        self.box = ipywidgets.VBox([self.lines, ipywidgets.HBox([self.again, self.worker.line])])

    def _on_click(self, _: Any) -> None:
        self.again.disabled = True
        self.worker.start(self._do_test, "Testing")

    def _do_test(self) -> None:
        self.lines.value = from_markdown(access_lines(self._test(self.worker.progress)))

    def _on_end(self, failure: BaseException | None) -> None:
        if failure:
            self.lines.value = view_of_failure(failure, "Test")
        self.again.disabled = False
