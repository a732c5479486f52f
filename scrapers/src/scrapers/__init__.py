"""Amazon, Flipkart and Myntra products as one kind of record.

Parsing is apart from browsing: `scrapers.sites` turns pages into records and knows no browser, `scrapers.browse` drives
Chromium and knows no markup.
"""
