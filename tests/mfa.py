"""A user's virtual MFA device, as an authenticator application has it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.config import Config

from runbook.sandbox import mfa
from runbook.sandbox.server import REGION, Sandbox


@dataclass(frozen=True)
class Device:
    """A device that is enabled for a user of the sandbox."""

    serial: str
    seed: str

    @classmethod
    def of(cls, iam: Any, user: str) -> Device:
        made = iam.create_virtual_mfa_device(VirtualMFADeviceName=user)["VirtualMFADevice"]
        serial, seed = str(made["SerialNumber"]), made["Base32StringSeed"]
        iam.enable_mfa_device(
            UserName=user, SerialNumber=serial, AuthenticationCode1="123456", AuthenticationCode2="654321"
        )
        return cls(serial, seed.decode() if isinstance(seed, bytes) else str(seed))

    def code(self) -> str:
        """The code that it shows."""
        return mfa.code_at(self.seed, int(time.time()) // mfa.STEP_SECONDS)


def administrators_client(sandbox: Sandbox, service: str) -> Any:
    """A client of the management account's administrator, made without the package's own way of reaching accounts."""
    return boto3.Session().client(  # type: ignore[call-overload]  # any service
        service,
        endpoint_url=sandbox.endpoint_url,
        region_name=REGION,
        aws_access_key_id=sandbox.access_key_id,
        aws_secret_access_key=sandbox.secret_access_key,
        config=Config(retries={"total_max_attempts": 1}, proxies={}),
    )
