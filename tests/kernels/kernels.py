"""Kernels as tests use them: started or forked, asked a line of Python, and what they print."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
from jupyter_client.manager import KernelManager

from runbook.execute import sockets_of_its_own
from runbook.kernels import switch

forking_only = pytest.mark.skipif(bool(switch.obstacle()), reason=f"no warm kernels here: {switch.obstacle()}")


class Running:
    """A kernel that is up."""

    def __init__(self, manager: Any, client: Any) -> None:
        self.manager, self.client = manager, client

    @property
    def is_forked(self) -> bool:
        return type(self.manager.provisioner.process).__name__ == "ForkedProcess"

    @property
    def pid(self) -> int:
        return int(self.manager.provisioner.process.pid)

    def ask(self, code: str) -> str:
        """Return the output of a cell with this code."""
        told: list[str] = []

        def hear(message: Mapping[str, Any]) -> None:
            content = message["content"]
            told.append(content.get("text") or "".join(content.get("traceback", [])))

        self.client.execute_interactive(code, output_hook=hear, timeout=60)
        return "".join(told)


@contextmanager
def kernel(*, warm: bool = True, env: Mapping[str, str] | None = None, **options: Any) -> Iterator[Running]:
    """A kernel, forked if `warm`, with its client."""
    environment = {**os.environ, **(env or {})}
    environment.pop("PYTEST_CURRENT_TEST", None)  # with it, ipykernel does not watch the descriptors
    with pytest.MonkeyPatch.context() as patch, sockets_of_its_own() as config:
        if not warm:
            patch.setenv(switch.VARIABLE, "off")
        manager: Any = KernelManager(kernel_name="python3", config=config)
        manager.start_kernel(env=environment, extra_arguments=["--log-level=CRITICAL"], **options)
        client = manager.client()
        client.start_channels()
        try:
            client.wait_for_ready(timeout=60)
            yield Running(manager, client)
        finally:
            client.stop_channels()
            if manager.has_kernel:
                manager.shutdown_kernel(now=True)
