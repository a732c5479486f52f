"""From the bytes of a bill to upright RGB pages, within limits."""

from __future__ import annotations

from collections.abc import Sequence

import pypdfium2  # type: ignore[import-untyped]  # it ships no types
from PIL import Image

from servicekit import errors, images

MOST_PAGES = 20
MOST_BYTES = 40 * 2**20
# A page is drawn so that its longer side has this many pixels: 150 dots per inch of A4.
_PDF_SIDE = 1754
_LARGEST_SIDE = 2000
_PASSWORD_ERROR = 4


def decode(files: Sequence[bytes]) -> list[Image.Image]:
    """All pages in order, longest side at most 2,000 pixels. Not for two threads at once: PDFium is not.

    Raises:
        errors.InvalidArgument: BILL_EMPTY, BILL_TOO_LARGE, BILL_TOO_MANY_PAGES, PDF_ENCRYPTED, PDF_UNREADABLE, and
            as `images.decode_rgb`.
    """
    check(files)
    pages: list[Image.Image] = []
    for number, data in enumerate(files):
        try:
            if is_pdf(data):
                pages += _pdf_pages(data, MOST_PAGES - len(pages))
            else:
                images.inspect(data)
                page = images.decode_rgb(data, min_side=_LARGEST_SIDE)
                page.thumbnail((_LARGEST_SIDE, _LARGEST_SIDE), Image.Resampling.LANCZOS)
                pages.append(page)
        except errors.InvalidArgument as error:
            raise errors.InvalidArgument(
                f"file {number + 1}: {error.message}", reason=error.reason, fields={f"pages[{number}]": error.message}
            ) from error
        if len(pages) > MOST_PAGES:
            raise _too_many(len(pages))
    return pages


def check(files: Sequence[bytes]) -> None:
    """The limits that can be checked without decoding; raises as `decode`."""
    if not files or not all(files):
        raise errors.InvalidArgument(
            "the bill is empty; send a picture of each page, or one PDF", reason="BILL_EMPTY", fields={"pages": "empty"}
        )
    if len(files) > MOST_PAGES:
        raise _too_many(len(files))
    if sum(map(len, files)) > MOST_BYTES:
        raise errors.InvalidArgument(
            f"the bill has more than {MOST_BYTES // 2**20} MiB; send fewer or smaller pages",
            reason="BILL_TOO_LARGE",
            fields={"pages": f"at most {MOST_BYTES // 2**20} MiB"},
        )


def is_pdf(data: bytes) -> bool:
    """Whether the file is a PDF: its mark stands within the first kilobyte."""
    return b"%PDF-" in data[:1024]


def _pdf_pages(data: bytes, room: int) -> list[Image.Image]:
    if len(data) > images.MAX_BYTES:
        raise errors.InvalidArgument(
            f"the PDF has more than {images.MAX_BYTES // 2**20} MiB; send fewer pages", reason="BILL_TOO_LARGE"
        )
    document = _opened(data)
    try:
        if len(document) > room:
            raise _too_many(len(document))
        if not len(document):
            raise errors.InvalidArgument("the PDF has no page", reason="PDF_UNREADABLE")
        return [_drawn(document, number) for number in range(len(document))]
    finally:
        document.close()


def _opened(data: bytes) -> pypdfium2.PdfDocument:
    try:
        return pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        if getattr(error, "err_code", None) == _PASSWORD_ERROR or "password" in str(error).lower():
            raise errors.InvalidArgument(
                "the PDF asks for a password; send one without", reason="PDF_ENCRYPTED"
            ) from None
        raise errors.InvalidArgument(
            "the PDF is damaged or ends too early; send the complete file", reason="PDF_UNREADABLE"
        ) from None


def _drawn(document: pypdfium2.PdfDocument, number: int) -> Image.Image:
    try:
        page = document[number]
        # The scale, not the size of the page, is what is trusted: pages may claim to be kilometres wide.
        scale = _PDF_SIDE / max(*page.get_size(), 1.0)
        drawn: Image.Image = page.render(scale=scale).to_pil().convert("RGB")
        page.close()
    except (pypdfium2.PdfiumError, ValueError) as error:
        raise errors.InvalidArgument(
            f"page {number + 1} of the PDF cannot be drawn; send it as a picture", reason="PDF_UNREADABLE"
        ) from error
    return drawn


def _too_many(count: int) -> errors.InvalidArgument:
    return errors.InvalidArgument(
        f"the bill has {count} pages; at most {MOST_PAGES} are taken, send it in parts",
        reason="BILL_TOO_MANY_PAGES",
        fields={"pages": f"at most {MOST_PAGES}"},
    )
