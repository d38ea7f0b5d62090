"""The bench keeps working: a small run of it, all the way through and back."""

import json
import shutil
from pathlib import Path

import pytest

from tests.bench import notebooks
from tests.bench.__main__ import bench, lines, ratio, sample
from tests.bench.phase import PHASES
from tests.bench.setting import stub

BUCKETS = 20


def test_a_small_bench_runs_all_phases_and_calls_what_it_should() -> None:
    with stub() as url:
        phases = bench(url, BUCKETS)
    assert [each.phase for each in phases] == list(PHASES)
    calls = {each.phase: each.calls for each in phases}
    assert 4 * BUCKETS <= calls["check"] < 4 * BUCKETS + 150
    assert calls["check"] == calls["plan"], "neither changes anything, so they look at the same"
    assert calls["apply"] > calls["check"] + 3 * 18, "each change is looked at, made, and looked at again"
    assert calls["verify"] == calls["check"], "the same is read once more, and shows that all is in place"
    assert calls["undo"] >= 4 * 18, "the run really made its changes, or nothing could be taken back"
    assert ratio(phases) > 0
    table = list(lines(phases))
    assert [line.split()[1] for line in table[1:-1]] == list(PHASES)


def test_notebooks_of_a_batch_and_of_a_loop_of_papermill_are_measured_and_say_the_same(tmp_path: Path) -> None:
    folder = tmp_path / "round"
    found: list[notebooks.Took] = []
    outputs: list[list[str]] = []
    with stub() as url:
        for way in ("runbook batch", "xargs papermill"):
            folder.mkdir()
            found.append(notebooks.took(way, folder, url, notebooks.plain_buckets(1)))
            (notebook,) = folder.glob("**/notebook.ipynb")
            outputs.append(_said(notebook))
            shutil.rmtree(folder)
    assert outputs[0] == outputs[1]
    assert all(each.cpu > 1 and each.seconds > 0 for each in found), "kernels count"
    head, *rows = notebooks.lines(found)
    assert [row.split("  ")[0] for row in rows] == ["runbook batch", "xargs papermill"]
    assert head.split()[-3:] == ["notebooks/s", "CPU", "s/notebook"]


def _said(file: Path) -> list[str]:
    """What the cells of an executed notebook show, wherever it lies: without widgets, whose ids are made up."""
    folder = file.parent.as_posix()
    shown = []
    for cell in json.loads(file.read_text())["cells"]:
        for output in cell.get("outputs", []):
            data = {kind: value for kind, value in output.get("data", {}).items() if "widget" not in kind}
            shown.append(json.dumps([output.get("text"), data]).replace(folder, "FOLDER"))
    assert any("Applied: 1 change made." in text for text in shown)
    return shown


def test_the_bare_loop_repeats_all_calls_about_the_buckets_it_chooses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.bench.__main__.BARE_CALLS", 30)
    calls = [["s3", "2", "r", operation, {"Bucket": f"data-{n:05}"}] for operation in "abc" for n in range(40)]
    calls.append(["sts", "2", "r", "x", {}])
    chosen = sample(calls)
    assert chosen[-1] == calls[-1]
    assert [call[4]["Bucket"] for call in chosen[:-1]] == [f"data-{n:05}" for n in range(0, 40, 5)] * 3
