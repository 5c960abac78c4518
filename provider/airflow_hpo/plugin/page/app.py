"""
The page's application: its files, and what it asks for as JSON.

Every route is behind Airflow's login, and what is told of a study behind the
permissions on its DAGs (see `guard`). Nothing can be changed here.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi.responses import FileResponse, JSONResponse

from airflow_hpo import __version__
from airflow_hpo.errors import HpoError, StorageError, StudyNotFoundError
from airflow_hpo.plugin.page.files import FILES, HEADERS, REPORT_POLICY, plotly_script, tag_of
from airflow_hpo.plugin.page.guard import Visitor, login, visitor
from airflow_hpo.plugin.page.overview import overview
from airflow_hpo.plugin.page.shelf import Shelf, Snapshot
from airflow_hpo.plugin.page.studies import listed
from airflow_hpo.plugin.page.table import Wish, chosen, page
from airflow_hpo.plugin.page.written import KINDS, written, written_sizes
from airflow_hpo.report import study_html, write_csv
from airflow_hpo.report.figures import Asked, draw

__all__ = ["page_app"]

# A filter may be no longer than this, and so many charts of a study are kept.
_TEXT, _DRAWN = 10_000, 64

router = APIRouter()


def _wish(
    sort: str = "number",
    order: str = "desc",
    state: Annotated[list[str] | None, Query()] = None,
    text: Annotated[str, Query(max_length=_TEXT)] = "",
    run: str = "",
) -> Wish:
    """
    Return which trials a request is about.
    """
    states = frozenset(state or ())
    return Wish(sort=sort, descending=order != "asc", states=states, text=text, run=run)


_Visitor = Annotated[Visitor, Depends(visitor)]
_Name = Annotated[str, Query(alias="study", min_length=1)]
_Wish = Annotated[Wish, Depends(_wish)]


def page_app() -> FastAPI:
    """
    Return the application; its journal is looked up when it is first asked.
    """
    app = FastAPI(
        title="Hyperparameter studies",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        dependencies=[Depends(login)],
    )
    app.state.shelf = Shelf()
    app.include_router(router)
    app.add_exception_handler(HpoError, _refused)
    return app


def _refused(request: Request, error: Exception) -> Response:
    """
    Say what is wrong with the journal or the question.
    """
    del request
    status = 503 if isinstance(error, StorageError) else 400
    return JSONResponse({"detail": str(error)}, status_code=status, headers=dict(HEADERS))


@router.get("/")
def index() -> Response:
    """
    Return the page.
    """
    return _file("index.html")


@router.get("/static/{name}")
def static(name: str) -> Response:
    """
    Return one of the page's own files.
    """
    return _file(name)


@router.get("/plotly.js")
def plotly() -> Response:
    """
    Return Plotly's script, as the installed package brings it.
    """
    path = plotly_script()
    if path is None:
        raise HTTPException(404, "Plotly is not installed")
    return FileResponse(path, media_type="text/javascript; charset=utf-8", headers=dict(HEADERS))


@router.get("/api/studies")
def studies(
    request: Request, who: _Visitor, dag_id: str | None = None, run_id: str | None = None
) -> Response:
    """
    Return a line about every study that the visitor may read, newest first.
    """
    shelf: Shelf = request.app.state.shelf
    return _json(request, listed(shelf, who, dag_id=dag_id, run_id=run_id))


@router.get("/api/study")
def study(request: Request, who: _Visitor, name: _Name) -> Response:
    """
    Return all about a study but its trials.
    """
    return _fresh(request, who, name, overview)


@router.get("/api/trials")
def trials(
    request: Request,
    who: _Visitor,
    name: _Name,
    wish: _Wish,
    offset: int = 0,
    limit: int = 100,
) -> Response:
    """
    Return a page of the trials.
    """
    return _fresh(request, who, name, lambda found: page(found, wish, offset=offset, limit=limit))


@router.get("/api/trials.csv")
def trials_csv(request: Request, who: _Visitor, name: _Name, wish: _Wish) -> Response:
    """
    Return the trials that are asked for as CSV, all of them.
    """
    found = _opened(request, who, name)
    text = io.StringIO()
    write_csv(chosen(found, wish), text, columns=found.columns)
    file = quote(f"{name}.csv", safe="")
    disposition = f"attachment; filename=\"trials.csv\"; filename*=UTF-8''{file}"
    return Response(
        text.getvalue(),
        media_type="text/csv; charset=utf-8",
        headers={**HEADERS, "Content-Disposition": disposition},
    )


@router.get("/report.html")
def report(request: Request, who: _Visitor, name: _Name) -> Response:
    """
    Return the study's report as it would be written now: one page, with its own scripts.
    """
    found = _opened(request, who, name)
    text = study_html(found.record, found.blueprint, events=found.events, measured=found.measured)
    return Response(
        text,
        media_type="text/html; charset=utf-8",
        headers={**HEADERS, "Content-Security-Policy": REPORT_POLICY},
    )


@router.get("/api/written")
def written_files(request: Request, who: _Visitor, name: _Name) -> Response:
    """
    Return which files of the study's report were written, and their sizes in bytes.
    """
    _check(request.app.state.shelf, who, name)
    return _json(request, {"files": written_sizes(name)})


@router.get("/written/{file}")
def written_file(request: Request, who: _Visitor, name: _Name, file: str) -> Response:
    """
    Return a file of the study's report as it was written last.
    """
    _check(request.app.state.shelf, who, name)
    headers = {**HEADERS, "Content-Security-Policy": REPORT_POLICY}
    if file != "report.html":
        headers["Content-Disposition"] = f'attachment; filename="{quote(file)}"'
    return Response(written(name, file), media_type=KINDS.get(file), headers=headers)


@router.get("/api/chart/{chart}")
def chart(
    request: Request,
    who: _Visitor,
    name: _Name,
    chart: str,
    objective: int = 0,
    params: Annotated[list[str] | None, Query()] = None,
) -> Response:
    """
    Return a chart as Plotly's JSON.
    """

    def drawn(found: Snapshot) -> Any:  # noqa: ANN401 - plain data
        key = f"{chart}/{objective}/{params}"
        if key not in found.drawn:
            if len(found.drawn) > _DRAWN:
                found.drawn.clear()
            found.drawn[key] = draw(
                chart,
                Asked(
                    found.record,
                    found.blueprint,
                    objective=objective,
                    params=params or (),
                    measured=found.measured if chart == "curves" else {},
                    events=found.events if chart == "timeline" else (),
                    now=time.time(),
                ),
            )
        return found.drawn[key]

    return _fresh(request, who, name, drawn)


def _opened(request: Request, who: Visitor, name: str) -> Snapshot:
    """
    Return a study that the visitor may read.
    """
    shelf: Shelf = request.app.state.shelf
    _check(shelf, who, name)
    return shelf.open(name)


def _check(shelf: Shelf, who: Visitor, name: str) -> None:
    try:
        owners = shelf.owners(name)
    except StudyNotFoundError:
        who.check(None)
    else:
        who.check(owners)


def _fresh(request: Request, who: Visitor, name: str, make: Callable[[Snapshot], Any]) -> Response:
    """
    Return what *make* makes of a study, or nothing where the visitor has it already.
    """
    shelf: Shelf = request.app.state.shelf
    _check(shelf, who, name)
    tag = tag_of(__version__, shelf.version(name), request.url.path, request.url.query)
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers={**HEADERS, "ETag": tag})
    return JSONResponse(make(shelf.open(name)), headers={**HEADERS, "ETag": tag})


def _json(request: Request, content: Any) -> Response:  # noqa: ANN401 - plain data
    """
    Return *content*, or nothing where the visitor has it already.
    """
    answer = JSONResponse(content, headers=dict(HEADERS))
    tag = tag_of(bytes(answer.body))
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers={**HEADERS, "ETag": tag})
    answer.headers["ETag"] = tag
    return answer


def _file(name: str) -> Response:
    """
    Return one of the files that may be fetched.
    """
    found = FILES.get(name)
    if found is None:
        raise HTTPException(404, "there is no such file")
    path, kind = found
    return FileResponse(path, media_type=kind, headers=dict(HEADERS))
