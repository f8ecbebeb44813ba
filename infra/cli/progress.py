"""Draws the steps of a long command: one bar each while it runs, one plain sentence once it is done.

Bars go to standard error, where a terminal redraws them; anything else gets only the sentences.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from infra.progress import Progress as Event


class StepBars:
    """A context in which `on_progress` draws events; a step that comes up first gets the next line."""

    def __init__(self) -> None:
        """Draw on standard error."""
        self._console = Console(stderr=True, highlight=False)
        self._bars = Progress(
            SpinnerColumn(finished_text="[green]✓[/]"),
            TextColumn("[bold]{task.fields[step]:<8}"),
            BarColumn(bar_width=20),
            TimeElapsedColumn(),
            TextColumn("{task.description}"),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> StepBars:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def on_progress(self, event: Event) -> None:
        """Draw one event."""
        message = escape(event.message)
        if not self._console.is_terminal:
            if event.finished:
                self._console.print(f"{event.step:<8} {message}", soft_wrap=True)
            return
        if event.step not in self._tasks:
            self._tasks[event.step] = self._bars.add_task("", total=None, step=event.step)
        total = event.total or None
        self._bars.update(self._tasks[event.step], completed=event.done, total=total, description=message)

    def steps(self, step: str, count: int) -> Callable[..., None]:
        """What draws a step that tells of `count` sentences as it gets to them, the last one `over`."""
        told = itertools.count()

        def on_step(message: str, *, over: bool = False) -> None:
            done = count if over else min(next(told), count - 1)
            self.on_progress(Event(step, message, done, count, {}))

        return on_step
