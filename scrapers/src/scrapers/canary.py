"""The canary: reads a known product page and says which fields are no longer found, and which facts no longer hold."""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from scrapers.output.tables import options
from scrapers.record import PAGE_FIELDS, Record, Specification, Variant
from scrapers.sites import Site
from scrapers.sites.view import View

# Fields that several data fill: which facts to name for them.
_DATA = {
    "images": ("gallery", "dynamic_image", "media", "images", "thumbnails"),
    "videos": ("videos", "media"),
    "variants": ("variants", "swatches", "swatch_products", "swatches_dom", "colours", "sizes", "size_buttons"),
    "specifications": ("specifications", "attributes", "spec_groups"),
    "category_path": ("category_path", "breadcrumbs", "category_masterCategory", "category_superCategory"),
    "description": ("description", "details"),
    "bullets": ("bullets", "details"),
    "availability": ("availability", "sizes", "out_of_stock", "buttons"),
}

ELSEWHERE = "the address, another field, or the order of the page"


@dataclass(frozen=True, slots=True)
class Finding:
    """One field: whether it was found, whether the site's pages should have it, by which fact, and what it says."""

    field: str
    found: bool
    required: bool
    by: str
    shown: str
    dead: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Checkup:
    """What a page still tells."""

    site: str
    url: str
    findings: tuple[Finding, ...]

    @property
    def lost(self) -> tuple[str, ...]:
        """Required fields that the page no longer gives."""
        return tuple(finding.field for finding in self.findings if finding.required and not finding.found)


def examine(site: Site, html: str, url: str) -> Checkup:
    """Parses a page and traces every field to its fact. Facts that were tried and gave nothing are `dead`."""
    record = site.parse_product(html, url)
    view = site.view(html, url)
    site.parser(view)
    findings = (_finding(site, view, record, field) for field in PAGE_FIELDS)
    return Checkup(site.name, url, tuple(findings))


def _finding(site: Site, view: View, record: Record, field: str) -> Finding:
    value = getattr(record, field)
    found = value not in (None, "", ())
    data = _DATA.get(field, (field,))
    facts = [fact for datum in data for fact in site.data.of("product", datum)]
    by = next(
        (str(view.used[datum]) for datum in data if datum in view.used),
        ELSEWHERE,
    )
    return Finding(
        field=field,
        found=found,
        required=field in site.data.required,
        by=by if found else "",
        shown=_shown(value) if found else "",
        dead=tuple(str(fact) for fact in facts if not view.read(fact)),
    )


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        first = value[0]
        if isinstance(first, Specification):
            first = f"{first.name}: {first.value}"
        elif isinstance(first, Variant):
            first = options(first.options)
        return f"{len(value)}: {first}"[:80]
    return str(value).replace("\n", " ")[:80]


def report(checkup: Checkup, console: Console, *, verbose: bool) -> None:
    """Prints the findings; with `verbose` also the facts that no longer hold."""
    table = Table(title=f"{checkup.site}: {escape(checkup.url)}", title_justify="left")
    for column in ("field", "", "value", "found by"):
        table.add_column(column, overflow="fold")
    for finding in checkup.findings:
        state = "ok" if finding.found else ("LOST" if finding.required else "-")
        table.add_row(finding.field, state, escape(finding.shown), escape(finding.by))
    console.print(table)
    if verbose:
        for finding in checkup.findings:
            for fact in finding.dead:
                console.print(f"{finding.field}: nothing at {escape(fact)}", highlight=False, soft_wrap=True)
    console.print(verdict(checkup), highlight=False)


def verdict(checkup: Checkup) -> str:
    """One sentence: what is lost."""
    if not checkup.lost:
        return f"{checkup.site}: every field that its pages should have was found"
    return f"{checkup.site}: no longer found: {', '.join(checkup.lost)}"
