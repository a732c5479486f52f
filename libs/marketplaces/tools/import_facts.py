"""Makes the field tables of `marketplaces/data` from a folder of gathered facts.

    python libs/marketplaces/tools/import_facts.py FACTS_FOLDER

The folder holds one `<marketplace>_<category>.csv` per listing. What the facts lack (meaning of a vision
field, the question to ask, the name in a seller's profile) and what they have wrong is in `overlay/`, each
correction with its reason, so that the tables can be made again when better facts arrive. Sources and
confidences travel along.
"""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
DATA = HERE.parent / "src" / "marketplaces" / "data"
LISTINGS = {
    "amazon": ("earrings", "necklace", "bracelet"),
    "flipkart": ("earrings", "necklace", "bracelet"),
    "meesho": ("earrings", "necklace", "bracelet"),
    "shopsy": ("earrings",),
}
NOUNS = {"earrings": "pair of earrings", "necklace": "necklace", "bracelet": "bracelet"}
COLUMNS = [
    *("name", "label", "group", "required", "fixed", "kind", "max_length", "length_unit", "max_values"),
    *("options", "default", "profile", "concept", "question"),
    *("source", "confidence", "label_confidence", "required_confidence", "notes"),
]
# Shopsy takes Flipkart's fields.
SAME_FIELDS_AS = {"shopsy": "flipkart"}

Row = dict[str, str]


def read_csv(path: Path) -> list[Row]:
    """Reads a CSV file with a header row."""
    with path.open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def split_options(text: str) -> list[str]:
    """Splits allowed values at `|`; drops blanks, repeats and the `...` that stands for values not seen."""
    seen: dict[str, str] = {}
    for option in (part.strip() for part in text.split("|")):
        if option and not option.startswith("..."):
            seen.setdefault(option.casefold(), option)
    return list(seen.values())


def convert(fact: Row, noun: str, meanings: list[Row], corrections: list[Row]) -> Row:
    """Turns a row of facts into a row of the field table."""
    default = fact["default_value"].strip()
    row: Row = dict.fromkeys(COLUMNS, "") | {
        "name": fact["technical_name"].strip(),
        "label": fact["label"].strip() or fact["technical_name"].strip(),
        "group": fact["group"],
        "required": fact["required"],
        "fixed": "no",
        "kind": "text",
        "max_length": fact["max_length"],
        "length_unit": "characters",
        "max_values": "1",
        "options": "|".join(split_options(fact["allowed_values"])),
        "default": "" if default.startswith("<") else default,
        "notes": fact["notes"],
    }
    for column in ("source", "confidence", "label_confidence", "required_confidence"):
        row[column] = fact[column]
    for meaning in meanings:
        pattern = re.escape(meaning["field"]).replace(r"\#", r"\d+")
        if re.fullmatch(pattern, row["name"]):
            row["kind"] = meaning["kind"]
            row["profile"] = meaning["profile"]
            row["concept"] = meaning["concept"]
            row["max_values"] = meaning["max_values"]
            row["question"] = meaning["question"].replace("{noun}", noun) if row["group"] == "ai" else ""
    for correction in corrections:
        apply_correction(row, correction)
    return row


def apply_correction(row: Row, correction: Row) -> None:
    """Applies a correction and leaves its reason in the notes."""
    if correction["field"] != row["name"]:
        return
    attribute, value = correction["attribute"], correction["value"]
    if value == "@countries":
        value = "|".join((HERE / "overlay" / "countries.txt").read_text(encoding="utf-8").splitlines())
    if attribute == "notes":
        row["notes"] = f"{row['notes']}; {value}".strip("; ")
        return
    if row[attribute] != value:
        row[attribute] = value
        row["notes"] = f"{row['notes']}; {attribute}: {correction['why']}".strip("; ")


def listings(folder: Path) -> Iterator[tuple[str, str, list[Row]]]:
    """Yields marketplace, category and rows in column order."""
    for marketplace, categories in LISTINGS.items():
        for category in categories:
            rows = read_csv(folder / f"{marketplace}_{category}.csv")
            if all(row["column_index"] for row in rows):
                rows.sort(key=lambda row: int(row["column_index"]))
            yield marketplace, category, rows


def main(folder: Path) -> None:
    """Writes every field table."""
    meanings = read_csv(HERE / "overlay" / "meanings.csv")
    corrections = read_csv(HERE / "overlay" / "corrections.csv")
    for marketplace, category, facts in listings(folder):
        kin = SAME_FIELDS_AS.get(marketplace, marketplace)
        means = [m for m in meanings if m["marketplace"] == kin]
        fixes = [c for c in corrections if c["marketplace"] == kin and c["category"] in ("*", category)]
        rows = [convert(fact, NOUNS[category], means, fixes) for fact in facts]
        target = DATA / marketplace / f"{category}.csv"
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("w", encoding="utf-8", newline="") as handle:
            writer = csv.DictWriter(handle, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        print(f"{target.relative_to(DATA)}: {len(rows)} fields")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
