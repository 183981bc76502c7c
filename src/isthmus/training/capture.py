"""Steps recorded once and played back: what a GPU does between two batches is then one call."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import Tensor

from isthmus.training.batches import Batch

Terms = Mapping[str, Tensor]


class Recorder(Protocol):
    """What can record a device's work."""

    def warm_up(self, work: Callable[[], Terms]) -> Terms:
        """Do the work once, as it has to be done before it can be recorded."""
        ...

    def record(self, work: Callable[[], Terms]) -> tuple[Callable[[], None], Terms]:
        """Return what does the work again, in the same memory, and where its results will be."""
        ...


class CudaGraphs:
    """Recording by CUDA graphs.

    Attributes
    ----------
    failure : str or None
        Why nothing is recorded so far; None once something is.
    """

    def __init__(self) -> None:
        self.stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self.failure: str | None = "there were too few full batches"

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Have everything done on the recording's own stream, so that no gradient goes from one to another."""
        current = torch.cuda.current_stream()
        self.stream.wait_stream(current)
        try:
            with torch.cuda.stream(self.stream):
                yield
        finally:
            current.wait_stream(self.stream)

    def warm_up(self, work: Callable[[], Terms]) -> Terms:
        """Do the work on the recording's own stream."""
        current = torch.cuda.current_stream()
        self.stream.wait_stream(current)
        with torch.cuda.stream(self.stream):
            terms = work()
        current.wait_stream(self.stream)
        return terms

    def record(self, work: Callable[[], Terms]) -> tuple[Callable[[], None], Terms]:
        """Return the graph's replay; recording itself computes nothing.

        Raises
        ------
        RuntimeError
            When the work cannot be recorded.
        """
        graph = torch.cuda.CUDAGraph()
        try:
            with warnings.catch_warnings():
                # Of a graph without anything in it, which would be played back without effect.
                warnings.filterwarnings("error", "The CUDA Graph is empty")
                with torch.cuda.graph(graph, stream=self.stream):
                    terms = work()
        except (RuntimeError, UserWarning) as error:
            self.failure = f"it cannot be recorded: {str(error).splitlines()[0]}"
            raise RuntimeError(self.failure) from error
        self.failure = None
        return graph.replay, terms


class CapturedStep:
    """A step that is played back for every full batch.

    The first steps run as they are, which is what a device needs before it can be recorded. A step
    that turns out not to be recordable (it waits for the device, say) goes on running as it is.

    Parameters
    ----------
    step : callable
        Batch to terms; moves the parameters.
    recorder : Recorder
        What records.
    """

    #: Steps before the recording.
    WARM_UP = 3

    def __init__(self, step: Callable[[Batch], Terms], recorder: Recorder) -> None:
        self.step, self.recorder = step, recorder
        self.recordable = True
        self._taken = 0
        self._fixed: Batch | None = None
        self._replay: Callable[[], None] | None = None
        self._terms: Terms = {}

    def __call__(self, batch: Batch) -> Terms:
        """Take the step."""
        if not self.recordable or (self._fixed is not None and self._fixed.rows.shape != batch.rows.shape):
            return self.step(batch)
        if self._fixed is None:
            targets = None if batch.targets is None else batch.targets.clone()
            self._fixed = Batch(batch.rows.clone(), batch.keys.clone(), targets)
        fixed = self._fixed
        fixed.rows.copy_(batch.rows)
        fixed.keys.copy_(batch.keys)
        if fixed.targets is not None and batch.targets is not None:
            fixed.targets.copy_(batch.targets)
        if self._taken < self.WARM_UP:
            self._taken += 1
            return self.recorder.warm_up(lambda: self.step(fixed))
        if self._replay is None:
            try:
                self._replay, self._terms = self.recorder.record(lambda: self.step(fixed))
            except RuntimeError:
                self.recordable = False
                return self.step(batch)
        self._replay()
        # The next playback writes to the same place.
        return {name: value.clone() for name, value in self._terms.items()}
