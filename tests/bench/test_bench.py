"""The bench keeps working: a small run of it, all the way through and back."""

import pytest

from tests.bench.__main__ import bench, lines, ratio, sample, stub
from tests.bench.phase import PHASES

BUCKETS = 20


def test_a_small_bench_runs_all_phases_and_calls_what_it_should() -> None:
    with stub() as url:
        phases = bench(url, BUCKETS)
    assert [each.phase for each in phases] == list(PHASES)
    calls = {each.phase: each.calls for each in phases}
    assert 4 * BUCKETS <= calls["check"] < 4 * BUCKETS + 150
    assert calls["check"] == calls["plan"], "neither changes anything, so they look at the same"
    assert calls["apply"] > calls["check"] + 3 * 18, "each change is looked at, made, and looked at again"
    assert calls["verify"] > calls["check"]
    assert calls["undo"] >= 4 * 18, "the run really made its changes, or nothing could be taken back"
    assert ratio(phases) > 0
    table = list(lines(phases))
    assert [line.split()[1] for line in table[1:-1]] == list(PHASES)


def test_the_bare_loop_repeats_all_calls_about_the_buckets_it_chooses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.bench.__main__.BARE_CALLS", 30)
    calls = [["s3", "2", "r", operation, {"Bucket": f"data-{n:05}"}] for operation in "abc" for n in range(40)]
    calls.append(["sts", "2", "r", "x", {}])
    chosen = sample(calls)
    assert chosen[-1] == calls[-1]
    assert [call[4]["Bucket"] for call in chosen[:-1]] == [f"data-{n:05}" for n in range(0, 40, 5)] * 3
