"""The journal: whatever stands in a value, it is read as it was written, or known to be damaged; never as less."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook import run as runs
from runbook.errors import RunbookError
from runbook.journal import Journal, JournalDamaged
from runbook.parameters import ParameterError
from runbook.policy import document
from runbook.result import read_result, record
from runbook.run import PlanEdited, StalePlan, undo
from runbook.untrusted import visible
from tests.memory import NO_ENVIRONMENT, Memory, a_plan, applied, in_memory, seed

SEPARATORS = "\u2028\u2029\x85\x0b\x0c\x1c\x1d\x1e\r\n\0\ud800"
"""Line ends of str.splitlines(), and other characters that no line-based file likes."""

TEXTS = st.text(st.characters(codec=None)) | st.text(SEPARATORS + '{}",\\')


@pytest.fixture
def memory() -> Iterator[Memory]:
    with in_memory() as kind:
        yield kind


def value(text: str) -> str:
    """A policy that carries a text."""
    return json.dumps({"Statement": [{"Sid": text}]}, ensure_ascii=False)


# --- what goes in comes out ------------------------------------------------------------------------------------------


@given(texts=st.lists(TEXTS, max_size=6))
def test_any_text_is_read_as_it_was_written(texts: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("run")
    for number, text in enumerate(texts):
        Journal(folder).write("failed", index=number, error=text, left=value(text))
    found = Journal(folder).read()
    assert [(entry["number"], entry["index"], entry["error"]) for entry in found] == [
        (number + 1, number, text) for number, text in enumerate(texts)
    ]
    assert [entry["left"] for entry in found] == [value(text) for text in texts]
    content = (folder / "journal.jsonl").read_bytes() if texts else b""
    assert content.isascii()
    assert content.count(b"\n") == len(texts) == len(content.splitlines())


@pytest.mark.parametrize("separator", SEPARATORS.replace("\ud800", ""), ids=ascii)
def test_undo_takes_back_what_was_changed_whatever_stands_in_a_policy(
    separator: str, memory: Memory, tmp_path: Path
) -> None:
    """U+2028 in one policy made undo say that there is nothing to take back, and leave every grant of the run."""
    plan = a_plan(("{}", value("one")), (value(f"a{separator}b"), value(f"a{separator}c")), (None, value("three")))
    applied(memory, plan, tmp_path)
    assert undo(tmp_path, NO_ENVIRONMENT).restored == plan.changes
    assert memory.values == {change.resource.arn: change.before for change in plan.changes}


@pytest.mark.parametrize("separator", "\u2028\u2029\x85\x0b\x0c\x1c", ids=ascii)
def test_a_difference_does_not_take_a_separator_in_a_value_for_the_end_of_a_line(separator: str) -> None:
    told = document.difference(value("a b"), value(f"a{separator}b"), name="policy")
    sid = visible(json.dumps(f"a{separator}b", ensure_ascii=False))
    assert f'+      "Sid": {sid}' in told.split("\n")


def test_several_threads_write_one_journal(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    journal = Journal(tmp_path)
    with journal.exclusively(), ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda index: journal.write("done", index=index), range(100)))
    assert sorted(entry["index"] for entry in Journal(tmp_path).read()) == list(range(100))


# --- damage ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def four_lines(tmp_path: Path) -> bytes:
    journal = Journal(tmp_path)
    with journal.exclusively():
        for index in range(4):
            journal.write("done", index=index, left=value("é\u2028"))
    return journal.path.read_bytes()


def damages(content: bytes) -> Iterator[tuple[str, bytes]]:
    """Ways to damage lines, each with a name; the end of the file stays at the end of a line."""
    lines = content.splitlines(keepends=True)
    for number, line in enumerate(lines):
        before, after = lines[:number], lines[number + 1 :]
        yield f"line {number + 1} doubled", b"".join([*before, line, line, *after])
        yield f"line {number + 1} empty", b"".join([*before, b"\n", *after])
        yield f"line {number + 1} cut", b"".join([*before, line[:-9] + b"\n", *after])
        yield f"line {number + 1} another event", b"".join([*before, line.replace(b"done", b"none"), *after])
        yield f"line {number + 1} number", b"".join([*before, line.replace(b'"number": ', b'"number": 1'), *after])
        if after:
            yield f"line {number + 1} missing", b"".join([*before, *after])
            yield f"line {number + 1} exchanged with the next", b"".join([*before, after[0], line, *after[1:]])
            yield f"line {number + 1} joined with the next", b"".join([*before, line[:-1], *after])


def test_a_line_that_was_edited_lost_doubled_or_exchanged_is_known(four_lines: bytes, tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    found = list(damages(four_lines))
    assert len(found) == 4 * 5 + 3 * 3
    for name, content in found:
        path.write_bytes(content)
        for read in (Journal(tmp_path).read, Journal(tmp_path).exclusively().__enter__):
            with pytest.raises(JournalDamaged, match=r"journal\.jsonl, line \d: is damaged; .*Nothing was changed"):
                pytest.fail(f"{name}: {read()}")
        assert path.read_bytes() == content, "evidence is not touched"


def test_no_byte_can_be_another_one(four_lines: bytes, tmp_path: Path) -> None:
    """Of all bytes a sample that reaches every field; what replaces them are a NUL, a quote, another letter."""
    for place in range(0, len(four_lines) - 1, 3):
        for other in b'\0"x\n':
            if four_lines[place] == other:
                continue
            damaged = bytearray(four_lines)
            damaged[place] = other
            (tmp_path / "journal.jsonl").write_bytes(damaged)
            with pytest.raises(JournalDamaged):
                Journal(tmp_path).read()


def test_only_what_a_crash_leaves_of_a_line_is_dropped(four_lines: bytes, tmp_path: Path) -> None:
    path, last = tmp_path / "journal.jsonl", four_lines.rindex(b"\n", 0, -1) + 1
    for end in range(last, len(four_lines)):
        path.write_bytes(four_lines[:end])
        assert len(Journal(tmp_path).read()) == 3
    with Journal(tmp_path).exclusively():
        assert path.read_bytes() == four_lines[:last]
    for rest in (b"x", b"\0\0\0", b'{"number": 5', b'{"number": 4, "time": "\0', four_lines[:40]):
        path.write_bytes(four_lines[:last] + rest)
        with pytest.raises(JournalDamaged, match="line 4: is damaged"):
            Journal(tmp_path).read()


def test_a_journal_of_an_older_release_is_refused_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "journal.jsonl").write_text('{"time": "2026-01-01T00:00:00.000+00:00", "event": "done", "index": 0}\n')
    with pytest.raises(JournalDamaged, match="neither number nor checksum, as an older release wrote it"):
        Journal(tmp_path).last_events()


@pytest.mark.parametrize("index", [None, "0", True, -1, 1.0])
def test_an_event_that_does_not_say_its_change_is_refused(index: Any, tmp_path: Path) -> None:
    Journal(tmp_path).write("done", index=index)
    with pytest.raises(JournalDamaged, match="line 1: is damaged; does not say which change"):
        Journal(tmp_path).last_events()


# --- a journal that was cut between two lines ------------------------------------------------------------------------

THREE = ((None, '{"a":1}'), ('{"b":1}', '{"b":2}'), ('{"c":1}', None))


def cut(folder: Path, lines: int) -> None:
    path = folder / "journal.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:lines]))


@pytest.mark.parametrize("status", ["applied", "done", "verification-failed", "apply-failed"])
@pytest.mark.parametrize("lines", range(8))
def test_what_the_result_knows_of_a_journal_cannot_be_cut_away(
    lines: int, status: str, memory: Memory, tmp_path: Path
) -> None:
    plan = a_plan(*THREE)
    applied(memory, plan, tmp_path)
    record(tmp_path, {"status": status})
    cut(tmp_path, lines)
    standing, result = dict(memory.values), (tmp_path / "result.json").read_bytes()
    for command in (
        lambda: undo(tmp_path, NO_ENVIRONMENT),
        lambda: runs.apply(plan, NO_ENVIRONMENT, tmp_path),
        lambda: record(tmp_path, {"status": "checked"}),
    ):
        with pytest.raises(JournalDamaged, match=rf"ends after line {lines}, but line 8 was written: it was cut"):
            command()
    assert memory.values == standing
    assert (tmp_path / "result.json").read_bytes() == result


def test_a_journal_that_was_replaced_by_one_of_the_same_length_is_known(memory: Memory, tmp_path: Path) -> None:
    plan, other = a_plan(*THREE), tmp_path / "other"
    applied(memory, plan, tmp_path / "run")
    applied(memory, plan, other)
    shutil.copy(other / "journal.jsonl", tmp_path / "run")
    with pytest.raises(JournalDamaged, match="line 8: is damaged; is not the one that was written"):
        undo(tmp_path / "run", NO_ENVIRONMENT)


@pytest.mark.parametrize("lines", range(8))
def test_without_a_result_undo_names_what_stands_and_the_journal_does_not_announce(
    lines: int, memory: Memory, tmp_path: Path
) -> None:
    """A run that was killed has noted nothing; only AWS knows that the journal of one that came further was cut."""
    plan = a_plan(*THREE)
    applied(memory, plan, tmp_path)
    (tmp_path / "result.json").unlink()
    cut(tmp_path, lines)
    announced = min(3, lines // 2)
    undone = undo(tmp_path, NO_ENVIRONMENT)
    assert undone.restored == plan.changes[:announced]
    lost = plan.changes[announced:]
    assert [line.split(":")[0] for line in undone.unaccounted] == [
        f"{each.resource.account} {each.name}" for each in lost
    ]
    assert ("nothing to take back" in repr(undone)) is False
    assert all(memory.values[change.resource.arn] == change.after for change in lost)
    assert read_result(tmp_path)["status"] == ("partly undone" if lost else "undone")


def test_resuming_says_of_a_change_in_place_that_the_journal_does_not_announce_it(
    memory: Memory, tmp_path: Path
) -> None:
    plan = a_plan(*THREE)
    applied(memory, plan, tmp_path)
    (tmp_path / "result.json").unlink()
    cut(tmp_path, 3)
    with pytest.raises(StalePlan, match=r"1 change of this run (.|\n)*journal of this run does not say(.|\n)*thing-1"):
        runs.apply(plan, NO_ENVIRONMENT, tmp_path)


def test_undo_says_of_what_somebody_else_changed_that_the_run_did_not(memory: Memory, tmp_path: Path) -> None:
    plan = a_plan(*THREE)
    applied(memory, plan, tmp_path)
    (tmp_path / "result.json").unlink()
    cut(tmp_path, 3)
    memory.values["arn:aws:test:::thing-1"] = '{"b":3}'
    memory.values["arn:aws:test:::thing-2"] = plan.changes[2].before
    undone = undo(tmp_path, NO_ENVIRONMENT)
    assert undone.unaccounted == ()
    assert "thing-1: is not as before the run" in repr(undone)


def test_what_was_not_announced_and_cannot_be_read_is_not_called_undone(
    memory: Memory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = a_plan(*THREE)
    seed(memory, plan)
    runs.save_plan(plan, tmp_path)
    Journal(tmp_path).write("run-started", fingerprint=plan.fingerprint)

    def refused(*_: object) -> None:
        raise RunbookError("not allowed")

    monkeypatch.setattr(memory, "read", refused)
    undone = undo(tmp_path, NO_ENVIRONMENT)
    assert len(undone.unaccounted) == 3
    assert "nothing to take back" not in repr(undone)


def test_the_journal_of_another_plan_is_refused(memory: Memory, tmp_path: Path) -> None:
    """With a forged `before`, undo would put back what nobody had."""
    plan, forged = a_plan(*THREE), a_plan((None, '{"a":1}'), ('{"b":"open"}', '{"b":2}'), ('{"c":1}', None))
    applied(memory, plan, tmp_path)
    (tmp_path / "plan.json").write_text(forged.to_json())
    with pytest.raises(PlanEdited, match=r"plan\.json is not the plan that this run was begun with"):
        undo(tmp_path, NO_ENVIRONMENT)
    with pytest.raises(ParameterError, match="holds the run of another plan"):
        runs.apply(plan, NO_ENVIRONMENT, tmp_path)
    with pytest.raises(PlanEdited, match="Nothing was changed"):
        runs.apply(forged, NO_ENVIRONMENT, tmp_path)


def test_a_run_that_did_nothing_still_says_so(memory: Memory, tmp_path: Path) -> None:
    plan = a_plan(*THREE)
    applied(memory, plan, tmp_path)
    undo(tmp_path, NO_ENVIRONMENT)
    again = undo(tmp_path, NO_ENVIRONMENT)
    assert (again.unaccounted, "nothing to take back" in repr(again)) == ((), True)
