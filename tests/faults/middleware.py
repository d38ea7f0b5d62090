"""Stands in front of the sandbox and lets calls go wrong as on AWS: by rule, at exactly the call that is meant."""

from __future__ import annotations

import io
import os
import socket
import struct
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from moto.core.errors import COMMON_ERROR_CODES
from moto.core.utils import get_service_model
from werkzeug.wrappers import Request

from runbook.sandbox import gate
from runbook.sandbox.callers import caller_of, credential_of
from runbook.sandbox.errors import JSON_SERVICES, ExpiredToken, Refusal
from tests.faults.damage import damaged
from tests.faults.rules import DAMAGES, At, Call, Fault, Record
from tests.world import without_ids

Environ = dict[str, Any]


class Middleware:
    """WSGI application around the sandbox's: transparent unless it is `watching`."""

    def __init__(self, application: Any) -> None:
        self.application = application
        self._lock = threading.RLock()
        self._moments = 0
        self.lift()
        COMMON_ERROR_CODES.extend(code for code in _CODES if code not in COMMON_ERROR_CODES)

    def moment(self) -> float:
        """How many calls there have been: a clock for the sandbox that does not depend on anything else."""
        return float(self._moments)

    def aside(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        """For a door without faults."""
        with self._lock:
            self._moments += 1
        answer: Iterable[bytes] = self.application(environ, start_response)
        return answer

    def lift(self) -> None:
        """Be transparent again."""
        with self._lock:
            self._record: Record | None = None
            self._rules: tuple[Any, ...] = ()
            self._attempts: dict[str, tuple[Call, int]] = {}
            self._occurrences: Counter[tuple[str, ...]] = Counter()

    @contextmanager
    def watching(self, *rules: Any) -> Iterator[Record]:
        """Inside, every call is recorded and meets the rules; occurrences are counted anew."""
        self.lift()
        with self._lock:
            self._record, self._rules = Record(), rules
            record = self._record
        try:
            yield record
        finally:
            self.lift()

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        with self._lock:
            record, rules = self._record, self._rules
        path = environ.get("PATH_INFO", "")
        if record is None or path.startswith("/moto-api") or path.endswith(".pem"):  # what is no call of AWS's API
            return self.aside(environ, start_response)
        body = Request(environ).get_data(cache=False)
        environ.pop("HTTP_TRANSFER_ENCODING", None)
        environ |= {"CONTENT_LENGTH": str(len(body)), "wsgi.input": io.BytesIO(body)}
        asked = _recognised(self.application, environ, body)
        with self._lock:
            self._moments += 1
            call, attempt = self._name(asked, environ, record)
            fault = next((found for rule in rules if (found := rule.fault(call, attempt))), None)
            actions = [rule for rule in rules if isinstance(rule, At) and rule.call == call and not rule.done]
            for rule in actions:
                rule.done = True
            if fault:
                record.met[fault] += 1
        for rule in actions:
            if rule.before:
                rule.before()
        if fault is Fault.RESET:
            _reset(environ)
        if fault and fault is not Fault.REPLY_LOST and fault not in DAMAGES:
            refused: Iterable[bytes] = asked.answer(_refusal(fault, call.service))(environ, start_response)
            return refused
        status: list[str] = []

        answered: list[tuple[str, str]] = []

        def started(code: str, headers: Any, *more: Any) -> Any:
            status.append(code)
            if fault in DAMAGES:
                answered[:] = headers
                return None
            return start_response(code, headers, *more)

        chunks = list(self.application(environ, started))
        with self._lock:
            if status[-1] < "400":
                record.carried_out.append(call)
        for rule in actions:
            if rule.after:
                rule.after()
        if fault is Fault.REPLY_LOST:
            _reset(environ)
        if fault in DAMAGES:
            code, headers, body = damaged(fault, status[-1], answered, b"".join(chunks))
            start_response(code, headers)
            return [body]
        return chunks

    def _name(self, asked: gate.Call, environ: Environ, record: Record) -> tuple[Call, int]:
        """The call, and which attempt at it this is."""
        invocation = environ.get("HTTP_AMZ_SDK_INVOCATION_ID", "")
        if invocation in self._attempts:
            call, attempt = self._attempts[invocation]
            self._attempts[invocation] = (call, attempt + 1)
            return call, attempt + 1
        named = (asked.service, str(asked._operation.name), _account(environ), _resource(asked))
        self._occurrences[named] += 1
        call = Call(*named, self._occurrences[named])
        self._attempts[invocation] = (call, 1)
        record.calls.append(call)
        return call, 1


# --- what is asked for -----------------------------------------------------------------------------------------------

_NAMED_BY = (
    "Bucket Key RoleArn RoleName PolicyName PolicyArn StackName KeyId AccountId ChildId TargetId Filter PolicyId "
    "TableName QueueName QueueUrl TopicArn SubscriptionArn"
).split()
"""The parameters that say what a call is about."""


def _recognised(application: gate.Gate, environ: Environ, body: bytes) -> gate.Call:
    """The request as the gate understands it; the gate offers that only together with its verdict."""
    found = application._moto.get_application(environ)
    service = str(found.service)  # type: ignore[attr-defined]
    call = gate.Call(gate.NAMES_IN_BOTO3.get(service, service), environ, body)
    call._recognise()
    return call


def _resource(asked: gate.Call) -> str:
    """What it is about; a stack's id without its end, which is another one each time the stack is created."""
    parameters = asked._parameters()
    return without_ids(" ".join(str(parameters[name]) for name in _NAMED_BY if name in parameters))


def _account(environ: Environ) -> str:
    credential = credential_of({"Authorization": environ.get("HTTP_AUTHORIZATION", "")})
    try:
        return caller_of(credential["key"]).account if credential else ""
    except Refusal:
        return ""


# --- what happens to it ----------------------------------------------------------------------------------------------

_CODES = (
    "InternalError InternalFailure KMSInternalException ServiceException ServiceUnavailable SlowDown Throttling "
    "ThrottlingException TooManyRequestsException ServiceUnavailableException KMSThrottlingException"
).split()


def _refusal(fault: Fault, service: str) -> Refusal:
    """What the service says, with its own code and status."""
    in_s3 = get_service_model(service).protocol == "rest-xml"
    match fault:
        case Fault.EXPIRED:
            return ExpiredToken("s3" if in_s3 else service)
        case Fault.THROTTLED if in_s3:
            return Refusal("SlowDown", "Please reduce your request rate.", 503)
        case Fault.THROTTLED if service == "organizations":
            return Refusal("TooManyRequestsException", "AWS Organizations can't process your request right now.", 400)
        case Fault.THROTTLED if service in JSON_SERVICES:
            return Refusal("ThrottlingException", "Rate exceeded", 400)
        case Fault.THROTTLED:
            return Refusal("Throttling", "Rate exceeded", 400)
        case Fault.BROKEN if service == "kms":
            return Refusal("KMSInternalException", "The request could not be processed.", 500)
        case Fault.BROKEN if service == "organizations":
            return Refusal("ServiceException", "AWS Organizations can't complete your request.", 500)
        case Fault.BROKEN:
            code = "InternalError" if in_s3 else "InternalFailure"
            return Refusal(code, "We encountered an internal error. Please try again.", 500)
        case _:
            code = "ServiceUnavailableException" if service in JSON_SERVICES else "ServiceUnavailable"
            return Refusal(code, "Service is unable to handle request.", 503)


def _reset(environ: Environ) -> NoReturn:
    """Send RST instead of an answer: what a client sees of a load balancer that restarts, or of a broken line."""
    connection: socket.socket = environ["werkzeug.socket"]
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    # The server's handler goes on to read the next request: it gets the end of another connection, and stops.
    ended, other = socket.socketpair()
    with ended, other:
        os.dup2(ended.fileno(), connection.fileno())
    raise ConnectionResetError("as the test wants it")
