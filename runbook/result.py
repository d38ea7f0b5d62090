"""The `result.json` of a run folder: how far the run came, and what was checked, planned and verified."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from runbook.errors import RunbookError
from runbook.files import FileError, make_folder, read_json, write_text
from runbook.journal import Journal
from runbook.parameters import shown
from runbook.secrets import redact

NAME = "result.json"

REMEDY = (
    "Nothing was changed, resumed or undone. Put the file back from a copy, or move it away: resuming and undoing work "
    "from `plan.json` and the journal."
)


class ResultDamaged(RunbookError):
    """A `result.json` is not what a run writes."""


class _Part(BaseModel):
    """Something in a result, of which at least this is read by the package."""

    model_config = ConfigDict(strict=True, extra="allow")


class _Check(_Part):
    title: str
    status: str
    found: str
    remedy: str
    subjects: list[str]


class _Change(_Part):
    resource: str
    summary: str


class _Answer(_Part):
    action: str
    before: str
    after: str


class _Access(_Part):
    principal: str
    resources: list[str]
    answers: list[_Answer]


class _JournalEnd(_Part):
    lines: int
    checksum: str


class _Result(_Part):
    mode: str = ""
    status: str = ""
    started: str = ""
    plan: str = ""
    changes: list[_Change] = []
    checks: list[_Check] = []
    verification: list[_Check] = []
    access: list[_Access] = []
    told: list[str] = []
    journal: _JournalEnd | None = None

    @model_validator(mode="after")
    def _is_begun(self) -> Self:
        """Refuse what no run has begun to write: any object would be a result otherwise."""
        if not (self.status or self.started):
            raise ValueError("neither `status` nor `started` is there")
        return self


def read_result(folder: Path) -> dict[str, Any]:
    """Return the `result.json` of a run folder, empty when there is none. Raises ResultDamaged."""
    file = folder / NAME
    try:
        result = read_json(file)
        _Result.model_validate(result)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except FileError as error:
        raise ResultDamaged(f"{shown(file)}: {error.why} {REMEDY}") from None
    except ValidationError as error:
        keys = sorted({".".join(map(str, problem["loc"])) or "status" for problem in error.errors()})
        raise ResultDamaged(f"{shown(file)}: is damaged; see {', '.join(keys[:3])}. {REMEDY}") from None
    return result


def record(folder: Path, values: Mapping[str, Any]) -> None:
    """Put `values` into the folder's `result.json`, which keeps what it had: when the run started, what was checked.

    The end of the journal is noted as well, so that a journal which is cut afterwards is known by it.
    """
    if not folder.is_dir():
        make_folder(folder)
    refuse_cut_journal(folder)
    now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    before, journal = read_result(folder) or {"started": now}, Journal(folder)
    if journal.exists():
        end = journal.end()
        values = {**values, "journal": {"lines": end.number, "checksum": end.checksum}}
    text = redact(json.dumps({**before, "updated": now, **values}, indent=2, ensure_ascii=False))
    write_text(folder / NAME, f"{text}\n")


def refuse_cut_journal(folder: Path) -> None:
    """Raise JournalDamaged when the folder's journal cannot be read, or has lost lines that `result.json` knows of.

    Raises ResultDamaged when `result.json` cannot be read.
    """
    end = read_result(folder).get("journal")
    Journal(folder).refuse_cut(*((end["lines"], end["checksum"]) if end else (0, "")))
