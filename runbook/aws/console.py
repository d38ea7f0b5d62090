"""Addresses of AWS's console, for people to follow."""

from collections.abc import Mapping
from urllib.parse import quote

_HOSTS = {
    "aws": "console.aws.amazon.com",
    "aws-us-gov": "console.amazonaws-us-gov.com",
    "aws-cn": "console.amazonaws.cn",
}
"""Source: AWS, "AWS Management Console", for the standard partition, GovCloud (US) and China."""


def console_url(partition: str, region: str, service: str, fragment: str) -> str:
    """A page of a service's console in a Region."""
    return f"https://{region}.{_HOSTS.get(partition, _HOSTS['aws'])}/{service}/home?region={region}#{fragment}"


def dashboard_url(partition: str, region: str, name: str) -> str:
    """A CloudWatch dashboard."""
    return console_url(partition, region, "cloudwatch", f"dashboards/dashboard/{quote(name, safe='')}")


def quick_create_url(partition: str, region: str, template_url: str, name: str, parameters: Mapping[str, str]) -> str:
    """A page that creates a stack, with everything filled in. Source: AWS, "Creating quick-create links for stacks"."""
    query = {"templateURL": template_url, "stackName": name} | {
        f"param_{key}": value for key, value in parameters.items()
    }
    filled_in = "&".join(f"{key}={quote(value, safe='')}" for key, value in query.items())
    return console_url(partition, region, "cloudformation", f"/stacks/create/review?{filled_in}")
