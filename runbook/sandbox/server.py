"""Runs the sandbox: moto's HTTP server on 127.0.0.1 with the world in it and AWS's rules in front of it.

moto keeps its state for the whole process, so there is one sandbox in a process. Notebooks and commands that find a
shared one through the variable `RUNBOOK_SANDBOX`, or one that a front end of this project has announced
(`runbook.running_sandbox`), use that instead of starting their own.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import socket
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.error import URLError
from urllib.request import ProxyHandler, Request, build_opener

from runbook.sandbox.startup import lean_import

if TYPE_CHECKING:
    from werkzeug.serving import BaseWSGIServer

Wrap = Callable[[Any], Any]
"""Takes the sandbox's WSGI application and gives the one to serve: the way for tests to stand in front of it."""

HOST = "127.0.0.1"
VARIABLE = "RUNBOOK_SANDBOX"
PRIVATE = "private"
"""Value of the variable with which no shared sandbox is looked for."""

OWN_HEADER = "X-Runbook-Sandbox"
"""Header that asking about the sandbox, and resetting it, takes. A page of another site cannot send it: a browser asks
for permission first, and gets none."""
REGION = "eu-west-1"
ACCESS_KEY_ID = "AKIASANDBOX000000000"
SECRET_ACCESS_KEY = "not-a-secret-only-for-the-sandbox-000000"


class SandboxError(RuntimeError):
    """The sandbox cannot be started or found; the message says why and what to do."""


@dataclass(frozen=True)
class Sandbox:
    """Where the sandbox is, and the made-up credentials of its management account's administrator.

    `instance` is a random text, another one for each sandbox that is started.
    """

    endpoint_url: str
    access_key_id: str = ACCESS_KEY_ID
    secret_access_key: str = SECRET_ACCESS_KEY
    instance: str = ""


@dataclass(frozen=True)
class _Running:
    sandbox: Sandbox
    server: BaseWSGIServer
    thread: threading.Thread
    process: int


class _Process:
    """What this process has started."""

    running: _Running | None = None
    lock = threading.RLock()


_this_process = _Process()


def start(port: int = 0, *, wrap: Wrap | None = None) -> Sandbox:
    """The sandbox of this process, in a daemon thread; started and seeded by the first call. Port 0: any free one.

    Later calls return the same sandbox as it is, changes included: `reset` brings the seeded world back. In a process
    that was forked from one with a sandbox, the first call starts a new one. `wrap` counts in the call that starts it.
    Raises SandboxError when the port is taken, when the sandbox of this process listens on another port, or when
    MOTO_ACCOUNT_ID is set.
    """
    with _this_process.lock:
        there = _this_process.running
        if there is not None and there.process == os.getpid():
            return _same_port(there.sandbox, port)
        if "MOTO_ACCOUNT_ID" in os.environ:
            raise SandboxError(
                "The environment variable MOTO_ACCOUNT_ID is set. It would make moto forget which account a role was "
                "assumed in. Unset it."
            )
        listening = _listen(port)
        instance = secrets.token_hex(16)
        with lean_import():
            server = _build(listening, wrap, instance)
        thread = threading.Thread(target=server.serve_forever, name="sandbox", daemon=True)
        thread.start()
        sandbox = Sandbox(f"http://{HOST}:{server.port}", instance=instance)
        _this_process.running = _Running(sandbox, server, thread, os.getpid())
        return sandbox


def running() -> Sandbox | None:
    """The shared sandbox that the variable RUNBOOK_SANDBOX names, None when it is not set, empty or `private`.

    Raises SandboxError when it is not `http://127.0.0.1:PORT`, or when no sandbox answers there.
    """
    url = os.environ.get(VARIABLE, "").rstrip("/")
    if url in ("", PRIVATE):
        return None
    if not re.fullmatch(r"http://(127\.0\.0\.1|localhost):[0-9]+", url):
        raise SandboxError(
            f"{VARIABLE} is {url!r}, expected http://127.0.0.1:PORT as `runbook sandbox` prints it, or `{PRIVATE}`."
        )
    try:
        return at(url)
    except SandboxError as error:
        raise SandboxError(
            f"{VARIABLE} is {url}, but {error} Start one with `runbook sandbox`, or unset {VARIABLE}."
        ) from error


def at(url: str) -> Sandbox:
    """Return the sandbox that answers at an address. Raises SandboxError when none does."""
    try:
        asked = Request(f"{url}/moto-api/sandbox", headers={OWN_HEADER: "1"})
        with build_opener(ProxyHandler({})).open(asked, timeout=5) as answer:
            found = json.load(answer)
        return Sandbox(url, found["access_key_id"], found["secret_access_key"], found["instance"])
    except (URLError, OSError, ValueError, LookupError, TypeError) as error:
        raise SandboxError(f"no sandbox answers there ({error}).") from error


def own() -> Sandbox | None:
    """Return the sandbox that this process has started, None when it has none."""
    there = _this_process.running
    return there.sandbox if there is not None and there.process == os.getpid() else None


def reset() -> None:
    """Bring the seeded world back in the sandbox of this process, with the same ids; a matter of milliseconds.

    Nothing that was made since remains, sessions included. Raises SandboxError when there is no sandbox.
    """
    if own() is None:
        raise SandboxError("There is no sandbox in this process to reset. start() one first.")
    from runbook.sandbox.world import seed

    seed()


def stop() -> None:
    """End the sandbox of this process; nothing happens when there is none."""
    with _this_process.lock:
        there, _this_process.running = _this_process.running, None
        if there is not None and there.process == os.getpid():
            there.server.shutdown()
            there.server.server_close()
            there.thread.join()


def variables(sandbox: Sandbox) -> dict[str, str]:
    """Environment variables that make boto3, the AWS CLI and `runbook` itself use this sandbox."""
    return {
        "AWS_ENDPOINT_URL": sandbox.endpoint_url,
        "AWS_ACCESS_KEY_ID": sandbox.access_key_id,
        "AWS_SECRET_ACCESS_KEY": sandbox.secret_access_key,
        "AWS_DEFAULT_REGION": REGION,
        VARIABLE: sandbox.endpoint_url,
    }


def serve(port: int = 0, started: Callable[[Sandbox], None] = lambda _: None) -> None:
    """For the command line: start, print the variables as `export` lines, and run until Ctrl-C (or a SIGTERM).

    `started` is called once the sandbox answers, before anything is printed.

    No handler runs when a signal comes, so that none can interrupt another: signals are blocked, in all threads that
    are started from here, and waited for. After the first one they are ignored, because the process is about to end.
    """
    ends = {signal.SIGINT, signal.SIGTERM}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    try:
        sandbox = start(port)
        started(sandbox)
        print_variables(sandbox)
        print(_HOW_TO_USE.format(url=sandbox.endpoint_url), file=sys.stderr, flush=True)
        signal.sigwait(ends)
        for number in ends:
            signal.signal(number, signal.SIG_IGN)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        stop()


def print_variables(sandbox: Sandbox) -> None:
    """Print the variables of a sandbox as `export` lines."""
    for name, value in variables(sandbox).items():
        print(f"export {name}={value}")
    sys.stdout.flush()


_HOW_TO_USE = """\
The sandbox answers at {url} until Ctrl-C. Commands and notebooks of this project find it.
For other tools, paste the lines above into another shell \
(and `unset AWS_SESSION_TOKEN` if it is set there):
you are then the administrator of the management account 999999999999. To work in account b:
    aws sts assume-role --role-arn arn:aws:iam::222222222222:role/OrganizationAccountAccessRole --role-session-name me
It is a simulation: nothing leaves this machine, and nothing is kept when it ends."""


def _same_port(sandbox: Sandbox, port: int) -> Sandbox:
    if port and not sandbox.endpoint_url.endswith(f":{port}"):
        raise SandboxError(
            f"The sandbox of this process answers at {sandbox.endpoint_url} already, port {port} was asked for. "
            "There is one sandbox in a process: stop() it first, or use the one that is there."
        )
    return sandbox


def _listen(port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, port))
        listening.listen(128)
    except OSError as error:
        listening.close()
        raise SandboxError(
            f"Port {port} on {HOST} cannot be used ({error.strerror}). Another sandbox may be running: "
            f"use it through {VARIABLE}, or choose another port (0 takes a free one)."
        ) from error
    return listening


def _build(listening: socket.socket, wrap: Wrap | None, instance: str) -> BaseWSGIServer:
    """moto with AWS's rules, the gate in front of it and the world in it."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
    from werkzeug.serving import make_server

    from runbook.sandbox import (
        authorization,
        bucketav,
        cloudformation,
        errors,
        gate,
        iam,
        kms,
        organizations,
        remembered,
        s3,
        sns,
        sqs,
        stack_sets,
        sts,
        world,
    )

    class QuietHandler(MotoRequestHandler):
        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            """Do not write a line for each request."""

    for rules in (
        authorization, bucketav, cloudformation, errors, gate, iam, kms, organizations, remembered, s3, sns, sqs,
        stack_sets, sts,
    ):  # fmt: skip
        rules.install()
    world.seed()
    about = {"access_key_id": ACCESS_KEY_ID, "secret_access_key": SECRET_ACCESS_KEY, "instance": instance}
    moto = DomainDispatcherApplication(create_backend_app)
    application: Any = gate.Gate(moto, about=lambda: about, reset=world.seed)
    if wrap:
        application = wrap(application)
    port = listening.getsockname()[1]
    with listening:  # the server works on a duplicate
        return make_server(HOST, port, application, threaded=True, request_handler=QuietHandler, fd=listening.fileno())
