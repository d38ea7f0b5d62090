"""The template that connects an account: read from its address, and what a stack made from it would hold and allow."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

from botocore.exceptions import ClientError

from runbook import aws_errors
from runbook.aws import template
from runbook.aws.iam import Role
from runbook.aws.template import NotKnown, Values
from runbook.environment import Environment
from runbook.errors import RunbookError
from runbook.parameters import quoted
from runbook.untrusted import text

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ADDRESS = (
    "https://bucketav-add-ons.s3.eu-west-1.amazonaws.com/account-connection/v{version}/"
    "bucketav-add-on-account-connection.yaml"
)
"""Where the product publishes the template. Source: outline `stack-sets.template-url`."""

STACK_NAME_PARAMETER, ACCOUNT_PARAMETER = "BucketAVStackName", "BucketAVAccountId"
"""What the template asks about account a. Source: outline `stack-sets.stack-name-parameter`,
`stack-sets.account-id-parameter`."""

BODY_LIMIT = 51_200
"""Bytes of a template that is sent with the call. Source: AWS, "Understand CloudFormation quotas"."""

STACK_UNIQUE_ID = "UNIQUE-ID-OF-THE-STACK"
"""Stands for the third part of a stack's id, which is made up when the stack is created."""


class TemplateUnreadable(RunbookError):
    """The template is not to be had. `found` says why, and `remedy` what to do, for a check to show."""

    def __init__(self, found: str, remedy: str) -> None:
        self.found, self.remedy = found, remedy
        super().__init__(f"{found} {remedy}")


@dataclass(frozen=True, eq=False)
class ConnectionTemplate:
    """A template, and where it was read. `content` is what it says, short forms of functions written out."""

    url: str
    body: str
    content: Mapping[str, Any]

    @property
    def lines(self) -> list[str]:
        """The text line by line, as plans show it."""
        return self.body.splitlines()

    @property
    def size(self) -> int:
        """Bytes of the text."""
        return len(self.body.encode())

    @property
    def parameters(self) -> Mapping[str, Mapping[str, Any]]:
        """What it may be given: each parameter's declaration, by its name."""
        declared: Mapping[str, Mapping[str, Any]] = self.content.get("Parameters", {})
        return declared

    @property
    def resources(self) -> tuple[tuple[str, str], ...]:
        """Name and type of each resource, in the order of the template."""
        return tuple((name, str(each.get("Type", ""))) for name, each in self.content["Resources"].items())

    @property
    def capabilities(self) -> tuple[str, ...]:
        """What has to be acknowledged, as few as will do.

        Source: AWS, "Acknowledging IAM resources in CloudFormation templates".
        """
        needed = []
        resources = [each for each in self.content["Resources"].values() if each.get("Type") in _IAM]
        if any(_IAM[each["Type"]] in each.get("Properties", {}) for each in resources):
            needed = ["CAPABILITY_NAMED_IAM"]
        elif resources:
            needed = ["CAPABILITY_IAM"]
        return (*needed, *(["CAPABILITY_AUTO_EXPAND"] if "Transform" in self.content else []))

    def with_defaults(self, given: Mapping[str, str]) -> dict[str, str]:
        """All parameters of a stack that is made with those given."""
        return template.with_defaults(self.content, given)

    def roles(self, given: Mapping[str, str], stack: "StackToBe") -> tuple["RoleToBe", ...]:
        """The roles that a stack would make with these parameters. Raises NotKnown where that cannot be worked out."""
        try:
            return tuple(_Roles(self.content, self.with_defaults(given), stack).all())
        except (AttributeError, KeyError, TypeError) as error:
            raise NotKnown(f"the template is of an unexpected form ({type(error).__name__}: {text(error)})") from None


_IAM: Mapping[str, str] = {
    "AWS::IAM::AccessKey": "",
    "AWS::IAM::Group": "GroupName",
    "AWS::IAM::InstanceProfile": "InstanceProfileName",
    "AWS::IAM::ManagedPolicy": "ManagedPolicyName",
    "AWS::IAM::Policy": "",
    "AWS::IAM::Role": "RoleName",
    "AWS::IAM::User": "UserName",
    "AWS::IAM::UserToGroupAddition": "",
}
"""The types that have to be acknowledged, and the property by which one gets a name of its own; empty for none."""


# --- from its address ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class S3Address:
    """An object as a template's URL names it. `version` is empty for the newest one."""

    bucket: str
    region: str
    key: str
    version: str = ""


def parse_address(url: str) -> S3Address:
    """The object that a template's URL names: path or virtual host, with or without a Region. Raises ValueError."""
    parts = urlsplit(url)
    host = re.fullmatch(
        r"(?:(?P<bucket>[a-z0-9][a-z0-9.-]+)\.)?s3(?:[.-](?P<region>[a-z]{2}(?:-[a-z]+)+-[0-9]))?\.amazonaws\.com(?:\.cn)?",
        parts.netloc,
    )
    path = unquote(parts.path).removeprefix("/")
    bucket = host["bucket"] if host else None
    if host and not bucket:
        bucket, _, path = path.partition("/")
    if parts.scheme != "https" or not host or not bucket or not path:
        raise ValueError(
            f"is {quoted(url)}; the address of an object in S3 was expected: https://BUCKET.s3.REGION.amazonaws.com/KEY."
        )
    version = parse_qs(parts.query).get("versionId", [""])[0]
    return S3Address(bucket, host["region"] or "us-east-1", path, version)


def read_template(environment: Environment, account: str, url: str) -> ConnectionTemplate:
    """Read a template as CloudFormation would for `account`: with its credentials; without any if these are refused.

    Raises TemplateUnreadable when it is not there, may not be read, or is no template.
    """
    address = parse_address(url)
    signed: S3Client = environment.client("s3", account, address.region)
    try:
        body = _get(signed, address)
    except ClientError as error:
        aws_errors.raise_unless_answered(error)
        try:
            body = _get(environment.anonymous_client("s3", address.region), address)
        except ClientError as refused:
            aws_errors.raise_unless_answered(refused)
            raise TemplateUnreadable(
                f"The template {url} cannot be read from account {environment.account_name(account)}: "
                f"{aws_errors.sentence(error)}.",
                "Compare `template_version` and `template_url` with what the product page names. Or put a copy into a "
                "bucket of your own and give its address as `template_url`.",
            ) from None
    return parsed(url, body)


def parsed(url: str, body: bytes) -> ConnectionTemplate:
    """A template from its text. Raises TemplateUnreadable when it is none."""
    try:
        decoded = body.decode()
        return ConnectionTemplate(url, decoded, template.parse(decoded))
    except (UnicodeDecodeError, NotKnown) as error:
        raise TemplateUnreadable(
            f"What is at {url} is no CloudFormation template: {error}.",
            "Open the address in a browser, and correct `template_version` or `template_url`.",
        ) from None


def _get(client: "S3Client", address: S3Address) -> bytes:
    version = {"VersionId": address.version} if address.version else {}
    return client.get_object(Bucket=address.bucket, Key=address.key, **version)["Body"].read()  # type: ignore[arg-type]


# --- the roles that it makes -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class StackToBe:
    """Where a stack is to be made, and what it is called; `unique_id` is the end of its id, where it is there."""

    partition: str
    region: str
    account: str
    name: str
    unique_id: str = STACK_UNIQUE_ID

    @property
    def id(self) -> str:
        """The stack's id."""
        return f"arn:{self.partition}:cloudformation:{self.region}:{self.account}:stack/{self.name}/{self.unique_id}"

    @property
    def pseudo_parameters(self) -> dict[str, Any]:
        """Source: AWS, "Get AWS values using pseudo parameters"."""
        return {
            "AWS::AccountId": self.account,
            "AWS::NotificationARNs": [],
            "AWS::Partition": self.partition,
            "AWS::Region": self.region,
            "AWS::StackId": self.id,
            "AWS::StackName": self.name,
            "AWS::URLSuffix": "amazonaws.com.cn" if self.partition == "aws-cn" else "amazonaws.com",
        }


@dataclass(frozen=True)
class RoleToBe:
    """A role as a template would make it; `role.arn` ends in its logical id where CloudFormation would name it.

    `elsewhere` are the ARNs of policies that it refers to and that are not in the template: their content is not known.
    """

    logical_id: str
    name: str
    role: Role
    elsewhere: tuple[str, ...]


class _Roles:
    def __init__(self, content: Mapping[str, Any], parameters: Mapping[str, str], stack: StackToBe) -> None:
        self._stack = stack
        bare = Values(content, parameters, stack.pseudo_parameters)
        resources: Mapping[str, Mapping[str, Any]] = content["Resources"]
        self._there = {
            name: each for name, each in resources.items() if "Condition" not in each or bare.holds(each["Condition"])
        }
        self._names = {
            name: str(bare.of(_properties(each).get("RoleName", name)))
            for name, each in self._there.items()
            if each.get("Type") == "AWS::IAM::Role"
        }
        # What is made up when a resource is created stays to be seen, as `${Name}` or `${Name.Attribute}`; to whoever
        # evaluates a policy that is a variable of which nothing is known.
        known = {**_placeholders(content), **stack.pseudo_parameters}
        for name, role in self._names.items():
            known |= {name: role, f"{name}.Arn": self._arn(name)}
        self._values = Values(content, parameters, known)

    def all(self) -> Iterator[RoleToBe]:
        for name in self._names:
            yield self._role(name)

    def _role(self, name: str) -> RoleToBe:
        properties = self._values.of(_properties(self._there[name]))
        inside, elsewhere = [each["PolicyDocument"] for each in properties.get("Policies", [])], []
        for policy in (*self._attached_by_others(name), *properties.get("ManagedPolicyArns", [])):
            if isinstance(policy, str):
                elsewhere.append(policy)
            else:
                inside.append(policy)
        boundary = properties.get("PermissionsBoundary")
        return RoleToBe(
            logical_id=name,
            name=self._names[name],
            role=Role(
                arn=self._arn(name),
                identity_policies=tuple(inside),
                permissions_boundary=None,
                trust_policy=properties["AssumeRolePolicyDocument"],
            ),
            elsewhere=(*elsewhere, *([boundary] if boundary else [])),
        )

    def _attached_by_others(self, role: str) -> Iterator[Mapping[str, Any]]:
        """The documents of policies that are resources themselves and name the role."""
        for each in self._there.values():
            if each.get("Type") not in ("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy", "AWS::IAM::RolePolicy"):
                continue
            properties = self._values.of(_properties(each))
            if self._names[role] in (*properties.get("Roles", ()), properties.get("RoleName")):
                yield properties["PolicyDocument"]

    def _arn(self, name: str) -> str:
        path = str(_properties(self._there[name]).get("Path", "/"))
        return f"arn:{self._stack.partition}:iam::{self._stack.account}:role{path}{self._names[name]}"


def _properties(resource: Mapping[str, Any]) -> Mapping[str, Any]:
    properties: Mapping[str, Any] = resource.get("Properties", {})
    return properties


def _placeholders(content: Mapping[str, Any]) -> dict[str, str]:
    """Each reference to a resource, or to an attribute of one, standing for itself."""
    return {name: f"${{{name}}}" for name in _references(content) if name.partition(".")[0] in content["Resources"]}


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, each in value.items():
            if key in ("Ref", "Fn::GetAtt"):
                yield each if isinstance(each, str) else ".".join(map(str, each))
            elif key == "Fn::Sub":
                text = each if isinstance(each, str) else each[0]
                yield from re.findall(r"\$\{([^}!]+)\}", text)
            yield from _references(each)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for each in value:
            yield from _references(each)
