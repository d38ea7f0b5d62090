"""Answers with secrets in them that were damaged on their way: cut off, garbled, replaced, emptied, doubled."""

from tests.faults.rules import Fault
from tests.planted import HEX, JSON, PEM, PRESIGNED, SUBSCRIBE, XML

PLANTED = "\n".join([XML, JSON, PRESIGNED, SUBSCRIBE, PEM, HEX.join(["&Signature=", ""])]).encode()

Headers = list[tuple[str, str]]


def damaged(fault: Fault, status: str, headers: Headers, body: bytes) -> tuple[str, Headers, bytes]:
    """Return status, headers and body of an answer that met the fault; there are secrets wherever it has content.

    A cut ends in the middle of one.
    """
    kept = [(name, value) for name, value in headers if name.lower() not in ("content-length", "content-type")]
    text, middle = "text/xml", len(body) // 2
    match fault:
        case Fault.CUT:
            body = body[:middle] + PLANTED[: len(PLANTED) // 2 - 20]
        case Fault.GARBLED:
            body = b"\xff\x00<" + body[:middle] + PLANTED + b"\xfe{" + body[middle:]
        case Fault.PAGE:
            status, kept, text = "200 OK", [], "text/html"
            body = b'<!DOCTYPE html><html><body><a href="/login">Log in</a>' + PLANTED + b"</body></html>"
        case Fault.EMPTY:
            body = b""
        case Fault.WRONG_TYPE:
            text, body = "text/plain", b"OK " + PLANTED
        case _:
            body = PLANTED + body + PLANTED + body
    return status, [*kept, ("Content-Type", text), ("Content-Length", str(len(body)))], body
