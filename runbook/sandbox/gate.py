"""The door in front of moto: every request is recognised, authenticated and authorized before moto sees it."""

from __future__ import annotations

import io
import json
import re
import traceback
import uuid
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from functools import cached_property
from typing import Any, cast
from urllib.parse import parse_qs

from botocore.exceptions import UnknownServiceError
from flask import Flask
from moto import backends
from moto.core.parse import PROTOCOL_PARSERS
from moto.core.request import Request, determine_request_protocol
from moto.core.routing import get_service_router
from moto.core.serialize import XFormedAttributePicker, get_serializer_class
from moto.core.utils import get_service_model
from moto.moto_server import werkzeug_app
from moto.moto_server.werkzeug_app import BackendRequest, DomainDispatcherApplication
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response

from runbook.sandbox import cloudformation, scanner, sns_messages, stack_sets
from runbook.sandbox.authorization import require
from runbook.sandbox.callers import caller_of, credential_of
from runbook.sandbox.errors import MissingAuthentication, NotImplementedInSandbox, Refusal, SandboxFailure
from runbook.sandbox.operations import Scope, needs, refused_deletions
from runbook.sandbox.organizations import require_management
from runbook.sandbox.server import OWN_HEADER
from runbook.sandbox.sns import WITHOUT_SIGNATURE

Environ = dict[str, Any]
Application = Callable[[Environ, Any], Iterable[bytes]]

refused_objects: ContextVar[frozenset[str]] = ContextVar("refused_objects", default=frozenset())
"""ARNs of a DeleteObjects request that this request's caller may not delete."""

NAMES_IN_BOTO3 = {"awslambda": "lambda", "s3bucket_path": "s3"}
"""moto's modules that boto3 calls differently."""


_OF_S3 = re.compile(r"[a-z0-9.-]+\.s3\.[a-z0-9-]+\.amazonaws\.com")


def install() -> None:
    """Let moto look up its own modules once, and not tell browsers that every page may read its answers.

    It looks for them at every request, on the disk, for each of 180.
    """
    werkzeug_app.DISABLE_GLOBAL_CORS = True  # type: ignore[attr-defined]
    modules = tuple(backends.list_of_moto_modules())
    backends.list_of_moto_modules = lambda: iter(modules)


class Gate:
    """WSGI application: lets through to moto what is allowed, and answers the rest as AWS would."""

    def __init__(
        self, moto: DomainDispatcherApplication, *, about: Callable[[], Mapping[str, str]], reset: Callable[[], None]
    ) -> None:
        self._moto = moto
        self._about = about
        self._reset = reset
        self._too_late: Exception | None = None

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        # moto takes the account from this header whatever the credentials are.
        environ.pop("HTTP_X_MOTO_ACCOUNT_ID", None)
        if objection := _objection(environ):
            return Response(f"{objection}\n", status=403, content_type="text/plain")(environ, start_response)
        match environ["REQUEST_METHOD"], environ.get("PATH_INFO"):
            case "GET", "/moto-api/sandbox" if _is_ours(environ):
                return _json(self._about())(environ, start_response)
            case "POST", "/moto-api/reset" if _is_ours(environ):
                self._reset()
                return _json({"status": "ok"})(environ, start_response)
            case "GET", path if path == f"/{sns_messages.CERTIFICATE}" and _is_for_sns(environ):
                return Response(sns_messages.certificate(), content_type="binary/octet-stream")(environ, start_response)
        application = self._application(environ)
        service = NAMES_IN_BOTO3.get(str(application.service), str(application.service))  # type: ignore[attr-defined]
        if service == "moto_api":
            told = f"Nothing is here without the header {OWN_HEADER}, and moto's own pages are closed.\n"
            return Response(told, status=404, content_type="text/plain")(environ, start_response)
        call = Call(service, environ, _read_body(environ))
        try:
            cloudformation.advance()
            stack_sets.advance()
            self._raise_what_came_too_late()
            refused_objects.set(call.authorize())
            answer = application(
                {**environ, "wsgi.input": io.BytesIO(call.body)}, _with_request_id(service, start_response)
            )
        except Refusal as refusal:
            return call.answer(refusal)(environ, start_response)
        except Exception as error:  # noqa: BLE001
            traceback.print_exc()
            return call.answer(SandboxFailure(error))(environ, start_response)
        self._scan()
        return answer

    def _scan(self) -> None:
        """Let the scanner work. What it breaks at fails the next call: this one has its answer already."""
        try:
            scanner.advance()
        except Exception as error:  # noqa: BLE001
            self._too_late = error

    def _raise_what_came_too_late(self) -> None:
        error, self._too_late = self._too_late, None
        if error is not None:
            raise error

    def _application(self, environ: Environ) -> Flask:
        """moto finds the service in the signature. What opens an address of SNS's has none, but SNS's host."""
        if "HTTP_AUTHORIZATION" not in environ and _is_for_sns(environ):
            return self._moto.get_application({"PATH_INFO": "/sns_any/"})
        return self._moto.get_application(environ)


def _with_request_id(service: str, start_response: Any) -> Any:
    """AWS gives every answer an id, in a header; moto does so for most."""

    def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
        name = _request_id_header(service)
        if name not in {header.lower() for header, _ in headers}:
            headers = [*headers, (name, _new_id())]
        return start_response(status, headers, *more)

    return start


def _request_id_header(service: str) -> str:
    return "x-amz-request-id" if get_service_model(service).protocol == "rest-xml" else "x-amzn-requestid"


def _new_id() -> str:
    return str(uuid.uuid4())


class Call:
    """One request: which operation it asks for, by whom, and whether it may go on."""

    def __init__(self, service: str, environ: Environ, body: bytes) -> None:
        self.service = service
        self._environ = environ
        self.body = body
        self._operation: Any = None
        self._protocol = ""

    def authorize(self) -> frozenset[str]:
        """Raise a Refusal unless the caller may; return the objects that a DeleteObjects has to leave alone."""
        self._recognise()
        headers = self._headers()
        caller = caller_of(headers, service=self.service)
        name = str(self._operation.name)
        if caller.kind == "anonymous" and self.service == "sns" and name in WITHOUT_SIGNATURE:
            return frozenset()  # the token, or the subscription, says whether it may
        if caller.kind == "anonymous" and self.service != "s3":
            raise MissingAuthentication(self.service)
        parameters = self._parameters()
        credential = credential_of(headers)
        scope = Scope(caller, credential["region"] if credential else "us-east-1")
        for need in needs(self.service, name, parameters, scope):
            require(caller, need.action, need.resource, need.account, need.context, service=self.service)
        if self.service == "organizations":
            require_management(caller, name)
        if (self.service, name) == ("s3", "DeleteObjects"):
            return refused_deletions(parameters, caller)
        return frozenset()

    def answer(self, refusal: Refusal) -> Response:
        """The refusal in the protocol of the service, as moto would serialize it, with AWS's status."""
        if self._operation is None:
            return Response(f"{refusal.code}: {refusal.message}\n", status=refusal.status, content_type="text/plain")
        serializer = get_serializer_class(self.service, self._protocol)(
            operation_model=self._operation, value_picker=XFormedAttributePicker(response_transformers={})
        )
        answer = serializer.serialize(refusal)
        body = "" if self._environ["REQUEST_METHOD"] == "HEAD" else answer["body"]
        return Response(
            body,
            status=refusal.status,
            headers={**dict(answer["headers"]), _request_id_header(self.service): _new_id()},
        )

    def _recognise(self) -> None:
        request = self._request
        try:
            self._protocol = determine_request_protocol(get_service_model(self.service), request.content_type)
            self._operation, self._labels = get_service_router(self.service).match(request)
        except (NotFound, NotImplementedError, UnknownServiceError) as error:
            raise NotImplementedInSandbox(
                f"The sandbox does not recognise {request.method} {request.path} as an operation of {self.service}."
            ) from error

    def _parameters(self) -> Mapping[str, Any]:
        """The request's parameters under their names in boto3."""
        request = self._request
        parser = PROTOCOL_PARSERS[self._protocol](self._operation, map_type=dict)
        parameters: Mapping[str, Any] = parser.parse(
            {
                "method": request.method,
                "values": request.values,
                "headers": request.headers,
                "body": self.body,
                "url_path": request.path,
                "url_params": self._labels,
            }
        )
        return parameters or {}

    @cached_property
    def _request(self) -> Request:
        """A request of its own, whose body nobody else reads."""
        return BackendRequest({**self._environ, "wsgi.input": io.BytesIO(self.body)})

    def _headers(self) -> Mapping[str, str]:
        """The headers; a presigned URL's credential stands where a header's would."""
        headers = self._request.headers
        query = {name: values[0] for name, values in parse_qs(self._environ.get("QUERY_STRING", "")).items()}
        if "X-Amz-Credential" not in query:
            return cast(Mapping[str, str], headers)
        return {
            **dict(headers),
            "Authorization": f"Credential={query['X-Amz-Credential']}",
            "X-Amz-Security-Token": query.get("X-Amz-Security-Token", ""),
        }


def _objection(environ: Environ) -> str:
    """Return why a request is refused that a web page may have made; empty for any other.

    The sandbox believes every signature, so that a page could act in it as anybody. Browsers name the page in `Origin`,
    or say in `Sec-Fetch-Site` that there is one. Where a page's own host name leads here by a trick of DNS, `Host` has
    that name.
    """
    site = environ.get("HTTP_SEC_FETCH_SITE", "none")
    if "HTTP_ORIGIN" in environ or site != "none":
        return "The sandbox does not answer web pages."
    host, port = str(environ.get("HTTP_HOST", "")), environ["SERVER_PORT"]
    if host in {f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]")}:
        return ""
    # An address of AWS's that takes no credentials, opened here instead: in a message, or of a public object.
    public = environ["REQUEST_METHOD"] == "GET" and "HTTP_AUTHORIZATION" not in environ
    if public and (_is_for_sns(environ) or _OF_S3.fullmatch(host)):
        return ""
    return f"The sandbox is at 127.0.0.1:{port}, and does not answer requests to the host {host!r}."


def _is_ours(environ: Environ) -> bool:
    return f"HTTP_{OWN_HEADER.upper().replace('-', '_')}" in environ


def _is_for_sns(environ: Environ) -> bool:
    return sns_messages.is_host_of_sns(str(environ.get("HTTP_HOST", "")))


def _json(answer: Mapping[str, str]) -> Response:
    return Response(json.dumps(answer), content_type="application/json")


def _read_body(environ: Environ) -> bytes:
    """The whole body, chunked or not; afterwards `environ` describes one that is not chunked."""
    request = Request(environ)
    body = request.get_data(cache=False)
    environ.pop("HTTP_TRANSFER_ENCODING", None)
    environ["CONTENT_LENGTH"] = str(len(body))
    return body
