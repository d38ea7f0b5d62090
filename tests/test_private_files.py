"""Files of runs are their owner's only, whatever the umask; links are not followed; nothing empty stays behind."""

import os
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from papermill.iorw import papermill_io

from runbook import call_limit, files
from runbook.batch import evidence
from runbook.batch.batch import Options, go_on
from runbook.batch.state import BatchFolder
from runbook.cli import main
from runbook.environment import Environment, load_environment
from runbook.errors import RunbookError
from runbook.execute import NOTEBOOK, execute
from runbook.files import FileError, make_folder, read_json, read_text, write_new_text, write_text
from runbook.parameters import ParameterError
from runbook.run import new_folder
from runbook.steps.inventory import read_table
from tests.batch.notebooks import fleet_of, notebook

Command = Callable[..., tuple[object, str]]


@pytest.fixture
def runbook(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Type `runbook …`: its exit status, and all that it said."""

    def type_(*words: str) -> tuple[object, str]:
        monkeypatch.setattr(sys, "argv", ["runbook", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return ended.value.code or 0, captured.out + captured.err

    return type_


@pytest.fixture(params=[0o000, 0o022, 0o077], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


@pytest.fixture
def no_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def open_to_others(folder: Path) -> list[str]:
    """Return all below a folder that is not its owner's only."""
    return [
        f"{path.relative_to(folder)} {stat.filemode(path.lstat().st_mode)}"
        for path in folder.rglob("*")
        if stat.S_IMODE(path.lstat().st_mode) != (0o700 if path.is_dir() else 0o600)
    ]


# --- modes -----------------------------------------------------------------------------------------------------------


def test_what_a_run_leaves_is_its_owners_only(
    runbook: Command, environment: Environment, tmp_path: Path, no_umask: None
) -> None:
    words = [
        "run",
        "05-bucket-policy",
        "--scenario",
        "one-bucket",
        "--environment",
        "sandbox",
        "--apply",
        "--runs",
        str(tmp_path / "new" / "runs"),
    ]
    assert runbook(*words)[0] == 0
    [folder] = [path for path in (tmp_path / "new" / "runs").iterdir() if path.is_dir()]
    assert runbook("undo", str(folder))[0] == 0
    names = {"notebook.ipynb", "notebook.html", "plan.json", "plan.md", "journal.jsonl", "result.json"}
    assert {path.name for path in folder.iterdir()} == names
    assert open_to_others(tmp_path) == []


def test_what_a_batch_leaves_is_its_owners_only(tmp_path: Path, no_umask: None) -> None:
    fleet = fleet_of(tmp_path / "fleet", {"first": "", "second": "1 / 0"})
    folder = BatchFolder.new(fleet, apply=True, runs=tmp_path / "runs", copy_to="")
    go_on(folder, fleet, Options(workers=1))
    assert {path.name for path in folder.path.iterdir()} == {
        *("report.html", "report.json", "report.csv", "report.xml", "fleet.json", "batch.jsonl", "workers.log", "jobs")
    }
    of_the_notebook = [path for path in open_to_others(tmp_path / "runs") if "result.json" in path]
    assert open_to_others(tmp_path / "runs") == of_the_notebook, "this small notebook writes it by itself"


def test_files_and_folders_are_private_whatever_the_umask(umask: int, tmp_path: Path) -> None:
    write_text(tmp_path / "one", "1")
    write_new_text(tmp_path / "two", "2")
    make_folder(tmp_path / "a" / "b")
    assert open_to_others(tmp_path) == []
    assert call_limit._turn(tmp_path / "a" / "calls", 0.0) > 0
    assert open_to_others(tmp_path) == []


# --- files -----------------------------------------------------------------------------------------------------------


def test_a_file_is_not_written_over_and_not_left_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_new_text(tmp_path / "report.html", "one")
    with pytest.raises(FileExistsError):
        write_new_text(tmp_path / "report.html", "two")

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(files, "sync_folder", stopped)
    with pytest.raises(KeyboardInterrupt):
        write_new_text(tmp_path / "other.html", "two")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"report.html": "one"}


def test_a_file_has_to_hold_as_much_as_it_may_and_no_more(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("12345")
    assert read_text(tmp_path / "file", 5) == "12345"
    with pytest.raises(FileError, match="is larger than 4 bytes"):
        read_text(tmp_path / "file", 4)


@pytest.mark.parametrize(("depth", "fits"), [(files.DEEPEST, True), (files.DEEPEST + 1, False)])
def test_json_is_as_deep_as_it_may_be(depth: int, fits: bool, tmp_path: Path) -> None:
    (tmp_path / "file").write_text('{"a":' * depth + "1" + "}" * depth)
    if fits:
        assert read_json(tmp_path / "file")
        return
    with pytest.raises(FileError, match="objects and lists inside each other"):
        read_json(tmp_path / "file")


def test_a_folder_below_a_file_is_not_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="cannot be made"):
        make_folder(tmp_path / "file" / "runs" / "one")
    with pytest.raises(FileExistsError):
        make_folder(tmp_path / "file")


# --- links -----------------------------------------------------------------------------------------------------------


def test_a_link_in_a_run_folder_is_replaced_or_refused_and_never_followed(tmp_path: Path) -> None:
    other, run = tmp_path / "other", tmp_path / "run"
    other.write_text("mine")
    run.mkdir()
    for name in ("result.json", NOTEBOOK, "notebook.html", "result.json.part"):
        (run / name).symlink_to(other)
    write_text(run / "result.json", "{}")
    write_text(run / "notebook.html", "a page")
    execution = execute(notebook(tmp_path / "small.ipynb", ""), {}, run, progress=False)
    assert execution.ended == "crashed"
    assert "notebook.ipynb: is a symbolic link, and is not followed" in execution.error
    assert other.read_text() == "mine"
    assert not (run / "result.json").is_symlink()


@pytest.mark.parametrize("name", ["jobs", "jobs/first"])
def test_a_batch_does_not_run_jobs_where_a_link_leads(name: str, tmp_path: Path) -> None:
    fleet, elsewhere = fleet_of(tmp_path / "fleet", {"first": ""}), tmp_path / "elsewhere"
    folder = BatchFolder.new(fleet, apply=True, runs=tmp_path / "runs", copy_to="")
    elsewhere.mkdir()
    (folder.path / name).parent.mkdir(exist_ok=True)
    (folder.path / name).symlink_to(elsewhere)
    with pytest.raises(RunbookError, match=f"(?s){name}.*"), folder.exclusively():
        folder.begins("first")
    assert list(elsewhere.iterdir()) == []


def test_no_link_is_followed_into_the_copy_of_evidence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "report.html").symlink_to(tmp_path / "secret")
    (tmp_path / "run" / "a-page.html").write_text("a page")
    copied = []

    class Handler:
        def write(self, text: str, address: str) -> None:
            copied.append((text, address))

    monkeypatch.setattr(papermill_io, "get_handler", lambda _: Handler())
    with pytest.raises(FileError, match=r"report\.html: is a symbolic link"):
        evidence.copy(tmp_path / "run", "s3://bucket/run")
    assert copied == [("a page", "s3://bucket/run/a-page.html")]


# --- nothing empty ---------------------------------------------------------------------------------------------------


def interrupt(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    "place", ["papermill.execute_notebook", "runbook.batch.runs.execute", "runbook.execute.sockets_of_its_own"]
)
def test_an_early_ctrl_c_leaves_no_empty_run_folder(
    place: str, runbook: Command, environment: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place, interrupt)
    status, said = runbook("run", "05-bucket-policy", "--scenario", "one-bucket", "--runs", str(tmp_path))
    assert status == 1, said
    assert "Stopped" in said
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []


def test_an_early_ctrl_c_leaves_no_folder_of_a_plan_or_a_batch(
    runbook: Command, environment: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as stopped:
        stopped.setattr("runbook.jobs.Job.procedure", interrupt)
        assert runbook("plan", "05-bucket-policy", "--scenario", "one-bucket", "--runs", str(tmp_path))[0] == 1
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr("runbook.batch.state.write_text", interrupt)
    assert runbook("batch", "sandbox", "--runs", str(tmp_path))[0] == 1
    assert list(tmp_path.iterdir()) == []


def test_a_run_folder_has_a_name_of_its_own(tmp_path: Path) -> None:
    one, other = new_folder("05-bucket-policy", "", tmp_path), new_folder("05-bucket-policy", "", tmp_path)
    assert one != other


# --- what is read from elsewhere -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        "file:///",
        "ftp://example.com",
        "example.com",
        "//example.com",
        "http://",
        "https://user:secret@example.com",
        "https://example.com/path",
        "https://example.com?query",
        "https://example.com#part",
        "https://example.com:port",
        "https://[::1",
        "http://127.0.0.1\\@example.com",
        "https://example.com ",
    ],
)
def test_an_address_that_is_not_aws_or_like_it_is_refused_where_it_is_read(address: str, tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(f"region: eu-west-1\naccounts: {{a: {{account_id: '111111111111'}}}}\nendpoint_url: '{address}'\n")
    with pytest.raises(ParameterError, match=r"endpoint_url.*https://HOST or http://HOST was expected") as refused:
        load_environment(str(file))
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("address", ["http://127.0.0.1:5000", "https://vpce-1.s3.eu-west-1.vpce.amazonaws.com/"])
def test_an_address_with_a_host_is_taken(address: str, tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(f"region: eu-west-1\naccounts: {{a: {{account_id: '111111111111'}}}}\nendpoint_url: {address}\n")
    assert load_environment(str(file)).file.endpoint_url == address


def test_a_separator_in_a_cell_does_not_cut_an_inventory(tmp_path: Path) -> None:
    (tmp_path / "buckets.csv").write_text("account,bucket\nb,one\u2028two\r\nb,three\x0bfour\n", newline="")
    _, head, rows = read_table(str(tmp_path / "buckets.csv"))
    assert head == ["account", "bucket"]
    assert rows == [(2, ["b", "one\u2028two"]), (3, ["b", "three\x0bfour"])]
