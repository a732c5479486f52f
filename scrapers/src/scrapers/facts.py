"""What is known of each site's pages, as data: `data/facts.csv` and `data/sites.toml`.

A fact says where a datum stands on a page, how it is read, who saw it there and how sure that is. Facts of one datum
are tried in the order of the file: embedded state first, then the document, class names that rotate last.
"""

from __future__ import annotations

import csv
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Literal

from scrapers.record import SITE_NAMES, SiteName

How = Literal["marker", "state", "ld", "json", "script", "css", "constant"]
HOWS: tuple[How, ...] = ("marker", "state", "ld", "json", "script", "css", "constant")
PageKind = Literal["product", "search", "block"]
PAGE_KINDS: tuple[PageKind, ...] = ("product", "search", "block")


@dataclass(frozen=True, slots=True)
class Fact:
    """One place of one datum.

    `how` and `what`: `state` a path into the embedded state; `ld` a path into the JSON-LD product; `json` a selector,
    " | ", and a path into the JSON that the element or attribute holds; `css` a selector, with `@name` at its end for
    an attribute instead of the text; `script` a pattern in the page's scripts, whose group is the value, or after whose
    empty group a JSON value begins; `marker` what the embedded state is assigned to; `constant` the value itself.
    """

    site: SiteName
    page: PageKind
    datum: str
    how: How
    what: str
    source: str
    confidence: str

    def __str__(self) -> str:
        return f"{self.how} {self.what}"


@dataclass(frozen=True, slots=True)
class SiteData:
    """A site's addresses and ids.

    `id_patterns` are full matches of what names a product; `id_in_url` finds an id in an address, first pattern first;
    `product_paths` maps the index of an id pattern to the path of the product's page ("{id}" stands for the id);
    `search_path` has "{query}" and "{page}"; `image_hosts` are the hosts (with subdomains) that serve its pictures;
    `canary` are products that the canary may look at; `required` are fields without which a page has changed.
    """

    name: SiteName
    title: str
    base_url: str
    id_patterns: tuple[re.Pattern[str], ...]
    id_in_url: tuple[re.Pattern[str], ...]
    product_paths: tuple[str, ...]
    search_path: str
    query_separator: str
    image_hosts: tuple[str, ...]
    canary: tuple[str, ...]
    required: tuple[str, ...]
    facts: Mapping[tuple[PageKind, str], tuple[Fact, ...]]

    def of(self, page: PageKind, datum: str) -> tuple[Fact, ...]:
        """The facts of one datum, in the order in which they are tried."""
        return self.facts.get((page, datum), ())


@cache
def all_facts() -> tuple[Fact, ...]:
    """Every row of `data/facts.csv`.

    Raises:
        ValueError: a row names an unknown site, page or way of reading.
    """
    text = resources.files("scrapers").joinpath("data/facts.csv").read_text(encoding="utf-8")
    return tuple(_fact(row) for row in csv.DictReader(text.splitlines()))


def _fact(row: dict[str, str]) -> Fact:
    for site in SITE_NAMES:
        for page in PAGE_KINDS:
            for how in HOWS:
                if (row["site"], row["page"], row["how"]) == (site, page, how):
                    return Fact(site, page, row["datum"], how, row["what"], row["source"], row["confidence"])
    raise ValueError(f"facts.csv: {row['site']}/{row['page']}/{row['how']} ({row['what']}) is not known")


@cache
def site_data(name: SiteName) -> SiteData:
    """What is known of one site."""
    text = resources.files("scrapers").joinpath("data/sites.toml").read_text(encoding="utf-8")
    entry = tomllib.loads(text)[name]
    grouped: dict[tuple[PageKind, str], tuple[Fact, ...]] = {}
    for fact in all_facts():
        if fact.site == name:
            grouped[fact.page, fact.datum] = (*grouped.get((fact.page, fact.datum), ()), fact)
    return SiteData(
        name=name,
        title=entry["title"],
        base_url=entry["base_url"],
        id_patterns=tuple(re.compile(pattern) for pattern in entry["id_patterns"]),
        id_in_url=tuple(re.compile(pattern) for pattern in entry["id_in_url"]),
        product_paths=tuple(entry["product_paths"]),
        search_path=entry["search_path"],
        query_separator=entry["query_separator"],
        image_hosts=tuple(entry["image_hosts"]),
        canary=tuple(entry["canary"]),
        required=tuple(entry["required"]),
        facts=grouped,
    )
