"""What a process that is to be killed begins with: botocore's models, whose reading takes as long as fifty calls."""

import gc

import boto3

from runbook.sessions import session_without_profile

SERVICES = "cloudformation cloudwatch dynamodb iam kms organizations s3 s3control sns sqs sts".split()

for service in SERVICES:
    session = boto3.Session("none", "none", botocore_session=session_without_profile())
    session.client(service, region_name="eu-west-1")  # type: ignore[call-overload]  # any service
gc.freeze()  # or the first collection of garbage in each process would copy all of it
