"""Fills a workbook of Excel 97 to 2003 in its place: records of cells are added, all other records stay.

Formats: [MS-CFB] for the container, [MS-XLS] for the records; section numbers in these modules are theirs.
"""
