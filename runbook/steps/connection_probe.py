"""Really goes the way that bucketAV goes: scan role, connection role, object; and is really refused without the id."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from runbook.access import Access
from runbook.aws.s3 import Probe, probe_bucket
from runbook.checks import Check, Status
from runbook.environment import AccountError, Environment
from runbook.progress import Progress, in_parallel
from runbook.steps.bucket_access import LIST
from runbook.steps.connection_access import Connected, Surroundings
from runbook.steps.scan_access import READ
from runbook.untrusted import code, pattern_text

TITLE = "bucketAV really gets in"


def probe_checks(
    environment: Environment,
    surroundings: Surroundings,
    connected: Sequence[Connected],
    rows: Mapping[str, Sequence[Access]],
    progress: Progress,
) -> Iterable[Check]:
    """Try every connection, with the buckets that its role may read; `rows` are the answers by account.

    Nothing is different afterwards, and nothing is tried where the environment says not to probe.
    """
    if not environment.file.probe or surroundings.scan is None or not connected:
        return
    try:
        scan = environment.assume(surroundings.scan.role.arn, environment.account_a)
    except AccountError as error:
        yield Check(TITLE, "all connections", Status.WARNING, f"Not tried: {error}")
        return
    yield from in_parallel(
        lambda each: _tried(environment, surroundings, scan, each, _readable(rows[each.account])),
        connected,
        what="connections tried",
        progress=progress,
    )


def _readable(rows: Iterable[Access]) -> set[str]:
    """The buckets that may be listed and read."""
    allowed: dict[str, set[str]] = {}
    for row in rows:
        if row.after.allowed:
            allowed.setdefault(row.resource, set()).add(row.action)
    return {bucket for bucket, actions in allowed.items() if {LIST[0], READ[0]} <= actions}


def _tried(
    environment: Environment, surroundings: Surroundings, scan: dict[str, Any], each: Connected, readable: set[str]
) -> Check:
    role = each.after
    assert role is not None
    for external_id in ("", "another-external-id"):
        if _gets_in(environment, scan, role.arn, external_id):
            how = f"with the ExternalId {code(external_id)}" if external_id else "without an ExternalId"
            found = f"The scan role can assume {pattern_text(role.arn)} {how}: anybody who misleads bucketAV could."
            return Check(TITLE, each.name, Status.FAILED, found, "Look at the trust policy of that role.")
    try:
        credentials = environment.assume(
            role.arn, environment.account_a, credentials=scan, external_id=each.external_id
        )
    except AccountError as error:
        return Check(TITLE, each.name, Status.FAILED, str(error), "Look at the trust policy of that role.")
    read = []
    for sample in surroundings.bounds[each.account].samples:
        if sample.address not in readable:
            continue
        probe = probe_bucket(environment, credentials, sample.bucket, tag=False)
        if failed := _failure(probe):
            return Check(TITLE, each.name, Status.FAILED, f"{sample.address}: {failed}", "See the access matrix.")
        if probe.key is not None:
            read.append(f"{sample.address}{' (encrypted)' if sample.key else ''}")
    objects = f"an object of {' and of '.join(read)} read" if read else "there was no object to read"
    return Check(TITLE, each.name, Status.OK, f"Yes, with the ExternalId only: {objects}.")


def _gets_in(environment: Environment, scan: dict[str, Any], role: str, external_id: str) -> bool:
    try:
        environment.assume(role, environment.account_a, credentials=scan, external_id=external_id)
    except AccountError:
        return False
    return True


def _failure(probe: Probe) -> str:
    return "; ".join(f"{action}: {answer}" for action, answer in probe.answers if answer != "ok")
