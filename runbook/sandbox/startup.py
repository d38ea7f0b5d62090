"""Imports moto without what the sandbox never uses, and without looking at the AWS configuration of this machine."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any
from unittest.mock import patch


@contextmanager
def lean_import() -> Iterator[None]:
    """Inside, importing moto takes a third of the time, and neither a profile nor a configuration file is read.

    moto's CloudFormation imports every service that a template can name. Two of them cost much and give nothing here:

    - EC2's catalogue of all instance types in all Regions (0.6 s of JSON): the sandbox has no instances;
    - API Gateway's validator (1.5 s): the sandbox has no APIs.

    A Session that moto makes while it is imported would fail when AWS_PROFILE names a profile that does not exist.
    """
    with _without_aws_configuration(), _without_api_gateway():
        _import_ec2_without_catalogue()
        yield


@contextmanager
def _without_aws_configuration() -> Iterator[None]:
    nowhere = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    with patch.dict(os.environ, nowhere):
        for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_DATA_PATH"):
            os.environ.pop(name, None)
        yield


@contextmanager
def _without_api_gateway() -> Iterator[None]:
    name = "moto.apigateway"
    if name in sys.modules:
        yield
        return
    sys.modules[name] = ModuleType(name)
    sys.modules[name].models = None  # type: ignore[attr-defined]
    try:
        yield
    finally:
        del sys.modules[name]


def _import_ec2_without_catalogue() -> None:
    if "moto.ec2" not in sys.modules:
        from moto.core.base_backend import AccountSpecificBackend

        # The session that moto keeps, so that botocore's list of Regions is read once and not twice.
        session = patch("boto3.Session", AccountSpecificBackend.get_session)
        with patch("moto.utilities.utils.load_resource", _nothing), session:
            __import__("moto.ec2.models")


def _nothing(_resource: str) -> Any:
    return {}
