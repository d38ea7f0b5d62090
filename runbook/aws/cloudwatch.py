"""CloudWatch dashboards: what bucketAV's own shows."""

import json
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from runbook import aws_errors
from runbook.environment import Environment
from runbook.errors import RunbookError
from runbook.untrusted import Untrusted

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient


class DashboardUnreadable(RunbookError):
    """A dashboard is not there, or may not be read."""


def read_titles(environment: Environment, name: str) -> tuple[Untrusted, ...]:
    """The titles of the widgets on a dashboard of account a. Raises DashboardUnreadable."""
    client: CloudWatchClient = environment.client("cloudwatch", environment.account_a)
    try:
        body: dict[str, Any] = json.loads(client.get_dashboard(DashboardName=name)["DashboardBody"])
    except ClientError as error:
        aws_errors.raise_unless_answered(error)
        raise DashboardUnreadable(aws_errors.sentence(error)) from None
    properties = [widget.get("properties", {}) for widget in body.get("widgets", [])]
    return tuple(Untrusted(str(each["title"])) for each in properties if "title" in each)
