"""Records into tables: Excel, CSV, Parquet, JSON lines."""

from scrapers.output.tables import Results
from scrapers.output.writing import FORMATS, UnknownFormat, check, write

__all__ = ["FORMATS", "Results", "UnknownFormat", "check", "write"]
