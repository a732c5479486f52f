"""What each marketplace wants in a listing, as data.

`load("ama_ear")` gives a `Listing`: its fields in column order with allowed values, limits, constants and
questions, the rules of its copy, and the layout of its workbook. A marketplace or a field is added by adding
data: see docs/add-a-marketplace.md.
"""

from marketplaces.loader import DATA, UnknownCode, codes, load
from marketplaces.model import CopyRules, Field, HeaderRow, ImageRules, Kind, Layout, Listing, Rule, VariationRules
from marketplaces.templates import Alias, Names, Standing, TaxRate, TaxRules, TemplateRules, ValueOrder, bare, folded

CODES: tuple[str, ...] = codes()
"""Codes of all listings that come with the package."""

__all__ = [
    "CODES",
    "DATA",
    "Alias",
    "CopyRules",
    "Field",
    "HeaderRow",
    "ImageRules",
    "Kind",
    "Layout",
    "Listing",
    "Names",
    "Rule",
    "Standing",
    "TaxRate",
    "TaxRules",
    "TemplateRules",
    "UnknownCode",
    "ValueOrder",
    "VariationRules",
    "bare",
    "codes",
    "folded",
    "load",
]
