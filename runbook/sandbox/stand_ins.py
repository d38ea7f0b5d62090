"""Stand-ins for add-ons: they do with the credentials of an installed add-on's role what the add-on does.

Over HTTP like any client, so that every call is allowed, or not, by what the policies of the world say at that time.
Known of the add-ons: which files they move and what the documentation has buckets grant to their roles. Assumed: which
calls they make in which order, that a file keeps its name, and that they send no ACL. What S3 or KMS refuses is
raised as boto3's ClientError, after whatever was done before it: there is no undoing of a half-moved file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from typing import Any
from urllib.parse import urlencode

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import ClientError

from runbook.sandbox.server import REGION, Sandbox

FILES_OF = {"move-clean": "clean", "move-no": "no", "quarantine": "infected"}
"""Add-on -> the scan result of the files that it moves."""

ROLES = ("MoveRoleArn", "QuarantineRoleArn", "RoleArn")
"""The outputs that hold the role's ARN, one of which every add-on has."""

ROLE_BASED_SINCE = 2
"""Major version of the (made-up) templates from which on an add-on uses account connections."""

LARGEST_PUT = 5 * 1024**3
"""Bytes. AWS, PutObject: "With a single PUT operation, you can upload objects up to 5 GB in size"."""

_MEMBER_ROLE = "OrganizationAccountAccessRole"
_CONFIG = Config(retries={"total_max_attempts": 1}, proxies={}, signature_version="v4")


@dataclass(frozen=True)
class Moved:
    """A file that was moved. `principal` is the ARN of the role session that did all of it."""

    source: str
    target: str
    key: str
    version: str
    principal: str


@dataclass(frozen=True)
class Unscanned:
    """An object, or a version of one, that scheduled-bucket-scan would put into bucketAV's queue."""

    bucket: str
    key: str
    version: str


class StandIn:
    """For the add-on that the stack `stack` in `account` installs; reads the stack anew for each file.

    `part_size`, in bytes: larger files are put in parts of that size. S3 takes parts of at least 5 MiB, and needs them
    from 5 GB on; an add-on may use them earlier.
    """

    def __init__(self, sandbox: Sandbox, account: str, stack: str, *, part_size: int = LARGEST_PUT) -> None:
        self._sandbox = sandbox
        self._account = account
        self._stack = stack
        self._part_size = part_size

    def take(self, finding: Mapping[str, str]) -> Moved | None:
        """What move-clean, move-no or quarantine does about a scan result (`bucket`, `key`, `status`, `version`).

        None when it is about files that another add-on moves, or about the target bucket itself.
        """
        add_on = self._read()
        target = add_on.parameters["TargetBucketName"]
        if finding["status"] != FILES_OF[add_on.name] or finding["bucket"] == target:
            return None
        session = self._session_for(add_on, finding["bucket"])
        return session.move(finding["bucket"], finding["key"], finding.get("version", ""), target, self._part_size)

    def scan(self) -> tuple[Unscanned, ...]:
        """What scheduled-bucket-scan does when its time has come: all versions that have no tag of bucketAV yet.

        `BucketName` may hold wildcards, which stand for buckets of account a only: assumed, because neither a bucket
        policy nor a connection lets a role see the names of another account's buckets.
        """
        add_on = self._read()
        names = add_on.parameters["BucketName"].split(",")
        found = [self._session_for(add_on, name).unscanned(name, self._tag_key(add_on)) for name in self._all(names)]
        return tuple(each for objects in found for each in objects)

    def _all(self, patterns: Iterable[str]) -> list[str]:
        own = _client(self._sandbox, "s3", self._own_credentials(self._read()))
        there = [bucket["Name"] for bucket in own.list_buckets()["Buckets"]]
        matched = [[name for name in there if fnmatchcase(name, each)] if "*" in each else [each] for each in patterns]
        return list(dict.fromkeys(name for names in matched for name in names))

    def _session_for(self, add_on: _Installed, bucket: str) -> _Session:
        """IAM role-based access when the bucket's account is connected, bucket-policy-based access otherwise."""
        own = self._own_credentials(add_on)
        connected = self._connected(add_on, own, bucket) if add_on.role_based else None
        return _Session(self._sandbox, connected or own)

    def _connected(self, add_on: _Installed, own: Mapping[str, str], bucket: str) -> Mapping[str, str] | None:
        """The connection role's credentials in the account that owns the bucket; None when that is not connected.

        A bucket that the connection leaves out (its `S3BucketRestriction`) counts as not connected.
        """
        table = f"{add_on.parameters['BucketAVStackName']}-AccountConnection"
        for item in _client(self._sandbox, "dynamodb", own).scan(TableName=table)["Items"]:
            connection = {name: str(value["S"]) for name, value in item.items()}
            try:
                credentials = self._assume_connection(own, connection)
                s3 = _client(self._sandbox, "s3", credentials)
                s3.head_bucket(Bucket=bucket, ExpectedBucketOwner=connection["account_id"])
            except ClientError as error:
                if error.response["ResponseMetadata"]["HTTPStatusCode"] != 403:
                    raise
            else:
                return credentials
        return None

    def _assume_connection(self, own: Mapping[str, str], connection: Mapping[str, str]) -> Mapping[str, str]:
        """With the ExternalId that bucketAV uses: the third `/`-separated part of the connection stack's id."""
        role = f"arn:{connection['partition']}:iam::{connection['account_id']}:role/{connection['role_name']}"
        external_id = connection["stack_id"].split("/")[2]
        return _assume(_client(self._sandbox, "sts", own), role, "bucketav", ExternalId=external_id)

    def _own_credentials(self, add_on: _Installed) -> Mapping[str, str]:
        return _assume(_client(self._sandbox, "sts", self._administrator()), add_on.role_arn, "add-on")

    def _tag_key(self, add_on: _Installed) -> str:
        return self._described(add_on.parameters["BucketAVStackName"])["Parameters"]["TagKey"]

    def _read(self) -> _Installed:
        found = self._described(self._stack)
        outputs = found["Outputs"]
        role_arn = next(outputs[name] for name in ROLES if name in outputs)
        return _Installed(outputs["AddOn"], outputs["Version"], found["Parameters"], role_arn)

    def _described(self, stack: str) -> dict[str, dict[str, str]]:
        cloudformation = _client(self._sandbox, "cloudformation", self._administrator())
        found = cloudformation.describe_stacks(StackName=stack)["Stacks"][0]
        return {
            "Parameters": {each["ParameterKey"]: each["ParameterValue"] for each in found["Parameters"]},
            "Outputs": {each["OutputKey"]: each["OutputValue"] for each in found["Outputs"]},
        }

    def _administrator(self) -> Mapping[str, str]:
        """Of account a. Only to look the add-on up and to get at its role, as AWS Lambda would."""
        management = {
            "AccessKeyId": self._sandbox.access_key_id,
            "SecretAccessKey": self._sandbox.secret_access_key,
        }
        role = f"arn:aws:iam::{self._account}:role/{_MEMBER_ROLE}"
        return _assume(_client(self._sandbox, "sts", management), role, "stand-in")


@dataclass(frozen=True)
class _Installed:
    name: str
    version: str
    parameters: Mapping[str, str]
    role_arn: str

    @property
    def role_based(self) -> bool:
        return int(self.version.partition(".")[0]) >= ROLE_BASED_SINCE


class _Session:
    """S3 as one role sees it. A move is made by a single one: the source's, which is why a target has to let it in."""

    def __init__(self, sandbox: Sandbox, credentials: Mapping[str, str]) -> None:
        self._s3 = _client(sandbox, "s3", credentials)
        self._principal = str(_client(sandbox, "sts", credentials).get_caller_identity()["Arn"])

    def move(self, source: str, key: str, version: str, target: str, part_size: int) -> Moved:
        """List, get with tags, put with tags, delete: the version itself, or it would stay behind a delete marker."""
        version = self._version(source, key, version)
        one = {"Bucket": source, "Key": key, **({"VersionId": version} if version != "null" else {})}
        found = self._s3.get_object(**one)
        body: bytes = found["Body"].read()  # at once: until then, nobody else can use the connection
        tags = {tag["Key"]: tag["Value"] for tag in self._s3.get_object_tagging(**one)["TagSet"]}
        self._s3.head_bucket(Bucket=target)
        about = {"ContentType": found["ContentType"], "Metadata": found["Metadata"]}
        self._put({"Bucket": target, "Key": key}, body, about, tags, part_size)
        self._s3.delete_object(**one)
        return Moved(source, target, key, version, self._principal)

    def unscanned(self, bucket: str, tag_key: str) -> list[Unscanned]:
        """The versions of a bucket's objects that are not tagged with a scan result. Delete markers are none."""
        pages = self._s3.get_paginator("list_object_versions").paginate(Bucket=bucket)
        versions = [version for page in pages for version in page.get("Versions", [])]
        found = [Unscanned(bucket, version["Key"], version["VersionId"]) for version in versions]
        return [each for each in found if tag_key not in self._tag_keys(each)]

    def _tag_keys(self, found: Unscanned) -> set[str]:
        version = {"VersionId": found.version} if found.version != "null" else {}
        tags = self._s3.get_object_tagging(Bucket=found.bucket, Key=found.key, **version)["TagSet"]
        return {tag["Key"] for tag in tags}

    def _version(self, bucket: str, key: str, version: str) -> str:
        """The version that is asked for, or the latest; "null" in a bucket without versions."""
        versions = self._s3.list_object_versions(Bucket=bucket, Prefix=key).get("Versions", [])
        for each in versions:
            if each["Key"] == key and (each["VersionId"] == version or (not version and each["IsLatest"])):
                return str(each["VersionId"])
        raise FileNotFoundError(f"There is no {key} (version {version or 'latest'}) in {bucket}.")

    def _put(
        self, new: Mapping[str, str], body: bytes, about: dict[str, Any], tags: Mapping[str, str], part_size: int
    ) -> None:
        if tags:
            about["Tagging"] = urlencode(tags)
        if len(body) <= part_size:
            self._s3.put_object(**new, **about, Body=body)
            return
        # One that fails stays there unfinished: the documented `s3:PutObject*` does not include ending it.
        upload = {**new, "UploadId": self._s3.create_multipart_upload(**new, **about)["UploadId"]}
        parts = []
        for number, start in enumerate(range(0, len(body), part_size), 1):
            part = self._s3.upload_part(**upload, PartNumber=number, Body=body[start : start + part_size])
            parts.append({"PartNumber": number, "ETag": part["ETag"]})
        self._s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})


def _assume(sts: Any, role_arn: str, session: str, **options: str) -> Mapping[str, str]:
    answer = sts.assume_role(RoleArn=role_arn, RoleSessionName=session, **options)
    credentials: Mapping[str, str] = answer["Credentials"]
    return credentials


def _client(sandbox: Sandbox, service: str, credentials: Mapping[str, str]) -> Any:
    make: Any = _session().client
    return make(
        service,
        endpoint_url=sandbox.endpoint_url,
        region_name=REGION,
        aws_access_key_id=credentials["AccessKeyId"],
        aws_secret_access_key=credentials["SecretAccessKey"],
        aws_session_token=credentials.get("SessionToken"),
        config=_CONFIG,
    )


@cache
def _session() -> boto3.Session:
    """Without a look at AWS_PROFILE, which may name a profile that does not exist."""
    return boto3.Session(botocore_session=botocore.session.Session(session_vars={"profile": (None, None, None, None)}))
