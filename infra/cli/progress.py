"""Draws the steps of a long command: one bar each while it runs, one plain sentence once it is done.

Bars go to standard error, where a terminal redraws them; anything else gets only the sentences.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from infra.progress import Progress as Event


class StepBars:
    """A context in which `on_progress` draws events; a step that comes up first gets the next line."""

    def __init__(self) -> None:
        """Draw on standard error."""
        self._lines = _Lines()

    def __enter__(self) -> Self:
        self._lines.bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lines.bars.stop()

    def on_progress(self, event: Event) -> None:
        """Draw one event."""
        self._lines.draw(event.step, event.message, event, is_last=event.finished)

    def steps(self, step: str, count: int) -> Callable[..., None]:
        """What draws a step that tells of `count` sentences as it gets to them, the last one `over`."""
        told = itertools.count()

        def on_step(message: str, *, over: bool = False) -> None:
            done = count if over else min(next(told), count - 1)
            self.on_progress(Event(step, message, done, count, {}))

        return on_step


class ModelBars(StepBars):
    """The same for many models: each has one line, on which its steps follow one another."""

    def on_model(self, name: str, event: Event) -> None:
        """Draw one event of a model."""
        self._lines.draw(name, event.message, event, is_last=event.finished and event.step == "publish")


class _Lines:
    """Bars by the name that stands before them; without a terminal, a sentence for each step that is over."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self.bars = Progress(
            SpinnerColumn(finished_text="[green]✓[/]"),
            TextColumn("[bold]{task.fields[name]:<8}"),
            BarColumn(bar_width=20),
            TimeElapsedColumn(),
            TextColumn("{task.description}"),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}

    def draw(self, name: str, message: str, event: Event, *, is_last: bool) -> None:
        """Show where the work of this name stands; only its last event may show it as over."""
        if not self._console.is_terminal:
            if event.finished:
                self._console.print(f"{name:<8} {escape(message)}", soft_wrap=True)
            return
        if name not in self._tasks:
            self._tasks[name] = self.bars.add_task("", total=None, name=name)
        total = event.total if event.total and (is_last or not event.finished) else None
        self.bars.update(self._tasks[name], completed=event.done, total=total, description=escape(message))
