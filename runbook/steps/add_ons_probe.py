"""Really list and read with the roles that work for add-ons, where the environment says that this may be done."""

from collections.abc import Iterable
from typing import Any

from runbook.aws.s3 import probe_bucket
from runbook.checks import Check, Status
from runbook.environment import AccountError, Environment
from runbook.progress import Progress, in_parallel
from runbook.steps.add_on_parts import Part
from runbook.steps.add_ons_state import Site, State
from runbook.untrusted import text

TITLE = "The role really uses it"


def probe_checks(environment: Environment, state: State, progress: Progress) -> Iterable[Check]:
    """List each bucket, and read one byte of a source's file, as the role that works with it; nothing is put."""
    if not environment.file.probe:
        return
    credentials: dict[str, dict[str, Any] | str] = {}
    work = [(site, part) for site in state.sites for part in site.parts if part.kind != "scheduled"]
    for _, part in work:
        if part.role_arn in state.callers and part.role_arn not in credentials:
            credentials[part.role_arn] = _credentials(environment, state, part)
    tried = [(site, part) for site, part in work if part.role_arn in credentials]

    def probed(each: tuple[Site, Part]) -> Check:
        site, part = each
        found = credentials[part.role_arn]
        subject = f"{text(part.role_arn.rsplit('/', 1)[-1])} on {site.address}"
        if isinstance(found, str):
            return Check(TITLE, subject, Status.WARNING, f"Not tried: {found}")
        probe = probe_bucket(environment, found, site.bucket, tag=part.tag, read=not part.is_target)
        failed = [f"{action}: {answer}" for action, answer in probe.answers if answer != "ok"]
        done = ", ".join(action for action, answer in probe.answers if answer == "ok")
        if failed:
            status = Status.WARNING if state.wish.key_policy == "skip" and site.keys else Status.FAILED
            return Check(TITLE, subject, status, "; ".join(failed), "See the access matrix.")
        if not part.is_target and probe.key is None:
            return Check(TITLE, subject, Status.OK, f"{done} worked; there is no file to read.")
        return Check(TITLE, subject, Status.OK, f"{done} worked.")

    yield from in_parallel(probed, tried, what="buckets tried", progress=progress)


def _credentials(environment: Environment, state: State, part: Part) -> dict[str, Any] | str:
    """The role's, or why they cannot be had. A connection's role is assumed by an add-on's, as the add-on does it."""
    try:
        if part.account == environment.account_a:
            return environment.assume(part.role_arn, environment.account_a)
        by = next(route.add_on.role_arn for route in state.routes if route.name in part.routes)
        connection = next(each for each in state.connections or () if each.account == part.account)
        own = environment.assume(by, environment.account_a)
        return environment.assume(
            part.role_arn, environment.account_a, credentials=own, external_id=connection.external_id
        )
    except AccountError as error:
        return str(error)
