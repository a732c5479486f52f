"""Reads listings from data files: one folder per marketplace, `marketplace.toml` and one CSV per category."""

from __future__ import annotations

import csv
import re
import tomllib
from collections.abc import Iterable, Mapping, Set
from functools import lru_cache
from pathlib import Path
from typing import Any

from marketplaces.model import CopyRules, Field, ImageRules, Layout, Listing, Rule, VariationRules
from marketplaces.templates import Alias, TaxRate, TaxRules, TemplateRules, ValueOrder

DATA = Path(__file__).resolve().parent / "data"
REQUIRED = {"yes": True, "no": False, "unknown": None}


class UnknownCode(KeyError):
    """There is no listing of that code."""

    def __init__(self, code: str, codes: tuple[str, ...]) -> None:
        super().__init__(code)
        self.code = code
        self.codes = codes

    def __str__(self) -> str:
        return f"there is no marketplace code {self.code!r}; use one of {', '.join(self.codes)}"


def codes(root: Path = DATA) -> tuple[str, ...]:
    """Codes of all listings under `root`, such as `ama_ear`, in the order that their files list them."""
    return tuple(_index(root))


def load(code: str, root: Path = DATA) -> Listing:
    """Loads and validates a listing; the result is cached and immutable.

    Raises:
        UnknownCode: no such listing; the message lists the codes.
        ValueError: the data contradicts itself; the message names file and field.
    """
    index = _index(root)
    if code not in index:
        raise UnknownCode(code, tuple(index))
    return _load(code, root)


@lru_cache(maxsize=32)
def _index(root: Path) -> Mapping[str, tuple[Path, str]]:
    index = {}
    for path in sorted(root.glob("*/marketplace.toml")):
        about = _toml(path)
        for short, category in about["categories"].items():
            index[f"{about['code_prefix']}_{short}"] = (path.parent, category)
    return index


@lru_cache(maxsize=64)
def _load(code: str, root: Path) -> Listing:
    folder, category = _index(root)[code]
    about = _toml(folder / "marketplace.toml")
    fields = _fields(folder / f"{category}.csv", about["separator"])
    known = {field.name for field in fields}
    layout = dict(about["layout"])
    sheets = layout.pop("sheets", {})
    layout.setdefault("sheet", sheets.get(category))
    layout["settings"] = about.get("settings", {})
    try:
        return Listing(
            code=code,
            name=about["name"],
            marketplace=about["marketplace"],
            category=category,
            fields=fields,
            separator=about["separator"],
            sku=about["sku_field"],
            price=about["price_field"],
            mrp=about["mrp_field"],
            # A category that lacks one of them does without.
            sku_copies=tuple(f.name for f in fields if f.name in about.get("sku_copies", ())),
            price_below_mrp=about.get("price_below_mrp", False),
            images=tuple(about["images"]["columns"]),
            refused_image_hosts=tuple(about["images"].get("refused_hosts", ())),
            image_rules=ImageRules.model_validate(about["images"].get("rules", {})),
            copy=_copy_rules(about["copy"], fields, root),
            layout=Layout.model_validate(layout),
            variation=VariationRules.model_validate(about.get("variation", {})),
            rules=tuple(Rule.model_validate(rule) for rule in about.get("rules", ())),
            template=_template_rules(about.get("template", {}), category),
            tax=TaxRules.model_validate(about.get("tax", {})),
            tax_rates=_tax_rates(root),
            price_orders=_orders(about.get("price_orders", ()), known),
            date_orders=_orders(about.get("date_orders", ()), known),
            spellings=_spellings(folder / "spellings.csv"),
            extras=_fields(extras, about["separator"]) if (extras := folder / "extras.csv").exists() else (),
            aliases=tuple(Alias.model_validate(row) for row in _rows(folder / "aliases.csv")),
        )
    except ValueError as error:
        raise ValueError(f"{folder / 'marketplace.toml'}: {error}") from error


def _copy_rules(about: Mapping[str, Any], fields: tuple[Field, ...], root: Path) -> CopyRules:
    rules = dict(about)
    prefix = rules.pop("bullet_prefix", None)
    fallback = rules.pop("bullets_without_template", 0)
    bullets = tuple(f.name for f in fields if prefix and re.fullmatch(re.escape(prefix) + r"\d+", f.name))
    common = _toml(root / "copy_rules.toml")
    for name in ("forbidden_characters", "promotional", "claims"):
        rules[name] = tuple(dict.fromkeys((*common[name], *rules.get(name, ()))))
    rules["bullet_fields"] = bullets
    rules["bullets_wanted"] = len(bullets) or fallback
    return CopyRules.model_validate(rules)


def _template_rules(about: Mapping[str, Any], category: str) -> TemplateRules:
    rules = dict(about)
    for name in ("sheets", "product_types"):
        by_category = rules.pop(f"{name}_by_category", {})
        rules[name] = (*by_category.get(category, ()), *rules.get(name, ()))
    return TemplateRules.model_validate(rules)


def _orders(rows: Iterable[Mapping[str, Any]], known: Set[str]) -> tuple[ValueOrder, ...]:
    """A category that lacks one of the fields does without the order."""
    orders = (ValueOrder.model_validate(row) for row in rows)
    return tuple(order for order in orders if {order.lower, order.upper} <= known)


def _spellings(path: Path) -> dict[str, dict[str, tuple[str, ...]]]:
    found: dict[str, dict[str, tuple[str, ...]]] = {}
    for row in _rows(path):
        values = found.setdefault(row["field"], {})
        values[row["value"]] = (*values.get(row["value"], ()), row["also"])
    return found


@lru_cache(maxsize=8)
def _tax_rates(root: Path) -> tuple[TaxRate, ...]:
    rows = _rows(root / "tax_rates.csv")
    return tuple(TaxRate(hsn=row["hsn"], rates=tuple(row["rates"].split("|")), source=row["source"]) for row in rows)


def _rows(path: Path) -> list[dict[str, str]]:
    """Rows of a table that a marketplace may lack."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def _fields(path: Path, separator: str) -> tuple[Field, ...]:
    fields = []
    with path.open(encoding="utf-8", newline="") as handle:
        for line, row in enumerate(csv.DictReader(handle), start=2):
            try:
                fields.append(_field(row))
            except (ValueError, KeyError) as error:
                raise ValueError(f"{path}, line {line}: {error}") from error
            _check_default(fields[-1], separator, f"{path}, line {line}")
    return tuple(fields)


def _field(row: Mapping[str, str]) -> Field:
    values: dict[str, Any] = dict(row)
    values["required"] = REQUIRED[row["required"]]
    values["fixed"] = row["fixed"] == "yes"
    values["max_length"] = int(row["max_length"]) if row["max_length"] else None
    values["max_values"] = int(row["max_values"] or 1)
    values["multi"] = values["max_values"] > 1
    values["options"] = tuple(row["options"].split("|")) if row["options"] else ()
    return Field.model_validate(values)


def _check_default(field: Field, separator: str, place: str) -> None:
    """A constant that the marketplace would refuse is an error in the data."""
    parts = field.default.split(separator) if field.multi and separator else [field.default]
    outside = [part for part in parts if part and field.options and part not in field.options]
    if outside:
        raise ValueError(f"{place}: {field.name}: the default {outside[0]!r} is not among the options")


def _toml(path: Path) -> dict[str, Any]:
    with path.open("rb") as handle:
        return tomllib.load(handle)
