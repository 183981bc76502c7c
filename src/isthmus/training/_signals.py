"""Ctrl-C and requests to end, kept until a training is between two steps."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

#: What is waited with.
WATCHED = (signal.SIGINT, signal.SIGTERM)


class PostponedSignals:
    """While it is entered, the first signal is only remembered; the second does what it always does.

    Python lets the main thread alone handle signals: elsewhere nothing is postponed.

    Attributes
    ----------
    received : int or None
        The signal that came.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in WATCHED:
                before = signal.getsignal(number)
                # None was not set from Python, and a signal that is ignored is not to end anything.
                if before is not None and before != signal.SIG_IGN:
                    self._before[number] = before
                    signal.signal(number, self._remember)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # What came after the last pause is not forgotten; an error that is on its way goes first.
        if kind is None:
            self.deliver()
        self._restore()

    def deliver(self) -> None:
        """Let the signal that came do what it would have done."""
        received, self.received = self.received, None
        self._restore()
        if received is not None:
            signal.raise_signal(received)

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None:
            self.deliver()
            return
        self.received = number

    def _restore(self) -> None:
        while self._before:
            number, before = self._before.popitem()
            signal.signal(number, before)
