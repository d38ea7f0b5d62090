"""MFA devices as on AWS where moto takes any code: a code is the device's, of now, and works once.

A virtual device is one of moto's; its code is computed from the device's seed as RFC 6238 says, as an authenticator
application does.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Mapping
from typing import Any

from moto.iam.models import VirtualMfaDevice, iam_backends

from runbook.sandbox.callers import PARTITION, Caller
from runbook.sandbox.errors import AccessDenied

STEP_SECONDS = 30
"""Seconds for which a device shows a code."""

NEIGHBORS = (0, -1, 1)
"""Codes beside the current one that are accepted as well, for clocks that differ."""


def present(caller: Caller, parameters: Mapping[str, Any]) -> bool:
    """Return whether a call to STS carries a valid MFA code. Raises AccessDenied for one that is not.

    AWS, AssumeRole and GetSessionToken: `SerialNumber` names a device of the user who makes the call, `TokenCode` is
    its code.
    """
    serial, code = parameters.get("SerialNumber"), parameters.get("TokenCode")
    if not serial and not code:
        return False
    if not serial or not code or _matching_step(_device(caller, serial), code) is None:
        raise AccessDenied("sts", "MultiFactorAuthentication failed with invalid MFA one time pass code. ")
    return True


def use_up(caller: Caller, parameters: Mapping[str, Any]) -> None:
    """Make a code that was accepted invalid: AWS accepts each once."""
    if serial := parameters.get("SerialNumber"):
        device: Any = _device(caller, serial)
        device.last_step = _matching_step(device, parameters["TokenCode"])


def code_at(seed: str, step: int) -> str:
    """Return the six digits of a device with a seed in base32. Source: RFC 6238 and RFC 4226."""
    digest = hmac.digest(base64.b32decode(seed), step.to_bytes(8, "big"), hashlib.sha1)
    offset = digest[-1] & 15
    return f"{(int.from_bytes(digest[offset : offset + 4], 'big') & 0x7FFFFFFF) % 1_000_000:06}"


def _device(caller: Caller, serial: str) -> VirtualMfaDevice:
    backend = iam_backends[caller.account][PARTITION]
    user = backend.users.get(caller.name) if caller.kind == "user" else None
    device = backend.virtual_mfa_devices.get(serial)
    if user is None or device is None or serial not in user.mfa_devices:
        raise AccessDenied("sts", "MultiFactorAuthentication failed, unable to validate MFA code. ")
    return device


def _matching_step(device: VirtualMfaDevice, code: str) -> int | None:
    now, used = int(time.time()) // STEP_SECONDS, getattr(device, "last_step", -1)
    steps = (now + neighbor for neighbor in NEIGHBORS)
    return next((step for step in steps if step > used and code_at(device.base32_string_seed, step) == code), None)
