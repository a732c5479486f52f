"""One readable log of many processes."""

from __future__ import annotations

from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.text import Text

from jewelry_local.topology import WITH_SCREENS

_COLORS = ("cyan", "magenta", "blue", "green", "yellow", "bright_cyan", "bright_magenta", "bright_blue")
_COLOR = {process.name: color for process, color in zip(WITH_SCREENS, _COLORS, strict=True)}
_WIDTH = max(len(process.name) for process in WITH_SCREENS)


class ScreenLog:
    """Lines on the screen, each with the name of its process in the process's colour."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def __call__(self, name: str, line: str) -> None:
        text = Text(f"{name:<{_WIDTH}} | ", style=_COLOR.get(name, "bold red"))
        # The line itself is data: no markup in it is interpreted.
        self._console.print(text.append(Text(line, style="default")), soft_wrap=True)


class FileLog:
    """Lines in a file; `tail` gives the last ones of a process."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file: TextIO = path.open("w", encoding="utf-8")
        self.path = path

    def __call__(self, name: str, line: str) -> None:
        self._file.write(f"{name:<{_WIDTH}} | {line}\n")
        self._file.flush()

    def close(self) -> None:
        """Closes the file."""
        self._file.close()
