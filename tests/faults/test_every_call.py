"""A fault at every single call of every way: none is lost, none is done twice, and what is said is so.

The calls are those of one undisturbed run. What comes after a fault depends on what it left, in the run folder and in
the world, and is tried once for everything that can be left. There the world is brought back by undoing, which is
asserted; elsewhere, and when something went wrong, the seeded world is put back.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from runbook import run as runs
from runbook.errors import RunbookError
from tests.faults.rules import Always, Call, Fault, Once
from tests.faults.ways import PHASES, WAYS, Bystander, Left, Trip, Undisturbed, Way, left

if TYPE_CHECKING:
    from tests.faults.middleware import Middleware

BRIEF = (Fault.THROTTLED, Fault.BROKEN, Fault.RESET, Fault.REPLY_LOST)
"""What is over at the next attempt."""

LASTING = (Fault.THROTTLED, Fault.UNAVAILABLE, Fault.RESET, Fault.REPLY_LOST)
"""What botocore gives up on in the end."""

_AGAIN = r"[Ww]ait a few minutes and run|run the same command again|`runbook (apply|undo) \S+` goes on from here"
FOR_GOOD = (*LASTING, Fault.EXPIRED)

REMEDIES = dict.fromkeys(LASTING, _AGAIN) | {Fault.EXPIRED: r"[Ll]og in"}
"""What has to be done: to correct a name, a role or a Region is no help against any of these."""

every_way = pytest.mark.parametrize("way", WAYS, ids=str)
every_look = pytest.mark.parametrize("way", [way for way in WAYS if not way.looks_like], ids=str)


@dataclass
class Accidents:
    """Lets one thing after the other go wrong on a way, and judges what becomes of it."""

    way: Way
    faults: "Middleware"
    bystander: Bystander
    fresh: Callable[[], None]
    put_back: Callable[[], None]
    set_out: Callable[..., Trip]
    subtests: pytest.Subtests
    normal: Undisturbed
    _planned: Trip | None = None
    _known: set[object] = field(default_factory=set)

    def planned(self) -> Trip:
        """A trip in a folder of its own that stands before its apply. Environment and plan are those of the last one:
        a client takes a tenth of a second to make."""
        if self._planned is None:
            self._planned = self.set_out(self.way)
            self._planned.go("check", "plan")
        trip = self.set_out(self.way, self._planned.environment)
        trip.results |= self._planned.results
        return trip

    def is_known(self, trip: Trip, *more: object) -> bool:
        """Return True if an earlier trip left the same state, with `more`; it counts as left from now on."""
        found = (left(trip.folder).without_reasons, *more)
        known = found in self._known
        self._known.add(found)
        return known

    @contextmanager
    def accident(self, call: Call, what: str) -> Iterator[None]:
        """One fault as a test of its own, that leaves the world as seeded whatever comes of it."""
        passed = False
        with self.subtests.test(f"{what} at {call}"):
            yield
            assert self.bystander.look() == self.normal.before, "the world is not as it was at first"
            passed = True
        if not passed and self.bystander.look() != self.normal.before:
            self.fresh()
            self._planned = None

    def judge(self, error: RunbookError, call: Call, fault: Fault) -> None:
        """An error says which call it was, or where the line broke, and what to do; not what our code looks like.

        A test of its own: a bad sentence does not hide what became of the world.
        """
        told = str(error)
        with self.subtests.test(f"what is told of {fault} at {call}"):
            assert "Traceback" not in told
            line_broke = fault in (Fault.RESET, Fault.REPLY_LOST)
            assert ("endpoint URL" if line_broke else call.operation) in told, told
            assert re.search(REMEDIES[fault], told), told

    def same_answer(self, phase: str, answer: Any) -> None:
        expected = self.normal.results[phase]
        if phase == "plan":
            assert answer.to_json() == expected.to_json()
        else:
            assert repr(answer) == repr(expected)


@pytest.fixture
def accidents(
    way: Way,
    faults: "Middleware",
    bystander: Bystander,
    fresh: Callable[[], None],
    put_back: Callable[[], None],
    set_out: Callable[..., Trip],
    subtests: pytest.Subtests,
    undisturbed: Callable[[Way], Undisturbed],
) -> Accidents:
    return Accidents(way, faults, bystander, fresh, put_back, set_out, subtests, undisturbed(way))


@every_look
@pytest.mark.parametrize("phase", ["check", "plan", "verify"])
def test_a_look_that_is_disturbed_changes_nothing_and_the_next_one_sees_everything(
    phase: str, accidents: Accidents
) -> None:
    """Each call of the phase fails in every way; then, in one more look, each of them fails once in each way that
    passes, and the answer is the usual one."""
    set_out, way, faults = accidents.set_out, accidents.way, accidents.faults
    trip = set_out(way)
    if phase != "check":
        trip.go(*PHASES[: PHASES.index(phase)])
    result = trip.folder / "result.json"
    told = result.read_text() if result.exists() else ""
    world = accidents.bystander.look()
    for number, call in enumerate(accidents.normal.calls[phase]):
        for rule in way.chosen(call, number, [Always(call, fault) for fault in FOR_GOOD]):
            with accidents.subtests.test(f"{rule.kind} for good at {call}"):
                disturbed = _again(accidents, trip, told, call)
                with faults.watching(rule) as seen:
                    done = _fails_or_warns(accidents, disturbed, phase, call, rule.kind)
                assert seen.met, "the call was not made"
                assert not seen.changed
                assert accidents.bystander.look() == world
                assert done or disturbed.status != "done"
    calls = accidents.normal.calls[phase]
    disturbed = _again(accidents, trip, told, calls[0])
    with faults.watching(*(Once(call, BRIEF) for call in calls)) as seen:
        accidents.same_answer(phase, disturbed.go(phase))
    assert seen.met == dict.fromkeys(BRIEF, len(calls))
    assert not seen.changed
    assert accidents.bystander.look() == world


def _again(accidents: Accidents, trip: Trip, told: str, call: Call) -> Trip:
    """A trip that stands where this one does. The calls by which an environment finds its way in are made once in its
    life: only for those there has to be a new one."""
    if not told:
        return accidents.set_out(accidents.way, None if call.service == "sts" else trip.environment)
    (trip.folder / "result.json").write_text(told)
    return Trip(accidents.way, trip.environment, trip.folder, dict(trip.results))


def _fails_or_warns(accidents: Accidents, trip: Trip, phase: str, call: Call, fault: Fault) -> bool:
    """The phase ends with a sentence; or goes through, without what it can do without, and says what is missing."""
    try:
        answer = trip.go(phase)
    except RunbookError as error:
        accidents.judge(error, call, fault)
        return False
    if phase == "plan":
        accidents.same_answer(phase, answer)
    else:
        assert repr(answer) != repr(accidents.normal.results[phase]), "nothing is said of what could not be read"
    return True


@every_look
def test_an_apply_that_is_disturbed_before_its_first_change_makes_none(accidents: Accidents) -> None:
    """Then the same run goes on, is finished, and can be taken back: once for everything that can be left of it.

    In one more run all of these calls fail once in each way that passes.
    """
    calls, known = _before_the_first_change(accidents.normal.calls["apply"]), list[Left]()
    for number, call in enumerate(calls):
        trip = accidents.planned()
        for fault in accidents.way.chosen(call, number, FOR_GOOD):
            with accidents.accident(call, f"{fault} for good"):
                with accidents.faults.watching(Always(call, fault)) as seen:
                    done = _fails_or_goes_on(accidents, trip, call, fault)
                assert seen.met
                if done:
                    trip.go("undo")
                    trip = accidents.planned()
                else:
                    assert not seen.changed
                    assert accidents.bystander.look() == accidents.normal.before
                    assert accidents.bystander.contradictions(trip) == []
                    assert trip.status not in {"applied", "done"}
        if (found := left(trip.folder)) in known:
            continue
        known.append(found)
        with accidents.accident(call, "it goes on after all that went wrong"):
            with accidents.faults.watching() as seen:
                trip.go("apply")
            _is_done_once(accidents, trip, seen.changed)
            trip.go("undo")
    trip = accidents.planned()
    with accidents.faults.watching(*(Once(call, BRIEF) for call in calls)) as seen:
        trip.go("apply")
    assert seen.met == dict.fromkeys(BRIEF, len(calls))
    _is_done_once(accidents, trip, seen.changed)
    trip.go("undo")


@pytest.mark.parametrize("way", [way for way in WAYS if way.looks_like], ids=str)
def test_a_way_whose_looks_are_not_disturbed_asks_nothing_that_another_does_not(
    way: Way, undisturbed: Callable[[Way], Undisturbed]
) -> None:
    """Leaving them out saves a third of the time, and is honest only as long as this is so."""
    (other,) = (each for each in WAYS if each.scenario == way.looks_like and each.step is way.step)
    for phase in PHASES:
        asked, there = (
            {(call.service, call.operation, call.account) for call in undisturbed(each).calls[phase]}
            for each in (way, other)
        )
        assert asked <= there


@every_way
def test_an_apply_that_is_disturbed_at_a_change_tells_what_it_did_and_goes_on(accidents: Accidents) -> None:
    """What was done is neither lost nor done again. A call that writes meets each kind of fault by itself."""
    calls = accidents.normal.calls["apply"]
    for turn, call in enumerate(calls[len(_before_the_first_change(calls)) :]):
        for faults in _briefly(call):
            with accidents.accident(call, f"once {', '.join(faults)}"):
                trip = accidents.planned()
                with accidents.faults.watching(Once(call, faults)) as seen:
                    trip.go("apply")
                assert set(seen.met) == set(faults)
                changed = seen.changed
                if Fault.REPLY_LOST in faults and call.changes and changed[(call.operation, call.resource)] > 1:
                    changed[(call.operation, call.resource)] -= 1
                _is_done_once(accidents, trip, changed)
                if accidents.is_known(trip):
                    accidents.put_back()
                else:
                    trip.go("undo")
        for number, rule in enumerate(accidents.way.chosen(call, turn, _for_good(call)), start=turn):
            # After a call that reads, the ways out take turns: what stopped it does not matter to them.
            for way_out in WAYS_OUT if call.writes else (WAYS_OUT[number % 2],):
                with accidents.accident(call, f"{rule}, then {way_out},"):
                    trip = accidents.planned()
                    with accidents.faults.watching(rule) as seen:
                        done = _fails_or_goes_on(accidents, trip, call, rule.kind)
                    assert seen.met
                    assert accidents.bystander.contradictions(trip) == []
                    if not done:
                        assert trip.status not in {"applied", "done"}
                    lost = rule.kind is Fault.REPLY_LOST
                    if accidents.is_known(trip, way_out, call.writes, lost, frozenset(seen.changed.items())):
                        accidents.put_back()
                        continue
                    if way_out == "goes on":
                        with accidents.faults.watching() as again:
                            trip.go("apply", *(["verify"] if call.writes else []))
                        both = seen.changed + again.changed
                        if not lost:
                            assert set(both.values()) == {1}, both
                        assert trip.status == ("done" if call.writes else "applied")
                        assert accidents.bystander.look() == accidents.normal.after
                        assert accidents.bystander.contradictions(trip) == []
                    trip.go("undo")
                    assert trip.status == "undone"


@every_way
def test_an_undo_that_is_disturbed_tells_what_it_did_and_goes_on(accidents: Accidents) -> None:
    for turn, call in enumerate(accidents.normal.calls["undo"]):
        lasting = accidents.way.chosen(call, turn, _for_good(call))
        rules = (*(Once(call, faults) for faults in _briefly(call)), *lasting)
        for rule in rules:
            with accidents.accident(call, str(rule)):
                trip = accidents.planned()
                runs.apply(trip.plan, trip.environment, trip.folder)  # without the checks, which are not of interest
                with accidents.faults.watching(rule) as seen:
                    try:
                        trip.go("undo")
                        undone = True
                    except RunbookError as error:
                        accidents.judge(error, call, rule.kind)
                        undone = False
                assert set(seen.met) == set(rule.kinds)
                assert accidents.bystander.contradictions(trip) == []
                assert undone or rule in _for_good(call), "it was to be tried again"
                assert (trip.status == "undone") is undone
                if not undone:
                    with accidents.faults.watching() as again:
                        trip.go("undo")
                    if Fault.REPLY_LOST not in rule.kinds:
                        assert set((seen.changed + again.changed).values()) == {1}
                assert trip.status == "undone"
                assert accidents.bystander.contradictions(trip) == []


WAYS_OUT = ("goes on", "taken back")


def _briefly(call: Call) -> tuple[tuple[Fault, ...], ...]:
    """Faults that are over soon: at a call that writes one by one, at others one after the other."""
    return tuple((fault,) for fault in BRIEF) if call.writes else (BRIEF,)


def _for_good(call: Call) -> tuple[Once | Always, ...]:
    return (*(Always(call, fault) for fault in FOR_GOOD), Once(call, (Fault.EXPIRED,)))


def _before_the_first_change(calls: tuple[Call, ...]) -> tuple[Call, ...]:
    return calls[: next(index for index, call in enumerate(calls) if call.writes)]


def _fails_or_goes_on(accidents: Accidents, trip: Trip, call: Call, fault: Fault) -> bool:
    """Apply; whether it went through. What the checks can do without does not keep it from that."""
    try:
        trip.go("apply")
    except RunbookError as error:
        accidents.judge(error, call, fault)
        return False
    return True


def _is_done_once(accidents: Accidents, trip: Trip, changed: dict[tuple[str, str], int]) -> None:
    assert trip.counted("done") == dict.fromkeys(range(len(trip.plan.changes)), 1)
    assert set(changed.values()) == {1}
    assert accidents.bystander.look() == accidents.normal.after
    assert trip.status == "applied"
