"""A manager without pauses: ready when the kernel is, and nothing that a kernel says is lost or taken for another's."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from runbook.execute import sockets_of_its_own
from runbook.kernels import manager, switch
from runbook.kernels.manager import PromptManager


def with_a_kernel(ask: Callable[[PromptManager, Any], Awaitable[None]], **options: Any) -> None:
    async def started() -> None:
        switch.use()
        with sockets_of_its_own() as config:
            kernel = PromptManager(kernel_name="python3", config=config)
            await kernel.start_kernel(**options)
            client = kernel.client()
            client.start_channels()
            try:
                await ask(kernel, client)
            finally:
                client.stop_channels()
                if kernel.has_kernel:
                    await kernel.shutdown_kernel(now=True)
                await kernel.cleanup_resources()

    with ThreadPoolExecutor(1) as apart:  # a browser's test may have left a loop in this thread
        apart.submit(lambda: asyncio.run(started())).result()


async def output_of(client: Any, code: str) -> list[str]:
    told: list[str] = []
    await client._async_execute_interactive(code, output_hook=lambda message: told.append(message["msg_type"]))
    return told


def test_nothing_of_the_start_is_left_to_be_read_when_the_client_is_ready() -> None:
    async def ask(_kernel: PromptManager, client: Any) -> None:
        await client.wait_for_ready(timeout=60)
        assert not await client.iopub_channel.msg_ready()
        assert not await client.shell_channel.msg_ready()
        assert await output_of(client, "1") == ["status", "execute_input", "execute_result", "status"]

    for _ in range(5):
        with_a_kernel(ask)


def test_a_kernel_that_ends_before_it_answers_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async def ask(kernel: PromptManager, client: Any) -> None:
        await kernel._async_kill_kernel()
        with pytest.raises(RuntimeError, match="died before replying"):
            await client.wait_for_ready(timeout=60)

    monkeypatch.setattr(manager, "ALIVE_SECONDS", 0.1)
    with_a_kernel(ask)


def test_a_kernel_that_does_not_answer_in_time_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async def ask(kernel: PromptManager, client: Any) -> None:
        await kernel.signal_kernel(signal.SIGSTOP)
        with pytest.raises(RuntimeError, match=r"didn't respond in 0\.3 seconds"):
            await client.wait_for_ready(timeout=0.3)
        await kernel.signal_kernel(signal.SIGCONT)
        await client.wait_for_ready(timeout=60)

    monkeypatch.setattr(manager, "ALIVE_SECONDS", 0.1)
    with_a_kernel(ask)


def test_exit_handlers_run_before_the_kernel_counts_as_ended(tmp_path: Path) -> None:
    left = tmp_path / "left"

    async def ask(kernel: PromptManager, client: Any) -> None:
        await client.wait_for_ready(timeout=60)
        await output_of(client, f"import atexit, pathlib; atexit.register(pathlib.Path({str(left)!r}).touch)")
        await kernel.shutdown_kernel()
        assert left.exists()

    with_a_kernel(ask)
