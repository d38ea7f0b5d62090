"""What the vendor publishes: the templates of bucketAV's add-ons, in a bucket that everybody may read."""

from __future__ import annotations

from importlib.resources import files

from runbook.sandbox.buckets import Bucket, make_bucket, public_read

VENDOR = "101010101010"
"""bucketAV's own, in no organization that anybody here knows of: owns the bucket with the templates of the add-ons."""

PUBLISHED = {
    "account-connection": ("1.0.0", "2.0.0"),
    "move-clean": ("1.0.0", "2.0.0"),
    "move-no": ("2.0.0",),
    "quarantine": ("2.0.0",),
    "scheduled-bucket-scan": ("2.0.0",),
}
"""Add-on -> versions. All but 2.0.0 are made up."""

_BUCKET = "bucketav-add-ons"


def template(add_on: str, version: str) -> str:
    """A template as it is published."""
    return files("runbook.sandbox").joinpath("add_ons", _path(add_on, version)).read_text(encoding="utf-8")


def publish() -> None:
    """Put all templates where their addresses lead."""
    objects = {
        _path(add_on, version): [template(add_on, version)]
        for add_on, versions in PUBLISHED.items()
        for version in versions
    }
    policy = public_read(_BUCKET)
    make_bucket(Bucket(VENDOR, _BUCKET, policy, blocks=False, restricts=False, objects=objects))


def _path(add_on: str, version: str) -> str:
    return f"{add_on}/v{version}/bucketav-add-on-{add_on}.yaml"
