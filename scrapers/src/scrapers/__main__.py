"""`python -m scrapers <site> <url or query or file of ids> --out products.xlsx`."""

from scrapers.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
