"""Jupyter's manager and client of a kernel, without their fixed pauses: a third of a second for each kernel.

jupyter_client listens to a kernel that has answered for 200 ms more, and looks every 100 ms whether one that was asked
to end has ended. Both are its own documented classes, which nbclient takes by name.
"""

import asyncio
import time
from queue import Empty
from typing import Any

from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.manager import AsyncKernelManager
from traitlets import DottedObjectName, Type

ALIVE_SECONDS = 1.0
"""Seconds between two looks at whether a kernel that has not answered yet is there at all."""

IDLE_SECONDS = 0.2
"""Seconds for the message that the kernel is idle again to follow its answer, before it is asked once more: what a
kernel publishes before the client's subscription has reached it is lost."""

ENDED_SECONDS = 0.005
"""Seconds between two looks at whether a kernel has ended."""


class PromptClient(AsyncKernelClient):
    """A client that is ready as soon as the kernel has answered on both channels."""

    async def _async_wait_for_ready(self, timeout: float | None = None) -> None:
        """Wait for an answer, and until the kernel is idle again. Raises RuntimeError when it ends or takes longer.

        Messages of a channel come in order: with that of being idle, all that the kernel said before has been read.
        """
        until = time.monotonic() + timeout if timeout else float("inf")
        while True:
            asked = self.kernel_info()
            answer = await _answer_to(asked, self.shell_channel, "kernel_info_reply", ALIVE_SECONDS)
            if answer and await _answer_to(asked, self.iopub_channel, "status", IDLE_SECONDS, execution_state="idle"):
                self._handle_kernel_info_reply(answer)
                return
            if not await self._async_is_alive():
                raise RuntimeError("Kernel died before replying to kernel_info")
            if time.monotonic() > until:
                raise RuntimeError(f"Kernel didn't respond in {timeout} seconds")

    wait_for_ready = _async_wait_for_ready


async def _answer_to(asked: str, channel: Any, kind: str, seconds: float, **content: str) -> dict[str, Any] | None:
    """Read a channel up to the message of that kind with that content that answers; None when it does not come."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        try:
            message: dict[str, Any] = await channel.get_msg(timeout=left)
        except Empty:
            return None
        answers = message["msg_type"] == kind and message["parent_header"].get("msg_id") == asked
        if answers and content.items() <= message["content"].items():
            return message
    return None


class PromptManager(AsyncKernelManager):
    """A manager whose clients are ready, and whose kernels are known to have ended, without a pause."""

    client_class = DottedObjectName(f"{PromptClient.__module__}.{PromptClient.__name__}", config=True)
    client_factory = Type(klass=PromptClient, config=True)

    async def _async_wait(self, pollinterval: float = ENDED_SECONDS) -> None:
        """Return once the kernel has ended."""
        while await self._async_is_alive():
            await asyncio.sleep(min(pollinterval, ENDED_SECONDS))
