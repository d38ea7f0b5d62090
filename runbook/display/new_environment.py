"""The dialog of 00-start-here that writes an environment file: the same as `runbook environment new` in a terminal."""

from collections.abc import Callable
from functools import partial
from typing import Any

import ipywidgets

from runbook import markdown
from runbook.display import mfa_field
from runbook.display.access_list import access_lines
from runbook.display.rich_text import from_markdown
from runbook.display.style import INPUT, LABEL
from runbook.display.views import view_of_failure
from runbook.display.worker import Worker
from runbook.environment import Environment
from runbook.environments import (
    HOW_TO_WRITE,
    check_access,
    draft,
    organization_members,
    parse_accounts,
    refuse_existing,
    save,
)
from runbook.parameters import ParameterError, shown
from runbook.untrusted import code

FIELDS = {
    "region": ("Region", "eu-west-1", "where bucketAV runs"),
    "stack_name": ("Stack", "bucketav", "the name of bucketAV's CloudFormation stack; empty for bucketav"),
    "profile": ("AWS profile", "my-sso", "to start from; empty for boto3's default credentials"),
    "role_arn": (
        "Role",
        "arn:aws:iam::{account_id}:role/Admin",
        "to assume in every account, {account_id} stands for its id; empty for none",
    ),
    "external_id": ("External id", "", "that the role's trust policy asks for; empty for none"),
    "mfa_serial": ("MFA device", "", "of the user to start from; empty for none"),
}
"""Label, placeholder and meaning of the fields, by their key in the file."""


class NewEnvironment:
    """Fields for an environment file, and buttons that list accounts, test them, and write the file.

    What a button does is done in a thread, and what is raised there is shown.
    """

    def __init__(self) -> None:
        self.name = ipywidgets.Text(description="Name", placeholder="production", style=LABEL, layout=INPUT)
        self.fields = {
            key: ipywidgets.Text(description=label, placeholder=placeholder, tooltip=meaning, style=LABEL, layout=INPUT)
            for key, (label, placeholder, meaning) in FIELDS.items()
        }
        self.accounts = ipywidgets.Textarea(
            description="Account list", placeholder="a=111111111111\nb=222222222222", rows=5, style=LABEL, layout=INPUT
        )
        self.replace = ipywidgets.Checkbox(description="Replace the file where there is one", indent=False)
        self.result = ipywidgets.HTML()
        self.worker = Worker(self._on_end)
        work = {"List accounts": self._list, "Test": self._test, "Save": self._save}
        self.buttons = {name: ipywidgets.Button(description=name, layout={"width": "10em"}) for name in work}
        for name, do in work.items():
            self.buttons[name].on_click(partial(self._on_click, name, do))
        self._pressed = ""
        self.box = ipywidgets.Accordion(
            [ipywidgets.VBox(list(self._rows()))], titles=["Your own accounts: write an environment file"]
        )

    def _rows(self) -> Any:
        yield self.name
        for key, field in self.fields.items():
            yield ipywidgets.HBox([field, ipywidgets.Label(FIELDS[key][2])], layout={"flex_flow": "row wrap"})
        yield self.accounts
        yield ipywidgets.HTML(
            from_markdown(f"One account a line, {code(HOW_TO_WRITE)}. {code('a')} is the one that runs bucketAV.")
        )
        yield ipywidgets.HBox(
            [*self.buttons.values(), self.worker.cancel, self.replace], layout={"flex_flow": "row wrap"}
        )
        yield self.worker.line
        yield mfa_field.field().box
        yield self.result

    # --- what each button does, in a thread ---

    def _list(self) -> None:
        """Add the organization's accounts to those that are there."""
        environment = self._draft()
        known = {entry.account_id for entry in environment.file.accounts.values()}
        members = [member for member in organization_members(environment) if member.account not in known]
        lines = [*self._lines(), *(f"{member.name}={member.account}" for member in members)]
        self.accounts.value = "\n".join(lines)
        added = markdown.count(len(members), "account")
        self._show(f"{added} of the organization added. Remove the lines of those that are not meant.")

    def _test(self) -> None:
        self._show(access_lines(check_access(self._draft(), self.worker.progress)))

    def _save(self) -> None:
        name = self._name()
        refuse_existing(name, replace=self.replace.value)
        access = check_access(self._draft(), self.worker.progress)
        path = save(name, self._values(), replace=self.replace.value)
        following = f"Set {code('environment')} to {code(name)} and run this notebook again."
        self._show(f"{access_lines(access)}\n\nWritten: {code(shown(path))}. {following}")

    def _draft(self) -> Environment:
        return draft(self._name(), self._values())

    def _name(self) -> str:
        if name := str(self.name.value).strip():
            return name
        raise ParameterError(["Name: give the environment a name, such as production."])

    def _values(self) -> dict[str, Any]:
        fields = {key: str(field.value).strip() for key, field in self.fields.items()}
        return fields | {"accounts": parse_accounts(self._lines())}

    def _lines(self) -> list[str]:
        return [line for line in map(str.strip, str(self.accounts.value).splitlines()) if line]

    # --- around it ---

    def _on_click(self, name: str, do: Callable[[], None], _: Any) -> None:
        self._pressed, self.result.value = name, ""
        self._offer(idle=False)
        self.worker.start(do, f"{name}: under way")

    def _on_end(self, failure: BaseException | None) -> None:
        if failure:
            self.result.value = view_of_failure(failure, self._pressed)
        self._offer(idle=True)

    def _offer(self, *, idle: bool) -> None:
        for button in self.buttons.values():
            button.disabled = not idle

    def _show(self, text: str) -> None:
        self.result.value = f'<div role="status">{from_markdown(text)}</div>'
