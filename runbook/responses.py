"""Recognize answers that are not AWS's, or not whole, before botocore makes something of them.

botocore raises errors that quote such an answer, secrets included, or takes it for an empty one: an empty body, or the
page of a captive portal, reads as "there is none" in the JSON protocols. Here it becomes an answer with status 502,
without its content. So botocore repeats the call as it does for any other 5xx, and everything that deals with those
deals with this.
"""

import json
import re
from datetime import datetime
from functools import cache
from typing import Any
from xml.etree import ElementTree

from botocore.model import OperationModel
from botocore.parsers import ResponseParserFactory
from botocore.utils import parse_timestamp

CODE = "UnreadableAnswer"
"""The error code of an answer that cannot be read. AWS has none of that name."""

STATUS = 502

REQUEST_IDS = ("x-amzn-requestid", "x-amz-request-id", "x-amzn-request-id")
"""Headers of which each answer of AWS carries one, whatever its status. Source: botocore, `botocore.parsers`."""


_ISO_8601 = re.compile(r"\d{4}-\d\d-\d\dT.*")


@cache
def parsers() -> ResponseParserFactory:
    """Return botocore's parsers of answers. A session has them as its component `response_parser_factory`.

    They read times with `datetime.fromisoformat`. botocore's dateutil takes half of the time for a page of events.
    """
    made = ResponseParserFactory()
    made.set_parser_defaults(timestamp_parser=_parse_timestamp)
    return made


def _parse_timestamp(value: Any) -> datetime:
    """Parse a time as botocore does, ISO 8601 faster. Raises ValueError."""
    if isinstance(value, str) and _ISO_8601.fullmatch(value):
        try:
            return datetime.fromisoformat(value)
        except ValueError:
            pass  # dateutil understands more of them
    return parse_timestamp(value)


def watch(client: Any) -> None:
    """Have every answer to a call of `client` examined before botocore reads it."""
    service = client.meta.service_model.service_id.hyphenize()
    client.meta.events.register_first(f"before-parse.{service}.*", _examine)
    # botocore looks at the status of the connection, not at the one that a handler has set. Its own handler for
    # answers of S3 with status 200 that say that they failed does the same.
    client.meta.events.register_first(f"needs-retry.{service}.*", _adopt_status)


def _examine(
    operation_model: OperationModel, response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: Any
) -> None:
    if objection := _objection(operation_model, response_dict):
        response_dict |= {"status_code": STATUS, "body": b""}
        customized_response_dict["Error"] = {"Code": CODE, "Message": objection}


def _adopt_status(response: tuple[Any, dict[str, Any]] | None, **_: Any) -> None:
    if response is not None and response[1].get("Error", {}).get("Code") == CODE:
        response[0].status_code = STATUS


def _objection(operation: OperationModel, response: dict[str, Any]) -> str:
    """Return why an answer cannot be used, without a word of its content; nothing for one that can be."""
    if not any(name in response["headers"] for name in REQUEST_IDS):
        return f"it has no request id of AWS (status {response['status_code']})"
    succeeded = response["status_code"] < 300
    if operation.has_event_stream_output or (operation.has_streaming_output and succeeded):
        return ""  # its content is whatever somebody has stored, and is read later
    if operation.http["method"] == "HEAD":
        return ""  # it has no content
    try:
        if succeeded:
            _read_answer(operation, response["body"])
        else:
            _read_error(operation, response["body"])
        protocol = operation.service_model.resolved_protocol
        parsers().create_parser(protocol).parse(dict(response), operation.output_shape)  # type: ignore[arg-type]
    except Exception as error:  # noqa: BLE001 (whatever a parser does with what it was not made for)
        return (
            str(error) if isinstance(error, _Unreadable) else "its content does not have the form that it should have"
        )
    return ""


class _Unreadable(Exception):
    """An answer's content is not what it should be; says so without quoting it."""


def _read_answer(operation: OperationModel, body: bytes) -> None:
    shape, protocol = operation.output_shape, operation.service_model.resolved_protocol
    members = shape.members.values() if shape else ()
    if protocol != "query" and all(member.serialization.get("location") for member in members):
        return  # there is nothing that is read in it
    payload = shape.members.get(shape.serialization.get("payload", "")) if shape else None
    if payload and payload.type_name in ("string", "blob"):
        # The one such answer of S3 that is read here is a bucket's policy, which S3 takes as JSON only.
        _read_json(body)
    elif protocol in ("json", "rest-json"):
        _read_json(body)
    elif protocol in ("query", "rest-xml"):
        _read_xml(body)


def _read_error(operation: OperationModel, body: bytes) -> None:
    if operation.service_model.resolved_protocol in ("json", "rest-json"):
        _read_json(body)
    else:
        _read_xml(body)


def _read_json(body: bytes) -> None:
    if not body:
        raise _Unreadable("it is empty")
    try:
        found = json.loads(body)
    except ValueError:
        raise _Unreadable("its content is not JSON, or was cut off") from None
    if not isinstance(found, dict):
        raise _Unreadable("its content is not a JSON object")


def _read_xml(body: bytes) -> None:
    if not body:
        raise _Unreadable("it is empty")
    try:
        root = ElementTree.fromstring(body)
    except ElementTree.ParseError:
        raise _Unreadable("its content is not XML, or was cut off") from None
    if root.tag.rpartition("}")[2].lower() == "html":
        raise _Unreadable("it is a web page")
