"""Everything that a notebook imports, held by the process that kernels are forked from.

Modules and the models of AWS services only: no session, no credentials, nothing out of an environment file.
"""

import gc
import importlib
import os
import site
import sys
import time
from contextlib import suppress
from pathlib import Path

MODULES = (
    # ipykernel, and what it imports once a kernel starts or runs its first cell
    "ipykernel.kernelapp",
    "ipykernel.ipkernel",
    "ipykernel.debugger",
    "IPython.core.completerlib",
    "IPython.core.debugger",
    "IPython.core.logger",
    "IPython.core.oinspect",
    "IPython.extensions.storemagic",
    "IPython.utils.wildcard",
    "cmd",
    "encodings.idna",
    "pkgutil",
    "pydoc",
    "resource",
    "runpy",
    "sqlite3",
    "tornado.gen",
    "tornado.locks",
    "tornado.platform.asyncio",
    "tornado.queues",
    "xmlrpc.server",
    # the package, and what it imports once it reaches an account
    "runbook.display",
    "runbook.review.outline",
    "runbook.sessions",
    "runbook.steps",
    "botocore.retries.adaptive",
    "botocore.retries.standard",
    "botocore.signers",
    "boto3.dynamodb.transform",
    "boto3.s3.inject",
    "concurrent.futures.thread",
    "multiprocessing.connection",
)
SERVICES = (
    "cloudformation",
    "cloudwatch",
    "dynamodb",
    "iam",
    "kms",
    "organizations",
    "s3",
    "s3control",
    "sns",
    "sqs",
    "ssm",
    "sts",
)
MODELS = ("service-2", "endpoint-rule-set-1", "paginators-1", "waiters-2")

_STARTED = time.time_ns()


def _load() -> None:
    quiet = "PYDEVD_DISABLE_FILE_VALIDATION"  # debugpy would warn on standard error, which is nobody's here
    before = os.environ.get(quiet)
    os.environ[quiet] = "1"
    for module in MODULES:
        # A module that another version of ipykernel or IPython does not have is not missed by that version.
        with suppress(ModuleNotFoundError):
            importlib.import_module(module)
    if before is None:
        del os.environ[quiet]
    from runbook.sessions import loader

    for name in ("endpoints", "partitions", "sdk-default-configuration", "_retry"):
        loader().load_data(name)
    for model in MODELS:
        for service in set(SERVICES) & set(loader().list_available_services(model)):  # not every service has waiters
            loader().load_service_model(service, model)


def threads() -> int:
    """Count the threads of this process, those that Python does not know among them."""
    return sum(1 for _ in Path("/proc/self/task").iterdir())


def changed() -> bool:
    """Return whether a file that was loaded, or the set of installed packages, is not what it was."""
    return any(_stamp(path) != stamp for path, stamp in _SEEN.items())


def _stamp(path: str) -> tuple[int, int] | None:
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


def _watched() -> set[str]:
    """Files outside the installed packages one by one, and of those the folders: installing something touches them."""
    folders = {*site.getsitepackages(), site.getusersitepackages()}
    standard = str(Path(os.__file__).parent)
    files = {str(file) for module in list(sys.modules.values()) if (file := getattr(module, "__file__", None))}
    installed = (*(f"{folder}{os.sep}" for folder in folders), f"{standard}{os.sep}")
    return {file for file in files if not file.startswith(installed)} | folders


_before = dict(os.environ)
_load()
SET_BY_IMPORTS = {name: value for name, value in os.environ.items() if _before.get(name) != value}
"""Environment variables that modules set when they are imported, in a started kernel as well."""

_SEEN = {path: _stamp(path) for path in _watched()}
STALE = any(stamp and stamp[0] > _STARTED for stamp in _SEEN.values())
"""True if something changed while it was being loaded."""

THREADS = threads()
"""Threads that loading has left: with more than one, forking is not safe."""

# What is there stays where it is: a collection in a forked kernel would copy every page that it touches.
gc.collect()
gc.freeze()
