"""What the stub tells of: an organization of accounts, bucketAV's stack and scan role, and buckets of several shapes.

Everything about a bucket follows from its number, which its name ends in, so that there can be any number of them.
"""

import json
from typing import Any

ACCOUNT_A = "111111111111"
MANAGEMENT = "999999999999"
OWNERS = tuple(f"2222222222{number:02}" for number in range(10))
REGION, OTHER_REGION = "eu-west-1", "eu-central-1"
ORGANIZATION = "o-exampleorg"
ROLE = f"arn:aws:iam::{ACCOUNT_A}:role/bucketav-ScanRole-EXAMPLE"
STACK = f"arn:aws:cloudformation:{REGION}:{ACCOUNT_A}:stack/bucketav/00000000-0000-0000-0000-000000000000"
EVERYTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
EVERYTHING_FOR_ALL = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}],
}


def bucket_names(number: int) -> list[str]:
    """As many buckets as asked for."""
    return [f"data-{each:05}" for each in range(number)]


def account_of(access_key: str) -> str:
    """The account of credentials: those of `assumed_key`, and all others of the management account."""
    return access_key[4:16] if access_key.startswith("ASIA") else MANAGEMENT


def owner_of(bucket: str) -> str:
    return OWNERS[_number(bucket) // 10 % len(OWNERS)]


def region_of(bucket: str) -> str:
    """One in ten is in another Region."""
    return OTHER_REGION if _number(bucket) // 3 % 10 == 9 else REGION


def key_of(bucket: str) -> str | None:
    """One in twenty is encrypted with the customer-managed key of its account and Region."""
    if _number(bucket) % 20 != 13:
        return None
    return f"arn:aws:kms:{region_of(bucket)}:{owner_of(bucket)}:key/{owner_of(bucket)[-4:]}"


def bucket_policy(bucket: str) -> str | None:
    """Of ten buckets four have none, three insist on TLS, and the others have what partners and baselines ask for."""
    number, arn = _number(bucket), f"arn:aws:s3:::{bucket}"
    tls = {
        "Sid": "DenyInsecureTransport",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [arn, f"{arn}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    partner = {
        "Sid": "Partner",
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::44444444{number % 1000 if number % 50 == 7 else 0:04}:root"},
        "Action": ["s3:GetObject", "s3:ListBucket"],
        "Resource": [arn, f"{arn}/exchange/*"],
    }
    perimeter = {
        "Sid": "OnlyOurOrganization",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [arn, f"{arn}/*"],
        "Condition": {"StringNotEqualsIfExists": {"aws:PrincipalOrgID": ORGANIZATION}},
    }
    statements = [[], [], [], [], [tls], [tls], [tls], [partner], [tls, partner, perimeter], _opened(arn)][number % 10]
    return json.dumps({"Version": "2012-10-17", "Statement": statements}) if statements else None


def key_policy(arn: str) -> str:
    """Closed to the scan role."""
    root = {"AWS": f"arn:aws:iam::{arn.split(':')[4]}:root"}
    statement = {"Sid": "Owner", "Effect": "Allow", "Principal": root, "Action": "kms:*", "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def key_metadata(arn: str) -> dict[str, Any]:
    name = arn.rsplit("/", 1)[-1]
    return {"Arn": arn, "KeyId": name, "AWSAccountId": arn.split(":")[4], "KeyManager": "CUSTOMER"} | {
        "KeyState": "Enabled"
    }


def organization(action: str, asked: dict[str, Any]) -> Any:
    """The answers of AWS Organizations: every account stands right below the root, nothing is denied."""
    kinds = ["SERVICE_CONTROL_POLICY", "RESOURCE_CONTROL_POLICY"]
    match action:
        case "DescribeOrganization":
            return {"Organization": {"Id": ORGANIZATION}}
        case "ListRoots":
            types = [{"Type": kind, "Status": "ENABLED"} for kind in kinds]
            arn = f"arn:aws:organizations::999999999999:root/{ORGANIZATION}/r-exam"
            return {"Roots": [{"Id": "r-exam", "Arn": arn, "PolicyTypes": types}]}
        case "ListParents":
            return {"Parents": [{"Id": "r-exam", "Type": "ROOT"}]}
        case "ListPoliciesForTarget":
            return {"Policies": [{"Id": f"p-{asked['Filter'].lower()}"}]}
        case "DescribePolicy":
            document = EVERYTHING if "service" in asked["PolicyId"] else EVERYTHING_FOR_ALL
            return {"Policy": {"Content": json.dumps(document)}}
    raise NotImplementedError(action)


def query_result(action: str, asked: dict[str, str], account: str) -> str:
    """The answers of STS, CloudFormation and IAM, in XML."""
    match action:
        case "GetCallerIdentity":
            arn = f"arn:aws:sts::{account}:assumed-role/Admin/bench"
            return f"<Arn>{arn}</Arn><UserId>AROA:bench</UserId><Account>{account}</Account>"
        case "AssumeRole":
            key = f"ASIA{asked['RoleArn'].split(':')[4]}BENC"
            return (
                f"<Credentials><AccessKeyId>{key}</AccessKeyId><SecretAccessKey>secret</SecretAccessKey>"
                "<SessionToken>token</SessionToken><Expiration>2999-01-01T00:00:00Z</Expiration></Credentials>"
            )
        case "DescribeStacks":
            return f"<Stacks><member>{_stack()}</member></Stacks>"
        case "GetRole":
            role = f"<Arn>{ROLE}</Arn><RoleName>{asked['RoleName']}</RoleName><Path>/</Path><RoleId>AROA</RoleId>"
            dates = "<CreateDate>2024-01-01T00:00:00Z</CreateDate>"
            return f"<Role>{role}{dates}<AssumeRolePolicyDocument>{{}}</AssumeRolePolicyDocument></Role>"
        case "ListRolePolicies":
            return "<PolicyNames><member>scan</member></PolicyNames><IsTruncated>false</IsTruncated>"
        case "GetRolePolicy":
            return f"<PolicyDocument>{json.dumps(_scan_policy())}</PolicyDocument>"
        case "ListAttachedRolePolicies":
            return "<AttachedPolicies/><IsTruncated>false</IsTruncated>"
    raise NotImplementedError(action)


def _number(bucket: str) -> int:
    return int(bucket.rpartition("-")[2])


def _stack() -> str:
    parameters = {"DeleteInfectedFiles": "true", "TagFiles": "true", "AWSOrganizationRestriction": ORGANIZATION}
    outputs = {"ScanRoleArn": ROLE, "Engine": "clamav", "Version": "2.19.3"}
    listed = "".join(
        f"<member><ParameterKey>{key}</ParameterKey><ParameterValue>{value}</ParameterValue></member>"
        for key, value in parameters.items()
    )
    told = "".join(
        f"<member><OutputKey>{key}</OutputKey><OutputValue>{value}</OutputValue></member>"
        for key, value in outputs.items()
    )
    return (
        f"<StackName>bucketav</StackName><StackId>{STACK}</StackId><StackStatus>CREATE_COMPLETE</StackStatus>"
        f"<CreationTime>2024-01-01T00:00:00Z</CreationTime><Parameters>{listed}</Parameters><Outputs>{told}</Outputs>"
    )


def _scan_policy() -> dict[str, Any]:
    on_objects = [
        "s3:GetObject*", "s3:DeleteObject*", "s3:PutObjectTagging", "s3:PutObjectVersionTagging"
    ]  # fmt: skip
    statements = [
        {"Effect": "Allow", "Action": "s3:ListBucket*", "Resource": "*"},
        {"Effect": "Allow", "Action": on_objects, "Resource": "*"},
        {"Effect": "Allow", "Action": ["kms:Decrypt"], "Resource": "*"},
        {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "arn:aws:iam::*:role/bucketav-AccountConnection"},
    ]
    return {"Version": "2012-10-17", "Statement": statements}


def _opened(arn: str) -> list[dict[str, Any]]:
    """The documentation's statements, as an earlier run left them."""
    objects = f"{arn}/*"
    tags = ["Get", "Put"]
    granted = {
        "bucketAVRequired1": ("s3:ListBucket*", arn),
        "bucketAVRequired2": ("s3:GetObject*", objects),
        "bucketAVOnlyIfYouDeleteInfectedFiles": ("s3:DeleteObject*", objects),
        "bucketAVOnlyIfYouTagFilesWithScanResult": (
            [f"s3:{verb}Object{version}Tagging" for verb in tags for version in ("", "Version")],
            objects,
        ),
    }
    return [
        {"Sid": sid, "Effect": "Allow", "Principal": {"AWS": ROLE}, "Action": action, "Resource": resource}
        for sid, (action, resource) in granted.items()
    ]
