"""An environment of one's own, whose accounts are reached by profiles whose credentials a test can exchange."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from runbook.environment import Environment, load_environment
from runbook.sandbox import server
from runbook.sessions import session_without_profile

if TYPE_CHECKING:
    from tests.faults.middleware import Middleware
    from tests.faults.rules import Record

MANAGEMENT, A, B, C, D, PILOT, OTHER = (
    "999999999999",
    "111111111111",
    "222222222222",
    "333333333333",
    "444444444444",
    "888888888888",
    "777777777777",
)
NAMES = {"management": MANAGEMENT, "a": A, "b": B, "c": C, "d": D, "pilot": PILOT}
"""The accounts of the environment. `OTHER` is none of them, has buckets and stacks, and lets the administrator in."""

HARMLESS = {("sts", "GetCallerIdentity")}
"""The calls that credentials of another account may be used for: they ask whose these are."""


class Wallet:
    """Credentials in a folder, one file an account. The profiles read them anew for every call, as botocore does with
    credentials of a process that are about to expire; so they can change between two calls.
    """

    def __init__(self, folder: Path, url: str, aside: str) -> None:
        self.folder, self._url, self._aside = folder, url, aside
        folder.mkdir()
        profiles = [f"[profile {name}]\ncredential_process = cat {folder / name}.json\n" for name in NAMES]
        (folder / "config").write_text("\n".join(profiles))
        accounts = {name: {"account_id": account, "profile": name} for name, account in NAMES.items()}
        self.file = folder / "own.yaml"
        self._write(self.file, accounts)
        self.refill()

    def refill(self) -> None:
        """Give each account its own credentials, new ones: those from before the world was reset are void."""
        self._issued: dict[str, Mapping[str, Any]] = {}
        for name, account in NAMES.items():
            self.put(name, account)

    def put(self, name: str, account: str) -> None:
        """From now on, the profile `name` has the credentials of `account`."""
        part = self.folder / f"{name}.part"
        part.write_text(json.dumps(self.credentials(account)))
        part.replace(self.folder / f"{name}.json")

    def credentials(self, account: str) -> Mapping[str, Any]:
        """Credentials of an account, as a process answers them."""
        if account not in self._issued:
            soon = {"Version": 1, "Expiration": (datetime.now(UTC) + timedelta(minutes=5)).isoformat()}
            own = {"AccessKeyId": server.ACCESS_KEY_ID, "SecretAccessKey": server.SECRET_ACCESS_KEY}
            if account != MANAGEMENT:
                session = boto3.Session(
                    server.ACCESS_KEY_ID, server.SECRET_ACCESS_KEY, botocore_session=session_without_profile()
                )
                sts = session.client("sts", endpoint_url=self._aside, region_name=server.REGION)
                role = f"arn:aws:iam::{account}:role/OrganizationAccountAccessRole"
                granted = sts.assume_role(RoleArn=role, RoleSessionName="me")["Credentials"]
                own = {name: granted[name] for name in ("AccessKeyId", "SecretAccessKey", "SessionToken")}
            self._issued[account] = {**soon, **own}
        return self._issued[account]

    def environment(self) -> Environment:
        """The environment as each command loads it."""
        return load_environment(str(self.file))

    def in_the_shell(self, monkeypatch: pytest.MonkeyPatch, account: str) -> None:
        """Put an account's credentials where boto3 looks first."""
        names = {
            "AccessKeyId": "ACCESS_KEY_ID",
            "SecretAccessKey": "SECRET_ACCESS_KEY",
            "SessionToken": "SESSION_TOKEN",
        }
        for name, variable in names.items():
            monkeypatch.setenv(f"AWS_{variable}", str(self.credentials(account)[name]))

    def by_the_shell(self, name: str) -> Path:
        """A file that leaves one account to the credentials in the shell."""
        accounts = {each: {"account_id": account, "profile": each} for each, account in NAMES.items()}
        accounts[name] = {"account_id": NAMES[name]}
        self._write(self.folder / "shell.yaml", accounts)
        return self.folder / "shell.yaml"

    def _write(self, file: Path, accounts: Mapping[str, Any]) -> None:
        head = {"region": "eu-west-1", "endpoint_url": self._url, "probe": True, "accounts": accounts}
        file.write_text(json.dumps(head))  # which is YAML


@contextmanager
def held(faults: Middleware, *rules: Any) -> Iterator[Record]:
    """Watch, and hold at the end that the other account's credentials were used to ask whose they are only."""
    with faults.watching(*rules) as seen:
        yield seen
    used = {(call.service, call.operation) for call in seen.calls if call.account == OTHER}
    assert used <= HARMLESS, used
