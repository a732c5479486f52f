"""Fills a workbook without loading it: rows are streamed into the sheet's XML, all else is copied."""
