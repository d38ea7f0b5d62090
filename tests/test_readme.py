"""README's section on accounts of one's own: everything in it is done as it stands there, in a copy of the project."""

import json
import os
import re
import shlex
import shutil
from pathlib import Path

import pytest

from runbook.environment import Environment
from runbook.parameters import project_root
from runbook.sandbox.server import Sandbox
from tests.checkout import Checkout
from tests.world import policies

ALL = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}

SECTION = (
    (project_root() / "README.md")
    .read_text(encoding="utf-8")
    .partition("## Your own accounts in five minutes\n")[2]
    .partition("<!-- permissions: make permissions -->")[0]
)


def blocks(language: str) -> list[str]:
    """Return the blocks of code of the section, without their indent."""
    found = re.findall(rf"^ *```{language}\n(.*?)^ *```$", SECTION, re.MULTILINE | re.DOTALL)
    return ["\n".join(line.removeprefix("   ") for line in block.splitlines()) for block in found]


@pytest.fixture
def ours(environment: Environment, sandbox: Sandbox, checkout: Checkout) -> Checkout:
    """A copy of the project, and the accounts of the README behind an endpoint: nothing says that they are none."""
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::999999999999:root"}, "Action": "sts:AssumeRole"}
        ],
    }
    for name in ("a", "b", "c", "management"):
        client = environment.client("iam", environment.account_id(name))
        for path, role in (("/", "Admin"), ("/partner/", "Setup")):
            client.create_role(Path=path, RoleName=role, AssumeRolePolicyDocument=json.dumps(trust))
            client.put_role_policy(RoleName=role, PolicyName="all", PolicyDocument=json.dumps(ALL))
    environment.client("s3", environment.account_id("b")).create_bucket(
        Bucket="my-bucket", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    (checkout.folder / "config").write_text(
        f"[profile my-sso]\nregion = eu-west-1\naws_access_key_id = {sandbox.access_key_id}\n"
        f"aws_secret_access_key = {sandbox.secret_access_key}\n"
        "[profile bucketav]\nregion = eu-west-1\nsource_profile = my-sso\n"
        "role_arn = arn:aws:iam::111111111111:role/Admin\n"
    )
    (checkout.folder / "bin").mkdir()
    aws = checkout.folder / "bin" / "aws"
    aws.write_text(f'#!{shutil.which("sh")}\necho "$@" >> logins\n')  # a browser would open
    aws.chmod(0o755)
    variables = {
        "AWS_CONFIG_FILE": str(checkout.folder / "config"),
        "AWS_ENDPOINT_URL": sandbox.endpoint_url,
        "PATH": f"{checkout.folder / 'bin'}:{os.defpath}",
    }
    return Checkout(checkout.folder, variables)


def describe(ours: Checkout) -> None:
    (yaml,) = blocks("yaml")
    file = re.search(r"`(params/environments/\w+\.yaml)`", SECTION)
    assert file
    (ours.folder / file[1]).write_text(
        f"{yaml}\nendpoint_url: {ours.variables['AWS_ENDPOINT_URL']}\n"
    )  # for AWS itself


def test_everything_in_the_section_works_as_it_stands(ours: Checkout, environment: Environment) -> None:
    before = policies(environment)
    new, look, previews, apply, undo, narrowed, template = blocks("sh")
    answers = (
        "--region eu-west-1 --profile my-sso --role-arn 'arn:aws:iam::{account_id}:role/Admin' --account a=111111111111"
    )
    written = ours.shell(f"{new} {answers}")
    assert (written.returncode, (ours.folder / "params/environments/NAME.yaml").exists()) == (0, True), written.stderr
    describe(ours)
    (login,) = re.findall(r"`(aws sso login [^`]+)`", SECTION)
    assert ours.shell(login).returncode == 0
    assert (ours.folder / "logins").read_text() == "sso login --profile my-sso\n"

    for line in [*look.splitlines(), *previews.splitlines()]:
        ended = ours.shell(line)
        assert ended.returncode == 0, f"{line}\n{ended.stdout}\n{ended.stderr}"
        assert "sandbox" not in ended.stdout, "nothing calls these accounts simulated"
    assert policies(environment) == before, "previews change nothing"

    refused = ours.shell(apply)
    assert (refused.returncode, "nobody can be asked here. To do it: add --yes." in refused.stderr) == (2, True)
    assert policies(environment) == before
    assert "add `--yes`" in SECTION
    applied = ours.shell(f"{apply} --yes")
    assert applied.returncode == 0, applied.stdout + applied.stderr
    assert "1 change made and verified" in applied.stdout
    assert policies(environment) != before

    (folder,) = set(re.findall(r"runs/\S+-05-bucket-policy\b", applied.stdout))
    for line in narrowed.splitlines():
        ended = ours.shell(line.replace("runs/FOLDER", shlex.quote(folder)))
        assert "arn:aws:s3:::my-bucket" in ended.stdout or " -p " not in line, ended.stderr
        assert json.loads(ended.stdout).keys() >= {"bucketAV account", "bucket accounts"}
    assert ours.shell(template).returncode == 0
    assert "AWS::IAM::Role" in (ours.folder / "role.yaml").read_text()
    line = undo.replace("runs/FOLDER", shlex.quote(folder))
    assert line != undo
    assert ours.shell(line).returncode == 2
    undone = ours.shell(f"{line} --yes")
    assert undone.returncode == 0, undone.stdout + undone.stderr
    assert policies(environment) == before


def test_the_variable_names_the_environment_once(ours: Checkout) -> None:
    """As the section says: a file of parameters wins over it, and `--environment` over both."""
    describe(ours)
    named = Checkout(ours.folder, {**ours.variables, "RUNBOOK_ENVIRONMENT": "NAME"})
    plan = ".venv/bin/runbook plan 05-bucket-policy"
    (ours.folder / "here.yaml").write_text("buckets: [b/uploads-b]\nenvironment: sandbox\n")
    for shell, line, where in (
        (named, f"{plan} -p buckets '[b/my-bucket]'", "NAME"),
        (named, f"{plan} --params here.yaml", "sandbox"),
        (named, f"{plan} --params here.yaml --environment NAME", "NAME"),
        (ours, f"{plan} -p buckets '[b/uploads-b]'", "sandbox"),
    ):
        ended = shell.shell(line)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        assert ended.stdout.splitlines()[-1].startswith("All of this was in the sandbox") is (where == "sandbox"), line
    unnamed = ours.shell(".venv/bin/runbook run 05-bucket-policy --scenario one-bucket --apply")
    assert (unnamed.returncode, "--apply without a terminal: name the environment" in unnamed.stderr) == (2, True)
    assert not list(Path(ours.folder).glob("runs/*/journal.jsonl"))
