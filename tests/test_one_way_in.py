"""Clients are handed out in one place, where identities are compared: nobody else makes one, or a session."""

import ast
from collections.abc import Iterator

from runbook.parameters import project_root

PACKAGE = project_root() / "runbook"
WAY_IN = ("sessions.py", "environment.py")
CREDENTIALS = "credentials.py"
"""Uses botocore's own ways to credentials; it gets the clients for it from `Sessions`."""
MAKERS = {"Session", "client", "resource", "create_client", "get_session", "setup_default_session"}
"""Calls that make a client or a session, in boto3, botocore and `Sessions`."""


def sources() -> Iterator[tuple[str, ast.Module]]:
    """The modules that act on accounts; the sandbox calls nobody but itself."""
    for file in sorted(PACKAGE.rglob("*.py")):
        name = file.relative_to(PACKAGE).as_posix()
        if not name.startswith("sandbox/"):
            yield name, ast.parse(file.read_text(encoding="utf-8"))


def imported(tree: ast.Module) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{each.name}" for each in node.names}
    return found


def test_only_the_way_in_imports_what_can_make_a_client() -> None:
    harmless = ("botocore.exceptions.", "botocore.model.", "botocore.parsers.", "botocore.utils.parse_timestamp")
    others = {
        name: found
        for name, tree in sources()
        if name not in (*WAY_IN, CREDENTIALS)
        and (found := {each for each in imported(tree) if each.startswith(("boto3", "botocore", "aiobotocore"))})
        and not all(each.startswith(harmless) for each in found)
    }
    assert others == {}


def test_clients_come_from_the_environment() -> None:
    """Under whatever name a module has its environment; nothing reaches behind it."""
    calls: dict[str, set[str]] = {}
    for name, tree in sources():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in MAKERS:
                calls.setdefault(ast.unparse(node.func), set()).add(name)
            if isinstance(node, ast.Attribute) and node.attr == "_sessions":
                assert name in WAY_IN, f"{name} reaches behind the environment"
    elsewhere = {call: names for call, names in calls.items() if not names <= set(WAY_IN)}
    assert set(elsewhere) == {"environment.client"}
    behind = {call for call, names in calls.items() if names & set(WAY_IN)}
    assert behind == {
        "boto3.Session",
        "botocore.session.Session",
        "self._sessions.client",  # Environment.client, after `identity`
        "self.client",  # Environment.client, and Sessions.client inside of Sessions
        "session.client",  # Sessions.client
    }


def test_the_environment_verifies_before_it_hands_out() -> None:
    (client,) = (
        node
        for name, tree in sources()
        if name == "environment.py"
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.name == "client"
    )
    lines = {ast.unparse(node.func): node.lineno for node in ast.walk(client) if isinstance(node, ast.Call)}
    assert lines["self.identity"] < lines["self._sessions.client"]
