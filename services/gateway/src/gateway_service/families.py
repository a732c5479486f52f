"""Groups of an order's products that vary in colour, size or both: both forms, every mismatch named."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from gateway_service.jobs.rows import child_skus, parent_sku
from gateway_service.model import Family, Order
from servicekit import errors

MAX_SIZES = 50
MAX_SIZE = 50
_THEMES = {
    **dict.fromkeys(("color", "colour", "colorname"), "color"),
    **dict.fromkeys(("size", "sizename"), "size"),
    **dict.fromkeys(("colorsize", "coloursize", "sizecolor", "sizecolour", "both"), "colorsize"),
}


def with_families(
    order: Order,
    *,
    number_of_grps: int | None,
    group_sizes: str | Sequence[int | str],
    variations_category: str | Sequence[str],
    size_available: str | Sequence[str | Sequence[str]],
) -> Order:
    """The order with its products grouped, in the order in which their SKUs were sent.

    Args:
        group_sizes: Products of each group.
        variations_category: color, size or colorsize per group; one for all.
        size_available: Sizes per group, separated by commas; groups of a string are separated by `|`.

    Raises:
        errors.InvalidArgument: With the field that is wrong and what to do.
    """
    counts = [_count(entry) for entry in _split(group_sizes)]
    if not counts:
        raise _invalid("group_sizes", "say how many products each group has, such as [2, 1]")
    if number_of_grps is not None and number_of_grps != len(counts):
        raise _invalid("number_of_grps", f"it says {number_of_grps} groups, group_sizes has {len(counts)}")
    skus = [sku for sku, _ in order.products]
    if sum(counts) != len(skus):
        raise _invalid("group_sizes", f"the groups have {sum(counts)} products, skuids has {len(skus)}")
    themes = [_theme(entry) for entry in _split(variations_category)]
    if len(themes) == 1:
        themes *= len(counts)
    if len(themes) != len(counts):
        raise _invalid("variations_category", f"there are {len(themes)} categories for {len(counts)} groups")
    sizes = _sizes(size_available, themes)
    families = []
    for count, theme, offered in zip(counts, themes, sizes, strict=True):
        families.append(_family(skus[:count], theme, offered))
        skus = skus[count:]
    _refuse_repeated(order, families)
    return replace(order, families=tuple(families))


def _family(skus: list[str], theme: str, sizes: tuple[str, ...]) -> Family:
    name = parent_sku(skus)
    if theme == "color":
        return Family(name, theme, tuple(skus))
    if not sizes:
        raise _invalid("size_available", f"the group of {skus[0]} varies in size; say which sizes there are")
    if theme == "size" and len(skus) not in (1, len(sizes)):
        raise _invalid(
            "size_available",
            f"the group of {skus[0]} has {len(skus)} products and {len(sizes)} sizes; send one size per product, or "
            "one product that comes in all of them",
        )
    return Family(name, theme, tuple(skus), sizes)


def _sizes(given: str | Sequence[str | Sequence[str]], themes: list[str]) -> list[tuple[str, ...]]:
    sized = [at for at, theme in enumerate(themes) if theme != "color"]
    if isinstance(given, str):
        groups: list[str | Sequence[str]] = list(re.split(r"[|;]", given)) if given.strip() else []
    else:
        groups = list(given)
    if isinstance(given, str) and len(groups) == 1 and len(sized) == 1:
        groups = [groups[0] if at in sized else "" for at in range(len(themes))]
    if not groups:
        groups = [""] * len(themes)
    if len(groups) != len(themes):
        raise _invalid("size_available", f"there are sizes for {len(groups)} groups, and {len(themes)} groups")
    return [_of_one(group) for group in groups]


def _of_one(group: str | Sequence[str]) -> tuple[str, ...]:
    entries = group.split(",") if isinstance(group, str) else group
    sizes = tuple(entry.strip() for entry in entries if entry.strip())
    if len(sizes) > MAX_SIZES or any(len(size) > MAX_SIZE for size in sizes):
        raise _invalid("size_available", f"a group has at most {MAX_SIZES} sizes of at most {MAX_SIZE} characters")
    repeated = [size for size, count in Counter(size.casefold() for size in sizes).items() if count > 1]
    if repeated:
        raise _invalid("size_available", f"a size comes twice in one group: {repeated[0]}")
    return sizes


def _refuse_repeated(order: Order, families: list[Family]) -> None:
    named = [row for family in families for _, row, _ in child_skus(family)]
    named += [family.parent_sku for family in families]
    repeated = [sku for sku, count in Counter(named).items() if count > 1]
    if repeated:
        raise _invalid("skuids", f"two rows would have the same SKU: {repeated[0]}; rename one of the products")


def _split(given: str | Sequence[int | str]) -> list[int | str]:
    entries: list[int | str] = list(given.split(",")) if isinstance(given, str) else list(given)
    stripped = [entry.strip() if isinstance(entry, str) else entry for entry in entries]
    while stripped and stripped[-1] == "":
        stripped.pop()
    return stripped


def _count(entry: int | str) -> int:
    text = str(entry)
    if not text.isdecimal() or len(text) > 6 or int(text) < 1:
        raise _invalid("group_sizes", f"each group has 1 product or more: {text[:20]!r}")
    return int(text)


def _theme(entry: int | str) -> str:
    theme = _THEMES.get(re.sub(r"[^a-z]", "", str(entry).lower()))
    if theme is None:
        raise _invalid("variations_category", f"a group varies in color, size or colorsize, not in {str(entry)[:40]!r}")
    return theme


def _invalid(field: str, sentence: str) -> errors.InvalidArgument:
    return errors.InvalidArgument(sentence, fields={field: sentence})
