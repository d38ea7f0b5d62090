"""No web page can use the sandbox or read its answers: not across sites, and not by a host name that leads here."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import pytest
import urllib3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from runbook.sandbox import server
from runbook.sandbox.server import OWN_HEADER, Sandbox
from tests.sandbox.test_template_urls import BUCKET, KEY

Client = Callable[..., Any]

OWN = {OWN_HEADER: "1"}
CREATE_USER = "Action=CreateUser&UserName=intruder&Version=2010-05-08"
FROM_A_PAGE: Mapping[str, Mapping[str, str]] = {
    "another site": {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
    "a file or a sandboxed frame": {"Origin": "null", "Sec-Fetch-Site": "cross-site"},
    "a picture or a frame": {"Sec-Fetch-Site": "cross-site"},
    "another port": {"Origin": "http://127.0.0.1:8888", "Sec-Fetch-Site": "same-site"},
    "an object of the sandbox's own": {"Sec-Fetch-Site": "same-origin"},
    "an old browser": {"Origin": "https://evil.example"},
}
HOSTS = (
    "evil.example",
    "evil.example:{port}",
    "127.0.0.1.evil.example:{port}",
    "localhost.evil.example:{port}",
    "127.0.0.1",
    "127.0.0.1:1",
    "2130706433:{port}",
    "0.0.0.0:{port}",
    "iam.amazonaws.com",
    "sns.eu-west-1.amazonaws.com.evil.example",
    "evil.example/.s3.eu-west-1.amazonaws.com",
    "ec2-192-0-2-1.compute-1.amazonaws.com:{port}",
)


def ask(sandbox: Sandbox, method: str, path: str, headers: Mapping[str, str], body: str = "") -> Any:
    return urllib3.request(method, sandbox.endpoint_url + path, headers=dict(headers), body=body, retries=False)


def signed(sandbox: Sandbox) -> dict[str, str]:
    """Headers of a call as the administrator: the credentials are known to everybody who reads the code."""
    request = AWSRequest("POST", sandbox.endpoint_url, data=CREATE_USER)
    request.headers["Content-Type"] = "application/x-www-form-urlencoded"
    SigV4Auth(Credentials(sandbox.access_key_id, sandbox.secret_access_key), "iam", "us-east-1").add_auth(request)
    return dict(request.headers.items())


@pytest.fixture
def users(administrator: Client) -> Callable[[], list[str]]:
    iam = administrator("iam")
    return lambda: [user["UserName"] for user in iam.list_users()["Users"]]


@pytest.mark.parametrize("page", FROM_A_PAGE)
def test_a_page_can_neither_reset_nor_ask_nor_call(page: str, sandbox: Sandbox, users: Callable[[], list[str]]) -> None:
    headers = FROM_A_PAGE[page]
    assert ask(sandbox, "POST", "/", signed(sandbox), CREATE_USER).status == 200
    answers = [
        ask(sandbox, method, path, {**headers, **more}, body)
        for more in ({}, OWN)
        for method, path, body in (
            ("POST", "/moto-api/reset", ""),
            ("GET", "/moto-api/sandbox", ""),
            ("OPTIONS", "/moto-api/reset", ""),
            ("GET", f"/{BUCKET}/{KEY}", ""),
        )
    ]
    answers.append(ask(sandbox, "POST", "/", {**signed(sandbox), **headers}, CREATE_USER.replace("intruder", "second")))
    assert [answer.status for answer in answers] == [403] * 9
    assert {answer.data for answer in answers} == {b"The sandbox does not answer web pages.\n"}
    assert users() == ["administrator", "intruder"], "neither reset nor called"


@pytest.mark.parametrize("host", HOSTS)
def test_a_host_name_that_leads_here_by_a_trick_is_refused(
    host: str, sandbox: Sandbox, users: Callable[[], list[str]]
) -> None:
    port = urlsplit(sandbox.endpoint_url).port
    host = host.format(port=port)
    for method, path, headers in (
        ("POST", "/moto-api/reset", OWN),
        ("GET", "/moto-api/sandbox", OWN),
        ("GET", f"/{BUCKET}/{KEY}", {}),
        ("POST", "/", signed(sandbox)),
    ):
        answer = ask(sandbox, method, path, {**headers, "Host": host}, CREATE_USER if method == "POST" else "")
        assert answer.status == 403
        assert f"The sandbox is at 127.0.0.1:{port}, and does not answer requests to the host" in answer.data.decode()
    assert users() == ["administrator"]


@pytest.mark.parametrize("host", ["sns.eu-west-1.amazonaws.com", "uploads-b.s3.eu-west-1.amazonaws.com"])
def test_a_host_of_awss_is_for_opening_public_addresses_only(
    host: str, sandbox: Sandbox, users: Callable[[], list[str]]
) -> None:
    assert ask(sandbox, "POST", "/", {**signed(sandbox), "Host": host}, CREATE_USER).status == 403
    assert ask(sandbox, "POST", "/moto-api/reset", {**OWN, "Host": host}).status == 403
    assert users() == ["administrator"]


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "[::1]"])
def test_its_own_names_are_answered(name: str, sandbox: Sandbox) -> None:
    host = f"{name}:{urlsplit(sandbox.endpoint_url).port}"
    answer = ask(sandbox, "GET", "/moto-api/sandbox", {**OWN, "Host": host, "Sec-Fetch-Site": "none"})
    assert json.loads(answer.data)["access_key_id"] == sandbox.access_key_id


def test_reset_and_credentials_take_a_header_that_a_form_cannot_send(
    sandbox: Sandbox, users: Callable[[], list[str]]
) -> None:
    ask(sandbox, "POST", "/", signed(sandbox), CREATE_USER)
    for method, path in (("POST", "/moto-api/reset"), ("GET", "/moto-api/sandbox")):
        answer = ask(sandbox, method, path, {})
        assert (answer.status, OWN_HEADER in answer.data.decode()) == (404, True)
    assert users() == ["administrator", "intruder"]
    assert ask(sandbox, "POST", "/moto-api/reset", OWN).status == 200
    assert users() == ["administrator"]


@pytest.mark.parametrize(
    "path",
    ["/moto-api/", "/moto-api/data.json", "/moto-api/reset-auth", "/moto-api/seed?a=1", "/moto-api/config",
     "/moto-api/recorder/replay-recording", "/moto-api/state-manager/get-transition", "/favicon.ico"],
)  # fmt: skip
def test_motos_own_pages_are_closed(path: str, sandbox: Sandbox) -> None:
    for method in ("GET", "POST"):
        assert ask(sandbox, method, path, OWN).status == 404


def test_no_answer_lets_a_page_read_it(sandbox: Sandbox) -> None:
    """moto would answer everything with `Access-Control-Allow-Origin: *`."""
    asked = [("GET", f"/{BUCKET}/{KEY}", {}), ("POST", "/", signed(sandbox)), ("GET", "/moto-api/sandbox", OWN)]
    for method, path, headers in asked:
        answer = ask(sandbox, method, path, headers, CREATE_USER if method == "POST" else "")
        assert answer.status == 200
        assert [name for name in answer.headers if name.lower().startswith("access-control")] == []


def test_a_shared_sandbox_is_still_found(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(server.VARIABLE, sandbox.endpoint_url)
    assert server.running() == sandbox
