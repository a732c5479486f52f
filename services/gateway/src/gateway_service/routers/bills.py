"""POST /process-image-and-prompt: a bill into a table; POST /further_req: some of its rows and columns."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request, Response
from fastapi.exceptions import RequestValidationError

from gateway_service.bodies import Form, read_form, require_json
from gateway_service.openapi import PROBLEMS, picture_body
from gateway_service.orders import split_list
from gateway_service.routers import present
from gateway_service.routers.deps import ClientsDep
from gateway_service.routers.negotiation import CSV, csv_answer, wants_csv
from gateway_service.schemas.answers import CostOut
from gateway_service.schemas.bills import BillAnswer, BillFields, CheckOut, RefineAnswer, RefineRequest
from gateway_service.tables import NamedValue, from_records, originals, to_csv, unique
from servicekit import errors, images

router = APIRouter(tags=["bills"], responses={**PROBLEMS, 200: CSV})

MAX_PAGES = 20
_PDF = b"%PDF-"


@router.post(
    "/process-image-and-prompt",
    response_model=BillAnswer,
    openapi_extra=picture_body(BillFields, file_names=("image", "file"), kinds=("application/pdf",), several=True),
)
async def process_image_and_prompt(request: Request, clients: ClientsDep) -> BillAnswer | Response:
    """Reads a bill into a table and tests its arithmetic.

    Send a picture, several pictures (one per page, in order) or one PDF as `image` or `file`, or the file itself as the
    body. `Accept: text/csv` gives the table as CSV.
    """
    names = ("image", "file", "images", "files")
    form = await read_form(request, file_names=names, most_files=MAX_PAGES, raw_kinds=("image/", "application/pdf"))
    fields = form.parse(BillFields)
    bill = await clients.analyzer.extract_table(_pages(form), fields.prompt)
    columns = unique(bill.table.columns)
    records = bill.table.records()
    if wants_csv(request):
        return csv_answer(columns, records, "table.csv")
    return BillAnswer(
        columns=columns,
        table=records,
        confidence=[[cell.confidence for cell in cells] for cells in bill.table.rows],
        extracted_data=_by_name(bill.fields),
        extras=_by_name(bill.extras),
        checks=[CheckOut.model_validate(check) for check in bill.checks],
        provenance=present.provenance([bill.adapter]),
        adapters=present.adapters([bill.adapter]),
        cost=CostOut.model_validate(bill.cost),
    )


@router.post("/further_req", response_model=RefineAnswer, dependencies=[Depends(require_json)])
async def further_req(body: RefineRequest, request: Request, clients: ClientsDep) -> RefineAnswer | Response:
    """Chooses columns and rows of a table. Rows and values are those that were sent; none is invented."""
    asked = [name for name in split_list(body.columns) if name]
    table = from_records(body.data)
    refined = await clients.analyzer.refine_table(table, asked, body.manual)
    records = originals(body.data, table, refined.table, asked)
    columns = list(records[0]) if records else list(refined.table.columns)
    if wants_csv(request):
        return csv_answer(columns, records, "filtered.csv")
    return RefineAnswer(
        data=records,
        filtered_csv=to_csv(columns, records),
        columns=columns,
        understood=refined.understood,
        provenance=present.provenance([refined.adapter]),
        cost=CostOut.model_validate(refined.cost),
    )


def _pages(form: Form) -> list[bytes]:
    """The pages, told by their first bytes, whatever the client calls them: pictures, or one PDF."""
    if not form.files:
        missing = "send the bill as the field `image` or `file`: a picture or a PDF"
        raise RequestValidationError([{"type": "missing", "loc": ("body", "image"), "msg": missing}])
    pages = [file.content for file in form.files]
    documents = sum(_is_pdf(page) for page in pages)
    if documents and len(pages) > 1:
        sentence = "send one PDF, or pictures; not several files with a PDF among them"
        raise errors.InvalidArgument(sentence, reason="FILES_SEVERAL", fields={"image": sentence})
    if not documents:
        for page in pages:
            images.inspect(page)
    return pages


def _is_pdf(content: bytes) -> bool:
    # Readers take a PDF whose header begins within the first kilobyte (ISO 32000-1, annex H.3.4.1).
    return _PDF in content[:1024]


def _by_name(values: tuple[NamedValue, ...]) -> dict[str, str]:
    names = unique([value.name for value in values])
    return {name: value.value for name, value in zip(names, values, strict=True)}
