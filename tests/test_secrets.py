"""Secrets go out of texts in whatever form they stand there, and nothing else does."""

import html
import json
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook import secrets
from runbook.environment import Environment
from runbook.errors import RunbookError
from runbook.parameters import project_root
from runbook.sandbox import server
from runbook.sandbox.server import Sandbox
from runbook.secrets import MARK, ShownOnce, guard, redact, remember
from tests.planted import HEX, JSON, KEY, KEY_ID, PEM, PRESIGNED, SUBSCRIBE, TOKEN, XML, leaked

TEXTS = {
    "xml": XML,
    "json": JSON,
    "python": repr(json.loads(JSON)),
    "export": f"export AWS_ACCESS_KEY_ID={KEY_ID}\n"
    f"export AWS_SECRET_ACCESS_KEY={KEY}\nexport AWS_SESSION_TOKEN={TOKEN}\n",
    "profile": f"aws_access_key_id = {KEY_ID}\naws_secret_access_key = {KEY}\naws_session_token = {TOKEN}\n",
    "beside its name": f"the SecretAccessKey {KEY} was given",
    "beside its id": f"{KEY_ID},{KEY}",
    "headers": f"{{'Authorization': b'AWS4-HMAC-SHA256 Credential={KEY_ID}/x, SignedHeaders=host, Signature={HEX}', "
    f"'X-Amz-Security-Token': b'{TOKEN}'}}",
    "presigned": PRESIGNED,
    "older presigned": f"https://b.s3.amazonaws.com/key"
    f"?AWSAccessKeyId={KEY_ID}&Signature={quote(KEY, safe='')}&Expires=1",
    "confirmation": SUBSCRIBE,
    "message": json.dumps({"Type": "SubscriptionConfirmation", "Token": HEX + HEX, "SubscribeURL": SUBSCRIBE}),
    "private key": PEM,
    "bearer": f"Authorization: Bearer {TOKEN}",
    "sso": json.dumps({"accessToken": TOKEN, "refreshToken": TOKEN, "clientSecret": KEY, "expiresAt": "2999"}),
    "jupyter": f"http://127.0.0.1:8888/lab?token={HEX[:48]}",
}
"""A text of each kind that secrets are known to stand in."""

ENCODINGS: dict[str, Callable[[str], str]] = {
    "as it is": lambda text: text,
    "json": json.dumps,
    "json in json": lambda text: json.dumps(json.dumps({"body": text})),
    "xml": html.escape,
    "address": lambda text: quote(text, safe=""),
    "bytes": lambda text: repr(text.encode()),
    "escaped bytes": lambda text: text.replace("<", "\\x3c").replace(">", "\\x3e").replace("/", "\\x2f"),
    "slashes": lambda text: text.replace("/", "\\/"),
}


@pytest.fixture(autouse=True)
def _knows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "_KNOWN", secrets._Known())


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("name", TEXTS)
def test_a_secret_is_taken_out_by_its_form_whole_or_cut_off_anywhere(name: str, encoding: str) -> None:
    text = ENCODINGS[encoding](TEXTS[name])
    for end in (*range(0, len(text), 7), len(text)):
        clean = redact(text[:end])
        assert not leaked(clean), text[:end]
        assert redact(clean) == clean
    assert MARK in redact(text)


def test_what_stands_around_a_secret_stays() -> None:
    assert redact(XML).endswith("<Expiration>2999-01-01T00:00:00Z</Expiration></Credentials>")
    assert json.loads(redact(JSON)) == {
        "AccessKeyId": MARK,
        "SecretAccessKey": MARK,
        "SessionToken": MARK,
        "Expiration": "2999",
    }
    assert redact(SUBSCRIBE) == SUBSCRIBE.replace(HEX + HEX, MARK)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_json_stays_json(encoding: str) -> None:
    texts = [ENCODINGS[encoding](text) for text in TEXTS.values()]
    remember(KEY)
    assert len(json.loads(redact(json.dumps(texts)))) == len(texts)


@given(st.recursive(st.text() | st.sampled_from([*TEXTS.values()]), st.lists))
def test_any_json_stays_json_and_is_clean_at_the_first_time(value: Any) -> None:
    text = redact(json.dumps(value))
    json.loads(text)
    assert redact(text) == text
    assert not leaked(text)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_secret_that_is_known_is_taken_out_wherever_it_stands(encoding: str) -> None:
    remember(KEY)
    remember(TOKEN)
    for value in (KEY, TOKEN):
        written = ENCODINGS["as it is" if encoding == "escaped bytes" else encoding](value)
        for text in (f"so {written} stands here", f"cut: {written[:12]}", f"tail: {written[-30:]} of it"):
            if len(written) - len(value) < 100:
                assert not leaked(redact(text), (value,)), text
    assert redact("no word of it, and /nothing/else=here") == "no word of it, and /nothing/else=here"


def test_short_values_are_not_remembered_because_they_are_words() -> None:
    remember("bucketav")
    remember(None)
    assert redact("stack bucketav") == "stack bucketav"


def test_ordinary_texts_stay_to_the_letter() -> None:
    """Everything that the project shows, stores and is told: notebooks with their outputs, parameters, templates."""
    root, names = project_root(), ("notebooks", "params", "tests/data", "runbook/sandbox/add_ons", "runbook/review")
    files = [file for name in names for file in (root / name).rglob("*") if file.suffix in _DATA]
    assert len(files) > 60
    for file in files:
        text = file.read_text(encoding="utf-8")
        assert redact(text) == text, file


_DATA = (".ipynb", ".json", ".jsonl", ".yaml", ".yml", ".csv", ".md", ".css")


@pytest.mark.parametrize(
    "text",
    [
        "the SessionToken expired yesterday",
        '["sts:GetSessionToken", "sts:AssumeRole", "iam:CreateAccessKey"]',
        '{"NextToken": "page-2", "ClientRequestToken": "bucketav-runbook-6f1f1c2e-8a39-4c58-b8ec-0f3d1cf1d0f7"}',
        "arn:aws:sts::111111111111:assumed-role/AROAQWERTYUIOPASDFGH/session",
        f"sha256 {HEX}",
        "The security token included in the request is invalid.",
        '"Condition": {"Null": {"s3:x-amz-server-side-encryption": "true"}}',
    ],
)
def test_what_only_looks_like_one_stays(text: str) -> None:
    assert redact(text) == text


HARD = {
    "policies": '{"Effect":"Allow","Action":["s3:GetObject"],"Resource":"arn:aws:s3:::bucket/*"},',
    "names": "SessionToken" + " " * 20,
    "addresses": "&Token=",
    "escapes": "%25%25%25%25%2526Token",
    "backslashes": "\\" * 20 + "nSecretAccessKey",
    "headers": "authorization: ",
    "signatures": "AWS4-HMAC-SHA256 ",
    "keys": "-----BEGIN PRIVATE KEY-----",
    "ids": "AKIAABCDEFGHIJKLMNOP ",
    "one word": "abcDEF12/+",
    "known": TOKEN[30:48],
}


@pytest.mark.parametrize("name", HARD)
def test_it_takes_time_in_proportion_to_the_text(name: str) -> None:
    """Up to 10 MB of what is hardest: seconds; a tenth of it about a tenth of that."""
    for number in range(300):
        remember(f"{number:04}{TOKEN}")

    def seconds(size: int) -> float:
        text, began = HARD[name] * (size // len(HARD[name])), time.process_time()
        redact(text)
        return time.process_time() - began

    size = 10_000_000 if name in ("policies", "known") else 3_000_000
    small, large = seconds(size // 10), seconds(size)
    assert large < 10
    assert large < max(0.5, small * 25)


def test_errors_of_ours_hold_no_secret_and_a_traceback_of_any_shows_none() -> None:
    assert not leaked(str(RunbookError(f"It said {XML}")))
    try:
        try:
            raise ValueError(XML)
        except ValueError as cause:
            raise RuntimeError(JSON) from cause
    except RuntimeError as error:
        shown = secrets.trace(error)
    assert not leaked(shown)
    assert "RuntimeError" in shown
    assert "ValueError" in shown
    assert "test_secrets.py" in shown


def test_a_line_that_is_shown_once_is_kept_without_its_secret() -> None:
    line = ShownOnce(f"open {SUBSCRIBE}", "open the address that was shown")
    assert secrets.shown(line) == f"open {SUBSCRIBE}"
    assert redact(line) == "open the address that was shown"
    assert not leaked(secrets.shown(f"open {SUBSCRIBE}"))


@pytest.fixture
def guarded(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    factory, hook = logging.getLogRecordFactory(), threading.excepthook
    guard()
    yield
    logging.setLogRecordFactory(factory)
    threading.excepthook = hook


@pytest.mark.parametrize("logger", ["botocore.parsers", "urllib3.connectionpool", "papermill", "traitlets"])
def test_loggers_write_no_secret(guarded: None, caplog: pytest.LogCaptureFixture, logger: str) -> None:
    with caplog.at_level(logging.DEBUG, logger):
        try:
            raise ValueError(XML)
        except ValueError:
            logging.getLogger(logger).exception("Response body:\n%r", XML.encode(), stack_info=True)
        logging.getLogger(logger).debug("an ordinary %s", "line")
        logging.getLogger(logger).debug("too few %s %s", JSON)  # noqa: PLE1206 (as it happens elsewhere)
    assert not leaked(caplog.text)
    assert "an ordinary line" in caplog.text
    assert "ValueError" in caplog.text
    assert caplog.records[1].args == ("line",)


@pytest.mark.parametrize("where", ["process", "thread"])
def test_what_nobody_caught_is_written_without_secrets(where: str) -> None:
    fails = f"def fail():\n    raise ValueError({XML!r})\n"
    runs = {"process": "fail()", "thread": "import threading; t = threading.Thread(target=fail); t.start(); t.join()"}
    code = f"from runbook.secrets import guard\nguard()\n{fails}{runs[where]}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=project_root())
    assert done.returncode == (1 if where == "process" else 0)
    assert "ValueError" in done.stderr
    assert "in fail" in done.stderr
    assert not leaked(done.stderr)


@pytest.mark.parametrize(
    "error",
    [RuntimeError(XML), KeyError(JSON), RunbookError(XML), OSError(5, PRESIGNED)],
    ids=lambda error: type(error).__name__,
)
def test_the_command_ends_with_no_secret_whatever_is_raised(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from runbook import cli

    def fail(*_: object, **__: object) -> None:
        raise error from ValueError(SUBSCRIBE)

    monkeypatch.setattr(cli, "command", fail)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = capsys.readouterr().err
    assert ended.value.code in (cli.FAILED, cli.BAD_INPUT)
    assert not leaked(said)
    if not isinstance(error, RunbookError | OSError):
        assert "in fail" in said
        assert "ValueError" in said


def test_a_parser_error_of_botocore_is_told_without_the_answer_that_it_quotes() -> None:
    """From calls that botocore makes itself, for credentials for example."""
    from botocore.parsers import ResponseParserError

    from runbook.aws_errors import AwsRefused, in_words, told_in_words, unanswered

    error = ResponseParserError(f"Unable to parse response, invalid XML received. Further retries may succeed:\n{XML}")
    with pytest.raises(AwsRefused) as raised, told_in_words():
        raise error
    assert unanswered(error)
    assert "could not be read" in str(in_words(error))
    assert not leaked(str(raised.value))


def test_sessions_remember_the_secrets_that_they_sign_with(environment: Environment) -> None:
    key_of_sandbox = server.SECRET_ACCESS_KEY
    assert redact(key_of_sandbox) == key_of_sandbox
    environment.identity("222222222222")
    session = environment._sessions.of("222222222222")
    credentials = session.get_credentials()
    assert credentials
    token, key = credentials.get_frozen_credentials().token, credentials.get_frozen_credentials().secret_key
    assert token
    for value in (key_of_sandbox, key, token):
        assert value
        assert redact(f"it is {value} here") == f"it is {MARK} here"


def test_the_sandbox_still_prints_its_own_credentials(sandbox: Sandbox) -> None:
    """They are made up, and other tools need them."""
    remember(server.SECRET_ACCESS_KEY)
    command = [sys.executable, "-c", "from runbook.cli import main; main()", "sandbox", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as running:
        assert running.stdout
        lines = [running.stdout.readline() for _ in server.variables(sandbox)]
        running.terminate()
    assert f"export AWS_SECRET_ACCESS_KEY={server.SECRET_ACCESS_KEY}\n" in lines
