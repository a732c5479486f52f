"""Understands the workbook that a seller downloaded: where its header is, what its columns mean, what they take."""
