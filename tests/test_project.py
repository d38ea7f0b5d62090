"""What is stated in more than one file of the project says the same everywhere, and no file says where it was made."""

import ast
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import nbformat
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

import runbook

ROOT = Path(__file__).resolve().parent.parent
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
CONDA: dict[str, Any] = yaml.safe_load((ROOT / "environment.yml").read_text())
LOCK = (ROOT / "requirements.lock").read_text()
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def declared(*, development: bool = True) -> dict[str, Requirement]:
    """Every direct dependency that pyproject.toml states, by its canonical name."""
    stated = list(PROJECT["project"]["dependencies"])
    if development:
        stated += PROJECT["project"]["optional-dependencies"]["development"]
    return by_name(stated)


def by_name(requirements: Iterable[str]) -> dict[str, Requirement]:
    return {canonicalize_name(parsed.name): parsed for parsed in map(Requirement, requirements)}


def locked() -> list[Requirement]:
    """Every requirement of the lock; a name stands more than once when its version depends on the Python version."""
    return [Requirement(line.rstrip("\\").strip()) for line in LOCK.splitlines() if re.match(r"\w", line)]


def files() -> list[Path]:
    """Every text file that is, or would be, in the repository."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    return [path for name in names if name and (path := ROOT / name).is_file() and b"\0" not in path.read_bytes()]


def conda_dependencies() -> tuple[dict[str, SpecifierSet], list[str]]:
    """What environment.yml takes from conda, bounds by name, and the lines that it hands to pip."""
    from_conda = [entry for entry in CONDA["dependencies"] if isinstance(entry, str)]
    (pip,) = [entry["pip"] for entry in CONDA["dependencies"] if isinstance(entry, dict)]
    return {name: parsed.specifier for name, parsed in by_name(from_conda).items()}, pip


def test_the_conda_environment_has_the_same_packages_and_bounds() -> None:
    from_conda, pip = conda_dependencies()
    from_pip = {name: parsed.specifier for name, parsed in by_name(line for line in pip if line != "-e .").items()}
    assert from_conda.pop("python") == SpecifierSet(PROJECT["project"]["requires-python"])
    assert from_conda.pop("pip") == SpecifierSet()
    assert not from_conda.keys() & from_pip.keys()
    assert from_conda | from_pip == {name: requirement.specifier for name, requirement in declared().items()}


def test_what_conda_hands_to_pip_asks_for_the_same_extras() -> None:
    _, pip = conda_dependencies()
    assert "-e ." in pip
    for name, requirement in by_name(line for line in pip if line != "-e .").items():
        assert requirement.extras == declared()[name].extras


@pytest.mark.parametrize("module", ["papermill", "nbformat", "jupyterlab.labapp"])
def test_no_grammar_is_compiled_when_a_notebook_is_read(module: str) -> None:
    code = f"import sys, {module}; print('rfc3987_syntax' in sys.modules, 'jsonschema' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["False", "True"]


@pytest.mark.parametrize("name", sorted(declared()))
def test_the_lock_satisfies_every_bound(name: str) -> None:
    versions = [one_version(requirement) for requirement in locked() if canonicalize_name(requirement.name) == name]
    assert versions, f"{name} is not in requirements.lock: `make lock`"
    for version in versions:
        assert version in declared()[name].specifier, f"{name} {version} is out of bounds: `make lock`"


def test_the_lock_fixes_every_version_and_every_file() -> None:
    blocks = re.split(r"^(?=\w)", LOCK, flags=re.MULTILINE)[1:]
    assert len(blocks) == len([one_version(requirement) for requirement in locked()])
    assert [block.splitlines()[0] for block in blocks if "--hash=sha256:" not in block] == []


def test_the_lock_names_no_place_to_install_from() -> None:
    assert re.findall(r"^.*(?:://|--index|--extra-index|--find-links|--trusted-host| @ ).*$", LOCK, re.MULTILINE) == []


def test_the_package_is_built_with_what_the_lock_holds() -> None:
    (build,) = PROJECT["build-system"]["requires"]
    assert Requirement(build) == declared()["setuptools"]


def test_no_other_file_states_dependencies() -> None:
    others = re.compile(
        r"(dev-)?requirements.*\.(txt|in)|setup\.(py|cfg)|Pipfile.*|(poetry|uv|pylock.*)\.(lock|toml)|tox\.ini"
    )
    assert [path.name for path in files() if others.fullmatch(path.name)] == []
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert [repository["repo"] for repository in hooks] == ["local"]
    assert not any("additional_dependencies" in hook for repository in hooks for hook in repository["hooks"])


def test_everything_the_package_imports_is_declared() -> None:
    # What is imported through the package that brings it, and is versioned with it.
    brought = {"botocore": "boto3", "ipython": "ipykernel", "traitlets": "ipywidgets", "werkzeug": "flask"}
    distributions = importlib.metadata.packages_distributions()
    undeclared = {}
    for path in sorted((ROOT / "runbook").rglob("*.py")):
        for module in imported_by(ast.parse(path.read_text())) - set(sys.stdlib_module_names) - {"runbook"}:
            names: set[str] = {canonicalize_name(name) for name in distributions.get(module, [module])}
            names = {"boto3-stubs" if name.startswith("mypy-boto3-") else brought.get(name, name) for name in names}
            if not names & declared().keys():
                undeclared[module] = str(path.relative_to(ROOT))
    assert undeclared == {}


def test_version_and_changelog_agree() -> None:
    version = PROJECT["project"]["version"]
    headings = re.findall(
        r"^## \[(\S+)\] - (Unreleased|\d{4}-\d\d-\d\d)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE
    )
    assert headings[0][0] == version == runbook.__version__ == importlib.metadata.version("bucketav-runbook")
    assert [Version(heading) for heading, _ in headings] == sorted(
        (Version(heading) for heading, _ in headings), reverse=True
    )
    assert "Unreleased" not in [when for _, when in headings[1:]]


# Written so that none of them finds itself here.
PLACES = {
    "an absolute path": re.compile(
        r"(?<![\w.:}>\])*~-])/(?:bin|etc|home|media|mnt|opt|private|root|srv|tmp|Users|usr|var|work|workspace)/[\w.]"
        r"|\b[A-Z]:\\\w|file:///\w"
    ),
    "a home directory": re.compile(r"(?<!\w)~/(?!\.aws\b)[\w.]|\$[H]OME\b"),
    "a package index": re.compile(r"py[p]i\.org|python[h]osted\.org|ana[c]onda\.(?:com|org)", re.IGNORECASE),
}


@pytest.mark.parametrize("place", PLACES)
def test_no_file_names(place: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:200]}"
        for path in files()
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if PLACES[place].search(line) and not (number == 1 and line.startswith("#!"))
    ]
    assert found == []


@pytest.mark.parametrize(
    ("place", "parts"),
    [
        ("an absolute path", ("in ", "home", "someone", "checkout")),
        ("an absolute path", ('"', "tmp", "run.json")),
        ("an absolute path", ("file://", "opt")),
        ("an absolute path", ("", "Users", "someone")),
        ("a home directory", ("cd ~", "projects")),
        ("a package index", ("https:", "", "test.py" + "pi.org", "simple")),
    ],
)
def test_such_a_place_would_be_noticed(place: str, parts: tuple[str, ...]) -> None:
    assert PLACES[place].search("/".join(parts))


def test_ruff_reads_the_notebooks_too() -> None:
    show = [sys.executable, "-m", "ruff", "check", "--show-files"]
    shown = subprocess.run(show, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    assert {str(notebook) for notebook in NOTEBOOKS} <= set(shown)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_metadata_says_nothing_of_one_run(path: Path) -> None:
    notebook: Any = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    assert notebook.metadata.kernelspec.language == "python"
    assert notebook.metadata.keys() <= {"kernelspec", "language_info", "widgets"}
    assert "version" not in notebook.metadata.get("language_info", {})
    assert sum("parameters" in cell.metadata.get("tags", []) for cell in notebook.cells) == 1
    for cell in notebook.cells:
        assert cell.metadata.keys() <= {"outline", "tags", "editable", "slideshow"}, (
            f"cell {cell.id}: metadata of one run: `make notebooks`"
        )


def one_version(requirement: Requirement) -> Version:
    (specifier,) = requirement.specifier
    assert specifier.operator == "=="
    return Version(specifier.version)


def imported_by(tree: ast.Module) -> set[str]:
    """The top-level names of everything a module imports, inside functions and for type checking too."""
    nodes = list(ast.walk(tree))
    plain = {alias.name.split(".")[0] for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return plain | {
        node.module.split(".")[0]
        for node in nodes
        if isinstance(node, ast.ImportFrom) and node.module and not node.level
    }
