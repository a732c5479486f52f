"""The tax rate of a row against its HSN code."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import marketplaces
from exporter_service.model import Column, Finding, Severity

_HSN = re.compile(r"\d{4}(?:\d{2}(?:\d{2})?)?")


class TaxCheck:
    """Checks the form of the HSN code, and that the rate is one that its goods have. What was found is kept by
    code and rate: few of them serve thousands of rows."""

    def __init__(self, listing: marketplaces.Listing, columns: Mapping[str, Column]) -> None:
        tax = listing.tax
        self._listing = listing
        self._hsn_field = tax.hsn_field if tax.hsn_field in columns else ""
        self._rate_field = tax.rate_field if tax.rate_field in columns else ""
        self._codes = columns[tax.rate_field].allowed_values if self._rate_field else ()
        self._known: dict[tuple[str, str], Finding | None] = {}

    def problem(self, text: Callable[[str], str]) -> Finding | None:
        """What is wrong with a row's tax; `text` gives the text of a field. The finding lacks the SKU."""
        if not self._hsn_field:
            return None
        key = (text(self._hsn_field), text(self._rate_field) if self._rate_field else "")
        if key not in self._known:
            if len(self._known) > 1000:
                self._known.clear()
            self._known[key] = self._problem(*key)
        return self._known[key]

    def _problem(self, hsn: str, code: str) -> Finding | None:
        if not hsn:
            return None
        if not _HSN.fullmatch(hsn):
            message = f"{self._label(self._hsn_field)}: an HSN code has 4, 6 or 8 digits"
            return Finding("", self._hsn_field, "hsn", Severity.ERROR, message)
        rate = self._listing.tax.rates.get(code)
        if rate is None:
            return None
        known = [each for each in self._listing.tax_rates if hsn.startswith(each.hsn)]
        if not known:
            message = f"no tax rate is known for HSN {hsn}: check that {code} is right"
            return Finding("", self._rate_field, "gst_hsn", Severity.INFO, message)
        wanted = max(known, key=lambda each: len(each.hsn)).rates
        if rate in wanted:
            return None
        codes = [each for each, meant in self._listing.tax.rates.items() if meant in wanted]
        offered = next((each for each in codes if not self._codes or each in self._codes), "")
        message = (
            f"{self._label(self._rate_field)} {code} means {rate}%; goods of HSN {hsn} have {' or '.join(wanted)}%"
        )
        return Finding("", self._rate_field, "gst_hsn", Severity.ERROR, message, offered)

    def _label(self, name: str) -> str:
        return self._listing.field(name).label
