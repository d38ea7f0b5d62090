"""A light stand-in for AWS over HTTP: answers what the way through 05-bucket-policy asks, keeps policies, and no more.

Its own process, one thread, raw bytes: a call costs it a tenth of what boto3 spends on making one, so that what is
measured is the caller. It checks nothing; what AWS would refuse is the sandbox's business. It listens on this machine
only, and remembers every call, so that a bare loop can make the same ones again.
"""

import argparse
import asyncio
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl

from tests.bench import world

HEADERS_END = b"\r\n\r\n"
CREDENTIAL = re.compile(rb"Credential=([^/]+)/\d+/([^/]+)/([^/]+)/")
LENGTH = re.compile(rb"\r\n[Cc]ontent-[Ll]ength: *(\d+)")
TARGET = re.compile(rb"\r\n[Xx]-[Aa]mz-[Tt]arget: *\w+\.(\w+)")
ACCOUNT_ID = re.compile(rb"\r\n[Xx]-[Aa]mz-[Aa]ccount-[Ii]d: *(\d+)")

ENCRYPTION = (
    "<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault>{}"
    "</ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>"
)
ALL_BLOCKED = (
    "<PublicAccessBlockConfiguration><BlockPublicAcls>true</BlockPublicAcls><IgnorePublicAcls>true</IgnorePublicAcls>"
    "<BlockPublicPolicy>true</BlockPublicPolicy><RestrictPublicBuckets>true</RestrictPublicBuckets>"
    "</PublicAccessBlockConfiguration>"
)
NO_POLICY = "<Error><Code>NoSuchBucketPolicy</Code><Message>The bucket policy does not exist</Message></Error>"

Call = tuple[str, str, str, str, Mapping[str, Any]]
"""Service, account, Region, operation, parameters: what it takes to make a call again with boto3."""


class State:
    """What can change, and what was asked."""

    def __init__(self, latency: float) -> None:
        self.latency = latency
        self.calls: list[Call] = []
        self.bucket_policies: dict[str, str | None] = {}
        self.key_policies: dict[str, str] = {}
        self.keep()

    def reset(self) -> None:
        """Everything as it was at the start."""
        self.bucket_policies, self.key_policies = {}, {}
        self.keep()
        self.calls.clear()

    def keep(self) -> None:
        """Put a copy of what there is by."""
        self.kept = dict(self.bucket_policies), dict(self.key_policies)

    def swap(self) -> None:
        """Exchange what there is for what was put by."""
        now = self.bucket_policies, self.key_policies
        (self.bucket_policies, self.key_policies), self.kept = self.kept, now

    def bucket_policy(self, name: str) -> str | None:
        """The policy of a bucket; what nobody has written yet follows from its name."""
        if name not in self.bucket_policies:
            return world.bucket_policy(name)
        return self.bucket_policies[name]

    def key_policy(self, arn: str) -> str:
        """The policy of a key."""
        return self.key_policies.get(arn) or world.key_policy(arn)


class Connection(asyncio.Protocol):
    """One connection of a client: requests one after the other."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        for head, body in self.requests():
            answer = self.answer(head, body)
            if self.state.latency:
                asyncio.get_running_loop().call_later(self.state.latency, self.transport.write, answer)
            else:
                self.transport.write(answer)

    def requests(self) -> Iterator[tuple[bytes, bytes]]:
        """Every whole request that has arrived: its head and its body."""
        while (end := self.buffer.find(HEADERS_END)) >= 0:
            found = LENGTH.search(self.buffer, 0, end)
            total = end + len(HEADERS_END) + (int(found[1]) if found else 0)
            if len(self.buffer) < total:
                return
            head, body = self.buffer[:end], self.buffer[end + len(HEADERS_END) : total]
            self.buffer = self.buffer[total:]
            yield head, body

    def answer(self, head: bytes, body: bytes) -> bytes:
        method, target, _ = head.split(b" ", 2)
        if target.startswith(b"/_"):
            return self.own(target)
        found = CREDENTIAL.search(head)
        assert found, head
        key, region, service = (part.decode() for part in found.groups())
        account = world.account_of(key)
        if service == "s3":
            return self.s3(method.decode(), target.decode(), head, body, account, region)
        if action := TARGET.search(head):
            return self.json(service, action[1].decode(), json.loads(body), account, region)
        return self.query(service, dict(parse_qsl(body.decode())), account, region)

    def own(self, target: bytes) -> bytes:
        """What the bench itself asks for: the calls since the last time, or another state."""
        if target == b"/_calls":
            calls = json.dumps(self.state.calls)
            self.state.calls.clear()
            return _response("200 OK", calls, "application/json")
        {b"/_reset": self.state.reset, b"/_keep": self.state.keep, b"/_swap": self.state.swap}[target]()
        return _response("200 OK", "", "text/plain")

    def s3(self, method: str, target: str, head: bytes, body: bytes, account: str, region: str) -> bytes:
        path, _, question = target.partition("?")
        if path.startswith("/v20180820/"):
            found = ACCOUNT_ID.search(head)
            assert found, head
            parameters = {"AccountId": found[1].decode()}
            self.state.calls.append(("s3control", account, region, "get_public_access_block", parameters))
            return _xml(ALL_BLOCKED)
        bucket = path[1:]
        operation, answer, more = self.bucket(method, question, bucket, body)
        self.state.calls.append(
            ("s3", account, region, operation, {"Bucket": bucket, "ExpectedBucketOwner": account, **more})
        )
        return answer

    def bucket(self, method: str, question: str, name: str, body: bytes) -> tuple[str, bytes, dict[str, str]]:
        """The operation, its answer, and its parameters besides the bucket's name."""
        policies = self.state.bucket_policies
        match method, question:
            case "HEAD", _:
                return "head_bucket", _response("200 OK", "", "", f"x-amz-bucket-region: {world.region_of(name)}"), {}
            case "GET", "encryption":
                return "get_bucket_encryption", _xml(ENCRYPTION.format(_encryption(name))), {}
            case "GET", "publicAccessBlock":
                return "get_public_access_block", _xml(ALL_BLOCKED), {}
            case "GET", "policy":
                policy = self.state.bucket_policy(name)
                if policy is None:
                    return "get_bucket_policy", _response("404 Not Found", NO_POLICY, "application/xml"), {}
                return "get_bucket_policy", _response("200 OK", policy, "application/json"), {}
            case "PUT", "policy":
                policies[name] = body.decode()
                return "put_bucket_policy", _response("204 No Content", "", ""), {"Policy": body.decode()}
            case "DELETE", "policy":
                policies[name] = None
                return "delete_bucket_policy", _response("204 No Content", "", ""), {}
        raise NotImplementedError(f"{method} {question}")

    def json(self, service: str, action: str, asked: dict[str, Any], account: str, region: str) -> bytes:
        self.state.calls.append((service, account, region, _snake(action), asked))
        if service == "kms":
            arn = asked["KeyId"]
            if action == "PutKeyPolicy":
                self.state.key_policies[arn] = asked["Policy"]
            answer = {
                "DescribeKey": {"KeyMetadata": world.key_metadata(arn)},
                "GetKeyPolicy": {"Policy": self.state.key_policy(arn)},
                "PutKeyPolicy": {},
            }[action]
        else:
            answer = world.organization(action, asked)
        return _response("200 OK", json.dumps(answer), "application/x-amz-json-1.1")

    def query(self, service: str, asked: dict[str, str], account: str, region: str) -> bytes:
        action = asked.pop("Action")
        asked.pop("Version")
        self.state.calls.append((service, account, region, _snake(action), asked))
        result = world.query_result(action, asked, account)
        return _xml(f"<{action}Response><{action}Result>{result}</{action}Result></{action}Response>")


def _encryption(bucket: str) -> str:
    key = world.key_of(bucket)
    if key is None:
        return "<SSEAlgorithm>AES256</SSEAlgorithm>"
    return f"<SSEAlgorithm>aws:kms</SSEAlgorithm><KMSMasterKeyID>{key}</KMSMasterKeyID>"


def _xml(body: str) -> bytes:
    return _response("200 OK", body, "application/xml")


def _response(status: str, body: str, content_type: str, *headers: str) -> bytes:
    content = body.encode()
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(content)}", "x-amz-request-id: BENCH", *headers]
    lines += [f"content-type: {content_type}"] if content_type else []
    return "\r\n".join([*lines, "", ""]).encode() + content


def _snake(action: str) -> str:
    """`describe_stacks` of `DescribeStacks`, as boto3 spells it."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", action).lower()


async def serve(latency: float) -> None:
    """Answer until the process is ended; says on standard output where."""
    loop = asyncio.get_running_loop()
    state = State(latency)
    server = await loop.create_server(lambda: Connection(state), "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each answer")
    asyncio.run(serve(parser.parse_args().latency))
