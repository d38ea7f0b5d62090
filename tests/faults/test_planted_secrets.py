"""Damaged answers with secrets in them, at every call of every way: nothing of them is believed, repeated or kept.

With RUNBOOK_FAULTS=all each answer of every way is damaged in each of the six ways; otherwise those of one way, and
those that are only read in one each, in turn.
"""

import logging
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from runbook import secrets
from runbook.batch import batch as batches
from runbook.batch.runs import run
from runbook.errors import RunbookError
from runbook.jobs import prepare
from runbook.journal import Journal
from tests.faults.rules import DAMAGES, Always, Call, Fault, FromThen, Once
from tests.faults.ways import PHASES, WAYS, Bystander, Trip, Undisturbed, Way
from tests.planted import leaked

if TYPE_CHECKING:
    from tests.faults.middleware import Middleware

ALL = os.environ.get("RUNBOOK_FAULTS") == "all"
every_way = pytest.mark.parametrize("way", [way for way in WAYS if ALL or not way.looks_like], ids=str)
THOROUGH = [way for way in WAYS if ALL or str(way) == "05-bucket-policy-encrypted-bucket"]


def possible(call: Call) -> tuple[Fault, ...]:
    """Return what can be seen of an answer: where nothing is read in it, or whatever is stored, only whose it is."""
    return (Fault.PAGE,) if call.operation.startswith(WITHOUT_FORM) else DAMAGES


WITHOUT_FORM = ("Head", "GetObject", "PutObject", "PutBucketPolicy", "DeleteBucketPolicy", "PutKeyPolicy", "SetQueue")


def chosen(call: Call, number: int, phase: str) -> Sequence[Fault]:
    """Return the damages that an answer meets. Plan and verification read the same as the checks do."""
    kinds = possible(call)
    if not ALL and phase in ("plan", "verify") and number % 3:
        return ()
    return kinds if ALL or call.changes else (kinds[number % len(kinds)],)


def clean(*places: Path | str) -> bool:
    """Check that no planted secret is in these texts, nor in any file of these folders. Fails with what was found."""
    for place in places:
        texts = {"text": place} if isinstance(place, str) else {str(file): _text(file) for file in place.rglob("*")}
        for where, text in texts.items():
            assert not leaked(text), where
    return True


def _text(file: Path) -> str:
    return file.read_bytes().decode(errors="replace") if file.is_file() else ""


@pytest.fixture
def logged(way: Way, caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], str]]:
    """Everything that every logger says; on the ways that are gone thoroughly at its most talkative."""
    with caplog.at_level(logging.DEBUG if way in THOROUGH else logging.INFO):
        yield lambda: caplog.text


@pytest.fixture
def record_count(record_property: Callable[[str, object], None]) -> Callable[[int], None]:
    return lambda count: record_property("damaged answers", count)


@pytest.mark.parametrize("way", THOROUGH, ids=str)
def test_a_damaged_answer_is_no_answer(
    way: Way,
    faults: "Middleware",
    bystander: Bystander,
    set_out: Callable[..., Trip],
    fresh: Callable[[], None],
    undisturbed: Callable[[Way], Undisturbed],
    subtests: pytest.Subtests,
    capfd: pytest.CaptureFixture[str],
    record_count: Callable[[int], None],
) -> None:
    """Reading fails in words, or says what it could do without; a change is in the journal as it is in the world.

    In the end everything is as before, once it was undone.
    """
    normal, count, planned = undisturbed(way), 0, set_out(way)
    planned.go("plan")
    for phase in PHASES:
        for number, call in enumerate(normal.calls[phase]):
            for damage in chosen(call, number, phase):
                count += 1
                with subtests.test(f"{damage} at {call} in {phase}"):
                    # The calls by which an environment finds its way in are made once in its life.
                    trip = set_out(way, None if call.service == "sts" else planned.environment)
                    trip.results |= planned.results
                    if phase == "verify":
                        trip.go("apply")
                    with faults.watching(Always(call, damage)) as seen:
                        told = _gone(trip, phase, normal)
                    assert seen.met[damage] >= 2, "it was not tried again"
                    assert clean(told, trip.folder, *capfd.readouterr())
                    assert bystander.contradictions(trip) == []
                    if Journal(trip.folder).last_events():
                        trip.go("undo")
                    if bystander.look() != normal.before:
                        fresh()
                        pytest.fail("the world is not as it was at first")
    assert count
    record_count(count)


def _gone(trip: Trip, phase: str, normal: Undisturbed) -> str:
    """All that is said of a phase: its answer, or its error and where that was raised."""
    try:
        answer = trip.go(phase)
    except RunbookError as error:
        return f"{error}\n{secrets.trace(error)}"
    if phase == "plan":
        assert answer.to_json() == normal.results[phase].to_json()
    elif phase in ("check", "verify"):
        assert repr(answer) != repr(normal.results[phase]), "nothing is said of what could not be read"
    return repr(answer)


@every_way
def test_an_answer_that_is_damaged_for_a_moment_is_asked_for_again(
    way: Way,
    faults: "Middleware",
    bystander: Bystander,
    set_out: Callable[..., Trip],
    undisturbed: Callable[[Way], Undisturbed],
    logged: Callable[[], str],
) -> None:
    """In all six ways one after the other, reads and writes, and nothing is done twice."""
    normal, trip = undisturbed(way), set_out(way)
    for phase in (*PHASES, "undo"):
        with faults.watching(*(Once(call, possible(call)) for call in normal.calls[phase])) as seen:
            answer = trip.go(phase)
        # Time passes with each call, so that there are fewer looks at what takes long.
        made = [call for call in seen.calls if call in normal.calls[phase]]
        assert len(made) > len(normal.calls[phase]) / 2
        assert seen.met == Counter(damage for call in made for damage in possible(call))
        if phase == "plan":
            assert answer.to_json() == normal.results[phase].to_json()
        elif phase in ("check", "verify"):
            assert repr(answer) == repr(normal.results[phase])
        if phase == "apply":
            assert bystander.look() == normal.after
    assert bystander.look() == normal.before
    assert clean(logged(), trip.folder)


ASSUMED = Call("sts", "AssumeRole", "999999999999", "arn:aws:iam::222222222222:role/OrganizationAccountAccessRole", 1)


@pytest.mark.parametrize("damage", DAMAGES if ALL else (Fault.CUT, Fault.DOUBLED), ids=str)
def test_a_run_in_a_kernel_leaves_no_secret(
    damage: Fault, faults: "Middleware", fresh: Callable[[], None], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Terminal, notebook, page, journal and result: from the first answer on, which brings credentials."""
    fresh()
    jobs = prepare("05-bucket-policy", scenario="one-bucket", params=None, given={}, environment="sandbox")
    with faults.watching(_Everything(damage)) as seen:
        assert not run(jobs, apply=False, runs=tmp_path)
    assert seen.met[damage]
    out, err = capfd.readouterr()
    assert "could not be read" in out
    assert "captive portal" in _text(next(tmp_path.glob("*/notebook.ipynb")))
    assert len(list(tmp_path.rglob("*.html"))) == 1
    assert clean(tmp_path, out, err)


@pytest.mark.parametrize("damage", DAMAGES if ALL else (Fault.PAGE,), ids=str)
def test_a_batch_leaves_no_secret(
    damage: Fault, faults: "Middleware", fresh: Callable[[], None], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """`batch.jsonl`, `outcome.json`, report, JUnit and the log of its processes as well."""
    fresh()
    fleet = tmp_path / "fleet.yaml"
    fleet.write_text("jobs:\n  one:\n    notebook: 05-bucket-policy\n    scenario: one-bucket\n")
    with faults.watching(_Everything(damage)) as seen:
        done = batches.begin(
            str(fleet), batches.Options(1, None, False, False), apply=False, runs=str(tmp_path / "runs")
        )
    assert not done.succeeded
    assert seen.met[damage]
    assert "captive portal" in done.jobs[0].error
    assert {"batch.jsonl", "outcome.json"} <= {file.name for file in tmp_path.rglob("*")}
    assert clean(tmp_path, *capfd.readouterr())


class _Everything(FromThen):
    """Every answer is damaged."""

    def __init__(self, damage: Fault) -> None:
        super().__init__(ASSUMED, damage, reached=True)


def test_an_error_of_aws_that_repeats_secrets_is_told_without_them() -> None:
    """In every field that AWS fills in its own words."""
    from botocore.exceptions import ClientError

    from runbook.aws_errors import in_words, sentence
    from tests.planted import JSON, XML

    for text in (XML, JSON):
        error = ClientError({"Error": {"Code": "AccessDenied", "Message": text}}, "AssumeRole")
        said: list[Any] = [sentence(error), in_words(error)]
        assert all(clean(str(each)) and "AccessDenied" in str(each) for each in said)
