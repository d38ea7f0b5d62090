"""What tests of accidents share: no waiting, a door without faults, and what one undisturbed run does."""

import itertools
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from runbook.sandbox import server
from runbook.sandbox.server import HOST, Sandbox
from tests.faults.ways import PHASES, Bystander, Trip, Undisturbed, Way, through

if TYPE_CHECKING:
    from tests.faults.middleware import Middleware


@pytest.fixture(autouse=True)
def _each_phase_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with people who take their time: no phase rests on what an earlier one has read, so that each meets faults."""
    monkeypatch.setattr("runbook.procedure.FRESH_SECONDS", 0)


@pytest.fixture(autouse=True)
def _no_waiting(time_by_calls: None) -> None:
    """Nobody waits, and time passes with each call."""


@pytest.fixture(scope="session")
def _side_door(_doors: "tuple[Sandbox, Middleware]") -> Iterator[str]:
    """Another port of the same sandbox, where no fault stands."""
    from werkzeug.serving import WSGIRequestHandler, make_server

    class QuietHandler(WSGIRequestHandler):
        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            """Do not write a line for each request."""

    door = make_server(HOST, 0, _doors[1].aside, threaded=True, request_handler=QuietHandler)
    thread = threading.Thread(target=door.serve_forever, daemon=True)
    thread.start()
    yield f"http://{HOST}:{door.port}"
    door.shutdown()
    door.server_close()
    thread.join()


@pytest.fixture
def bystander(sandbox: Sandbox, _side_door: str) -> Bystander:
    return Bystander(_side_door)


@pytest.fixture
def fresh(
    sandbox: Sandbox, faults: "Middleware", bystander: Bystander, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], None]:
    """Bring the seeded world back, with no fault in it."""
    monkeypatch.setenv(server.VARIABLE, sandbox.endpoint_url)

    def again() -> None:
        faults.lift()
        server.reset()
        bystander.forget()

    return again


_TIMES_PUT_BACK = itertools.count()


@pytest.fixture
def put_back(fresh: Callable[[], None], faults: "Middleware") -> Callable[[], None]:
    """Bring the seeded world back, in which the sessions of roles stay: environments that were in use go on."""
    from moto.iam.models import iam_backends
    from moto.moto_api._internal import mock_random
    from moto.sts.models import sts_backends

    def back() -> None:
        faults.lift()
        sessions = {account: [*partitions["aws"].assumed_roles] for account, partitions in sts_backends.items()}
        server.reset()
        for account, assumed in sessions.items():
            sts_backends[account]["aws"].assumed_roles += assumed
            iam_backends[account]["aws"].access_keys.update({each.access_key_id: each.access_key for each in assumed})
        # With the ids of the seed, a new session would have the key of one that was kept.
        mock_random.seed(f"put back {next(_TIMES_PUT_BACK)}")

    return back


@pytest.fixture
def set_out(sandbox: Sandbox, fresh: Callable[[], None], tmp_path: Path) -> Callable[..., Trip]:
    """Begin a trip in a folder of its own: with an environment that was in use, or a new one as each command has."""

    def begin(way: Way, environment: Any = None) -> Trip:
        folder = tmp_path / f"run-{len(list(tmp_path.iterdir()))}"
        return Trip(way, environment or through(sandbox.endpoint_url), folder)

    return begin


_recorded: dict[Way, Undisturbed] = {}


@pytest.fixture
def undisturbed(
    faults: "Middleware", bystander: Bystander, fresh: Callable[[], None], set_out: Callable[..., Trip]
) -> Callable[[Way], Undisturbed]:
    """Record one run of a way, and its undo; afterwards the world is as seeded. Once is enough: ids repeat exactly."""

    def record(way: Way) -> Undisturbed:
        if way in _recorded:
            return _recorded[way]
        fresh()
        before, trip, calls = bystander.look(), set_out(way), {}
        for phase in PHASES:
            with faults.watching() as seen:
                trip.go(phase)
            calls[phase] = tuple(seen.calls)
        after = bystander.look()
        with faults.watching() as seen:
            trip.go("undo")
        calls["undo"] = tuple(seen.calls)
        assert trip.plan.changes
        assert before != after
        assert bystander.look() == before
        _recorded[way] = Undisturbed(calls, trip.results, before, after)
        fresh()  # an update leaves more behind than what a way is about: statuses, events
        return _recorded[way]

    return record
