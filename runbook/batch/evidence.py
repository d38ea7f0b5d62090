"""Evidence that is kept in S3 as well: files of a run folder, written by papermill's own handlers.

They use boto3's own credentials, whose identity is not compared: the bucket belongs to no account of the environment,
and nothing is written but to the address that was given.
"""

from collections.abc import Iterable
from pathlib import Path

from runbook.errors import RunbookError
from runbook.files import read_text
from runbook.parameters import ParameterError, shown


def is_address(runs: str) -> bool:
    """Whether runs are to go to S3 rather than to a folder of this machine."""
    return runs.startswith("s3://")


def copy(folder: Path, address: str) -> None:
    """Write every file of `folder`, those in folders below it left out, to `address`; all of them are text.

    Raises RunbookError when one cannot be copied: a symbolic link, for example, which is not followed.
    """
    try:
        copy_files((file for file in sorted(folder.iterdir()) if file.is_symlink() or not file.is_dir()), address)
    except RunbookError:
        raise
    except Exception as error:  # noqa: BLE001 (whatever boto3 and papermill may raise)
        raise RunbookError(f"{address}: cannot be written ({error}). All of it is in {shown(folder)}.") from None


def copy_files(files: Iterable[Path], address: str) -> None:
    """Write text files to `address`, under their own names."""
    from papermill.iorw import papermill_io

    handler = papermill_io.get_handler(address)
    for file in files:
        handler.write(read_text(file, follow=False), f"{address}/{file.name}")


def refuse_unless_writable(file: Path, address: str) -> None:
    """Raise ParameterError when `file` cannot be written to `address`."""
    try:
        copy_files([file], address)
    except Exception as error:  # noqa: BLE001 (whatever boto3 and papermill may raise)
        raise ParameterError(
            [
                f"{address}: cannot be written ({error}). Evidence goes there with boto3's own credentials; "
                "is the bucket there, and are they set?"
            ]
        ) from None
