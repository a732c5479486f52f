"""One call for every format, chosen by the file's ending; a file is replaced whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from scrapers.output import delimited, excel, json_lines, parquet
from scrapers.output.tables import Results

FORMATS: Mapping[str, Callable[[Path, Results], None]] = {
    ".xlsx": excel.write,
    ".csv": delimited.write,
    ".parquet": parquet.write,
    ".jsonl": json_lines.write,
    ".ndjson": json_lines.write,
}


class UnknownFormat(Exception):
    """The ending of an output file names no format."""


def check(path: Path) -> None:
    """Refuses a file that could not be written at the end of a long run.

    Raises:
        UnknownFormat: the ending is none of FORMATS, or the folder is no folder.
    """
    if path.suffix.lower() not in FORMATS:
        raise UnknownFormat(f"{path}: the ending must be one of {', '.join(FORMATS)}")
    if path.is_dir() or (path.parent.exists() and not path.parent.is_dir()):
        raise UnknownFormat(f"{path}: is a folder, or lies in something that is none")


def write(path: Path, results: Results) -> None:
    """Writes the results in the format of the file's ending.

    Raises:
        UnknownFormat: the ending is none of FORMATS.
        OSError: the file cannot be written.
    """
    check(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    try:
        FORMATS[path.suffix.lower()](partial, results)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
