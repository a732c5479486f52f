"""Pure parsing: HTML to records. Nothing here opens a connection or knows a browser."""

from scrapers.sites.site import SITES, BlockReason, SearchPage, SearchResult, Site

__all__ = ["SITES", "BlockReason", "SearchPage", "SearchResult", "Site"]
