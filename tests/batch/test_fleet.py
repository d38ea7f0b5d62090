"""Fleet files: what jobs come of them, and everything that is refused before the first of them starts."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from runbook.batch.claims import EVERY_CONNECTION, EVERYTHING, STACK, Claim, claim_of, in_order
from runbook.batch.fleet import Fleet, fleet_of, load_fleet
from runbook.batch.state import BatchFolder, differences
from runbook.environment import load_environment
from runbook.jobs import prepare
from runbook.parameters import ParameterError
from runbook.steps import STEPS
from runbook.steps.scenarios import make_step, scenario_names

ROWS = "account,bucket\nb,uploads-b\nb,website-uploads-b\nf,media-f\n"

FLEET: dict[str, Any] = {
    "inventory": "ROWS",
    "jobs": {
        "allowlist": {"notebook": "01-allowlist", "parameters": {"accounts": ["b", "f"]}},
        "connect": {
            "notebook": "02-iam-role",
            "for_each": "account",
            "parameters": {"accounts": ["{account}"]},
            "needs": "allowlist",
        },
        "open": {
            "notebook": "05-bucket-policy",
            "for_each": ["account", "bucket"],
            "parameters": {"buckets": ["{account}/{bucket}"]},
            "needs": ["connect"],
        },
    },
}


def read(folder: Path, text: str, rows: str = ROWS) -> Fleet:
    """The fleet in this YAML, in which ROWS is the path of a CSV file with these rows."""
    (folder / "rows.csv").write_text(rows)
    (folder / "fleet.yaml").write_text(text.replace("ROWS", str(folder / "rows.csv")))
    return load_fleet(str(folder / "fleet.yaml"))


def with_jobs(**jobs: object) -> str:
    return yaml.safe_dump({"jobs": jobs})


def test_a_job_is_made_for_every_value_and_needs_those_of_its_rows(tmp_path: Path) -> None:
    fleet = read(tmp_path, yaml.safe_dump(FLEET))
    assert {job.name: job.needs for job in fleet.jobs} == {
        "allowlist": (),
        "connect[222222222222]": ("allowlist",),
        "connect[777777777777]": ("allowlist",),
        "open[222222222222/uploads-b]": ("connect[222222222222]",),
        "open[222222222222/website-uploads-b]": ("connect[222222222222]",),
        "open[777777777777/media-f]": ("connect[777777777777]",),
    }
    last = fleet.jobs[-1]
    assert last.given == {"buckets": ["777777777777/media-f"], "environment": "sandbox", "scenario": ""}
    assert last.account == "777777777777"


def test_a_job_that_is_not_for_rows_needs_all_of_one_that_is(tmp_path: Path) -> None:
    jobs = {**FLEET["jobs"], "look": {"notebook": "00-start-here", "needs": "connect"}}
    fleet = read(tmp_path, yaml.safe_dump({**FLEET, "jobs": jobs}))
    assert {job.name: job.needs for job in fleet.jobs}["look"] == ("connect[222222222222]", "connect[777777777777]")


def test_common_parameters_go_to_the_notebooks_that_take_them_and_a_job_has_the_last_word(tmp_path: Path) -> None:
    text = yaml.safe_dump({**FLEET, "parameters": {"mode": "hardened", "template_version": "1.0.0"}})
    jobs = {job.name.partition("[")[0]: job.given for job in read(tmp_path, text).jobs}
    assert "mode" not in jobs["allowlist"]
    assert jobs["connect"]["template_version"] == "1.0.0"
    assert jobs["open"]["mode"] == "hardened"
    jobs_of_file = {**FLEET["jobs"]}
    jobs_of_file["open"] = {
        **jobs_of_file["open"],
        "parameters": {"buckets": ["{account}/{bucket}"], "mode": "literal"},
    }
    text = yaml.safe_dump({**FLEET, "parameters": {"mode": "hardened"}, "jobs": jobs_of_file})
    assert read(tmp_path, text).jobs[-1].given["mode"] == "literal"


def test_a_table_alone_is_a_fleet_with_a_job_in_each_line(tmp_path: Path) -> None:
    table = tmp_path / "jobs.csv"
    table.write_text(
        "name;notebook;scenario;needs;accounts;buckets\n"
        "let-in;01-allowlist;one-account;;;\n"
        "connect;02-iam-role;;let-in;[d];\n"
        ";05-bucket-policy;;let-in connect;;[b/uploads-b]\n"
    )
    jobs = load_fleet(str(table)).jobs
    assert [(job.name, job.scenario, job.needs) for job in jobs] == [
        ("let-in", "one-account", ()),
        ("connect", "", ("let-in",)),
        ("line-4", "", ("let-in", "connect")),
    ]
    assert jobs[1].given["accounts"] == ["d"]


ALLOWLIST = {"notebook": "01-allowlist", "parameters": {"accounts": ["d"]}}
OPEN = {"notebook": "05-bucket-policy", "parameters": {"buckets": ["b/uploads-b"]}}

REFUSED = {
    "an unknown key": ("jobz: {}", "`jobz` is not known here. Did you mean `jobs`?"),
    "no jobs": ("jobs: {}", "`jobs` is empty"),
    "an unknown environment": ("environment: sandbx\njobs: {}", "Did you mean `sandbox`?"),
    "an unknown notebook": (with_jobs(a={"notebook": "05-bucket-polcy"}), "Did you mean `05-bucket-policy`?"),
    "an unknown scenario": (
        with_jobs(a={"notebook": "05-bucket-policy", "scenario": "one-buket"}),
        "job `a`: params/05-bucket-policy: there is no scenario `one-buket`. Did you mean `one-bucket`?",
    ),
    "an unknown parameter": (
        with_jobs(a={"notebook": "05-bucket-policy", "parameters": {"bukets": ["b/x"]}}),
        "Did you mean `buckets`?",
    ),
    "an unknown common parameter": (
        yaml.safe_dump({"parameters": {"mod": "literal"}, "jobs": {"a": OPEN}}),
        "`parameters.mod` is not known to any notebook here. Did you mean `mode`?",
    ),
    "an account id without quotes": (
        "jobs: {a: {notebook: 01-allowlist, parameters: {accounts: [012345670123]}}}",
        'Write `accounts: ["012345670123"]`',
    ),
    "an unknown account": (
        with_jobs(a={"notebook": "01-allowlist", "parameters": {"accounts": ["x"]}}),
        "there is no account `x`",
    ),
    "an unknown need": (with_jobs(a={**ALLOWLIST, "needs": "alowlist"}, allowlist=OPEN), "Did you mean `allowlist`?"),
    "a circle": (
        with_jobs(a={**ALLOWLIST, "needs": "b"}, b={**OPEN, "needs": "a"}),
        "jobs wait for each other: `",
    ),
    "a column that no row has": (
        yaml.safe_dump({**FLEET, "jobs": {"a": {**OPEN, "for_each": "acount"}}}),
        "job `a` is for each `acount`; no row has that. Did you mean `account`?",
    ),
    "a value that rows do not share": (
        yaml.safe_dump(
            {**FLEET, "jobs": {"a": {**OPEN, "for_each": "account", "parameters": {"buckets": ["b/{bucket}"]}}}}
        ),
        "`{bucket}`: its rows have no such value.",
    ),
    "a row's value without rows": (
        with_jobs(a={"notebook": "02-iam-role", "parameters": {"accounts": ["{account}"]}}),
        "`{account}` stands for a row's value, and the job has no `for_each`.",
    ),
    "a row's value without quotes": (
        "accounts: [b]\njobs: {a: {notebook: 02-iam-role, for_each: account, parameters: {accounts: [{account}]}}}",
        'Write `{column}` in quotes: "{account}".',
    ),
    "rows twice": ("accounts: [b, '222222222222']\njobs: {a: {notebook: 00-start-here}}", "stands there twice"),
    "a job twice": (
        with_jobs(a=OPEN, b={**OPEN, "parameters": {"buckets": ["b/uploads-b"]}, "needs": "a"}),
        "jobs `a` and `b` ask for the same. Leave one of them out.",
    ),
    "a stack that two jobs change": (
        with_jobs(a=ALLOWLIST, b={"notebook": "01-allowlist", "parameters": {"accounts": ["e"]}}),
        "jobs `a` and `b` may change bucketAV's stack at the same time. Let one need the other",
    ),
    "a bucket that two jobs change": (
        with_jobs(a=OPEN, b={**OPEN, "parameters": {"buckets": ["222222222222/uploads-b", "b/website-uploads-b"]}}),
        "may change the policy of bucket uploads-b at the same time",
    ),
    "a connection that a stack set may make": (
        with_jobs(
            a={"notebook": "02-iam-role", "scenario": "one-account"},
            b={"notebook": "03-stack-sets", "scenario": "organization"},
        ),
        "may change the connection of account 222222222222 at the same time",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_fleet_that_cannot_be_right_is_refused_before_anything_is_run(case: str, tmp_path: Path) -> None:
    text, said = REFUSED[case]
    with pytest.raises(ParameterError) as error:
        read(tmp_path, text)
    assert said in str(error.value)


def test_jobs_of_which_one_needs_the_other_may_change_the_same(tmp_path: Path) -> None:
    other = {"notebook": "01-allowlist", "parameters": {"accounts": ["e"]}}
    between = {"notebook": "00-start-here", "needs": "a"}
    assert len(read(tmp_path, with_jobs(a=ALLOWLIST, b={**other, "needs": "c"}, c=between)).jobs) == 3


def test_keys_are_safe_when_jobs_about_an_account_take_turns(tmp_path: Path) -> None:
    jobs = {
        name: {"notebook": "05-bucket-policy", "parameters": {"buckets": [f"b/{name}-b"], "key_policy": "change"}}
        for name in ("documents", "uploads")
    }
    with pytest.raises(ParameterError, match="may change the keys of account 222222222222"):
        read(tmp_path, yaml.safe_dump({"jobs": jobs}))
    assert len(read(tmp_path, yaml.safe_dump({"jobs": jobs, "limits": {"jobs_at_a_time": 1}})).jobs) == 2


@pytest.mark.parametrize("notebook", STEPS)
def test_every_step_says_what_it_may_change(notebook: str) -> None:
    environment = load_environment("sandbox")
    for scenario in scenario_names(notebook):
        claim = claim_of(make_step(STEPS[notebook], scenario, {}), environment)
        assert claim.resources
        assert EVERYTHING not in claim.resources


def test_jobs_that_meet_keep_their_order_and_others_do_not_wait() -> None:
    def writes(name: str) -> Claim:
        return Claim((), frozenset({name}))

    def reads(name: str) -> Claim:
        return Claim((), reads=frozenset({name}))

    claims = {
        "stack": writes(STACK),
        "reads-stack": reads(STACK),
        "bucket": writes("a bucket"),
        "account": writes("the connection of account 222222222222"),
        "reads-account": reads("the connection of account 222222222222"),
        "stack-set": writes(EVERY_CONNECTION),
        "reads-all": reads(EVERYTHING),
    }
    assert in_order(claims) == {
        "stack": (),
        "reads-stack": ("stack",),
        "bucket": (),
        "account": (),
        "reads-account": ("account",),
        "stack-set": ("account", "reads-account"),
        "reads-all": ("stack", "bucket", "account", "stack-set"),
    }


def test_all_runs_are_a_fleet_whose_jobs_wait_for_what_changes_what_they_read() -> None:
    fleet = fleet_of("all", prepare("all", scenario=None, params=None, given={}, environment=None))
    after = {job.name: set(job.after) for job in fleet.jobs}
    assert len(after) == 1 + sum(len(scenario_names(notebook)) for notebook in STEPS)
    assert after["01-allowlist[organization]"] >= {"00-start-here[few-accounts]", "01-allowlist[one-account]"}
    assert "01-allowlist[several-accounts]" in after["06-findings-topic[new-queue]"]
    assert "03-stack-sets[removal]" in after["04-add-ons[connection-target]"]
    assert not after["06-findings-topic[new-queue]"] & {name for name in after if name.startswith("02")}


def test_what_has_changed_about_a_fleet_is_named(tmp_path: Path) -> None:
    then = BatchFolder.new(read(tmp_path, yaml.safe_dump(FLEET)), apply=True, runs=tmp_path, copy_to="")
    kept = BatchFolder.found(then.path).fleet
    assert differences(kept, read(tmp_path, yaml.safe_dump({**FLEET, "cell_seconds": 5}))) == []
    rows = ROWS.replace("website-uploads-b", "documents-b").replace("f,", "c,")
    found = differences(kept, read(tmp_path, yaml.safe_dump(FLEET), rows))
    assert "job `open[222222222222/website-uploads-b]` is gone" in found
    assert "job `open[222222222222/documents-b]` is new" in found
    text = json.dumps({**FLEET, "parameters": {"mode": "hardened"}})
    assert "`meant` was" in differences(kept, read(tmp_path, text))[-1]


def test_thousands_of_jobs_are_validated_in_seconds(tmp_path: Path) -> None:
    rows = "account,bucket\n" + "".join(f"{number:012},data-{number}\n" for number in range(1, 1001))
    jobs = {**FLEET["jobs"], "allowlist": {"notebook": "01-allowlist", "scenario": "one-account"}}
    assert len(read(tmp_path, yaml.safe_dump({**FLEET, "jobs": jobs}), rows).jobs) == 2001
