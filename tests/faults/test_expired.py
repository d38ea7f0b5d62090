"""Credentials that expire half-way: nothing is lost; after a new login the same command goes on."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from runbook.errors import RunbookError
from runbook.sandbox.server import Sandbox
from tests.faults.rules import Call, Fault, FromThen
from tests.faults.ways import WAYS, Bystander, Trip, Undisturbed, Way, left, through

if TYPE_CHECKING:
    from tests.faults.middleware import Middleware


@pytest.mark.parametrize("taking_back", [False, True], ids=["apply", "undo"])
@pytest.mark.parametrize("way", WAYS, ids=str)
def test_when_everything_is_refused_from_some_call_on_a_new_login_goes_on_from_there(
    way: Way,
    taking_back: bool,
    faults: "Middleware",
    bystander: Bystander,
    put_back: Callable[[], None],
    set_out: Callable[..., Trip],
    undisturbed: Callable[[Way], Undisturbed],
    sandbox: Sandbox,
    subtests: pytest.Subtests,
) -> None:
    """Not even the look at what became of a change works then, and that is said.

    After the login it goes on once for everything that can be left.
    """
    normal, phase, known = undisturbed(way), "undo" if taking_back else "apply", set[object]()
    calls = normal.calls[phase]
    first = next(index for index, call in enumerate(calls) if call.writes)
    planned = set_out(way)
    planned.go("check", "plan")
    for call in calls[max(first - 1, 0) :]:
        with subtests.test(f"from {call} on"):
            trip = set_out(way, planned.environment)
            trip.results |= planned.results
            if taking_back:
                trip.go("apply")
            with faults.watching(FromThen(call, Fault.EXPIRED)) as seen, pytest.raises(RunbookError) as error:
                trip.go(phase)
            assert seen.met
            told = str(error.value)
            assert "Log in again" in told
            assert f"`runbook {phase} " in told
            if call.writes:
                assert "Whether the change was made could not be seen" in told
            assert bystander.contradictions(trip) == []
            if (found := left(trip.folder).without_reasons) in known:
                put_back()
                continue
            known.add(found)
            logged_in = Trip(way, through(sandbox.endpoint_url), trip.folder, trip.results)
            if not taking_back:
                logged_in.go("apply", "verify")
                assert bystander.look() == normal.after
            logged_in.go("undo")
            assert bystander.look() == normal.before
            continue
        put_back()


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_a_role_that_cannot_be_assumed_again_stops_the_run_before_its_first_change(
    way: Way,
    faults: "Middleware",
    bystander: Bystander,
    fresh: Callable[[], None],
    set_out: Callable[..., Trip],
    undisturbed: Callable[[Way], Undisturbed],
) -> None:
    """The session that roles are assumed from has ended, and so have theirs."""
    normal = undisturbed(way)
    trip = set_out(way)
    trip.go("check", "plan")
    for verified in trip.environment._sessions.credentials.values():
        credentials: Any = verified._credentials
        if hasattr(credentials, "_expiry_time"):
            credentials._expiry_time = datetime.now(UTC)
    role = "arn:aws:iam::111111111111:role/OrganizationAccountAccessRole"
    first = Call("sts", "AssumeRole", "999999999999", role, 1)
    with faults.watching(FromThen(first, Fault.EXPIRED)) as seen, pytest.raises(RunbookError, match="expired"):
        trip.go("apply")
    assert seen.met
    assert not seen.changed
    assert bystander.look() == normal.before
    trip.go("apply", "verify")
    assert bystander.look() == normal.after
