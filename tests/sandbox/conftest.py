"""Clients for tests of the sandbox itself, made without the package's own way of reaching accounts."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Any

import boto3
import pytest
from botocore.config import Config

from runbook.sandbox import clock
from runbook.sandbox.server import REGION, Sandbox

Client = Callable[..., Any]
Passes = Callable[[float], None]

# One attempt, so that an error that botocore would retry shows at once; no proxy between the test and 127.0.0.1.
CONFIG = Config(retries={"total_max_attempts": 1}, proxies={}, signature_version="v4")


def without_account_in_host(request: Any, **_: Any) -> None:
    """S3 Control calls 222222222222.HOST, which for 127.0.0.1 is no name. The account stands in a header too."""
    request.url = re.sub(r"://\d{12}\.", "://", request.url)


@pytest.fixture(scope="session")
def _session() -> boto3.Session:
    return boto3.Session()


@pytest.fixture
def client_with(sandbox: Sandbox, _session: boto3.Session) -> Client:
    """A boto3 client with given credentials, as AssumeRole returns them or as (id, secret); none: unsigned."""

    def make(service: str, credentials: Any, region: str | None = None) -> Any:
        if isinstance(credentials, dict):
            key, secret = credentials["AccessKeyId"], credentials["SecretAccessKey"]
        else:
            key, secret = credentials
        made: Any = _session.client(  # type: ignore[call-overload]  # any service
            service,
            endpoint_url=sandbox.endpoint_url,
            region_name=region or REGION,
            aws_access_key_id=key,
            aws_secret_access_key=secret,
            aws_session_token=credentials.get("SessionToken") if isinstance(credentials, dict) else None,
            config=CONFIG,
        )
        made.meta.events.register("before-sign.s3-control", without_account_in_host)
        return made

    return make


@pytest.fixture
def administrator(sandbox: Sandbox, client_with: Client) -> Client:
    """A boto3 client of the management account's administrator."""
    return lambda service, region=None: client_with(service, (sandbox.access_key_id, sandbox.secret_access_key), region)


@pytest.fixture
def client(administrator: Client, client_with: Client) -> Client:
    """A boto3 client for OrganizationAccountAccessRole in an account: `client("s3", "222222222222")`."""

    @cache
    def session(account: str) -> Any:
        role = f"arn:aws:iam::{account}:role/OrganizationAccountAccessRole"
        return administrator("sts").assume_role(RoleArn=role, RoleSessionName="test")["Credentials"]

    return lambda service, account, region=None: client_with(service, session(account), region)


@pytest.fixture
def scan_role_arn(client: Client) -> str:
    """What the stack says."""
    stack = client("cloudformation", "111111111111").describe_stacks(StackName="bucketav")["Stacks"][0]
    return next(str(output["OutputValue"]) for output in stack["Outputs"] if output["OutputKey"] == "ScanRoleArn")


@pytest.fixture
def scan_role_client(client: Client, client_with: Client, scan_role_arn: str) -> Client:
    """A boto3 client with the scan role's credentials."""

    def make(service: str, region: str | None = None) -> Any:
        session = client("sts", "111111111111").assume_role(RoleArn=scan_role_arn, RoleSessionName="probe")
        return client_with(service, session["Credentials"], region)

    return make


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """CloudFormation's operations and plans are complete when the call that starts them returns; nobody waits."""
    monkeypatch.setattr(clock, "OPERATION_SECONDS", 0)
    monkeypatch.setattr(clock, "PLANNING_SECONDS", 0)
    monkeypatch.setattr(clock, "CUSTOM_RESOURCE_SECONDS", 0)


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> Passes:
    """A clock that stands still until the test moves it on, by so many parts of the time that an operation takes."""
    moment = [clock.now()]
    monkeypatch.setattr(clock, "now", lambda: moment[0])

    def move(parts: float) -> None:
        moment[0] += parts * clock.OPERATION_SECONDS

    return move
