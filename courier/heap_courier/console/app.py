"""The web application: routes to the screens, and error pages."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from heap_courier.console.gate import COOKIE, SIGN_IN, Access, Gate, destination
from heap_courier.console.screens import (
    couriers,
    customers,
    feeds,
    groups,
    notifications,
    operations,
    removal,
    runs,
    sources,
    tables,
)
from heap_courier.console.visit import BUSY, Console, Form, Visit, query_of, render
from heap_courier.errors import BusyWarehouseError, CourierError, internal_error

BODY_MAXIMUM: Final = 4 << 20  # bytes in a form

_STATIC: Final = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_FILES: Final = {
    path.name: path.read_bytes() for path in (Path(__file__).parent / "static").iterdir() if path.suffix in _STATIC
}

Screen = Callable[[Visit], Response]
Endpoint = Callable[[Request], Awaitable[Response]]


def application(console: Console, access: Access) -> ASGIApp:
    """The console behind its access check."""

    def get(path: str, screen: Screen) -> Route:
        return Route(path, _endpoint(console, screen), methods=["GET"])

    def form(path: str, screen: Screen) -> Route:
        return Route(path, _endpoint(console, screen), methods=["GET", "POST"])

    def post(path: str, screen: Screen) -> Route:
        return Route(path, _endpoint(console, screen), methods=["POST"])

    routes = [
        Route("/static/{name}", _static),
        Route(SIGN_IN, _signing_in(access), methods=["GET", "POST"]),
        Route("/metrics", _metrics(console), methods=["GET"]),
        get("/", sources.sources),
        post("/project", sources.make),
        form("/couriers/new", couriers.new_courier),
        post("/couriers/matches", couriers.matches),
        form("/couriers/{name}/edit", couriers.edit_courier),
        form("/couriers/{name}/remove", removal.courier),
        form("/couriers/{name}/check", couriers.check),
        form("/credentials/{name}/remove", removal.credential),
        form("/couriers/{name}/run", runs.run),
        form("/couriers/{name}/operations", operations.operations),
        form("/feeds/new", feeds.new_feed),
        form("/feeds/{id}", feeds.editor),
        form("/feeds/{id}/remove", removal.feed),
        post("/feeds/{id}/validation", feeds.validate),
        get("/groups", groups.groups),
        form("/groups/new", groups.new_group),
        post("/groups/schedule", groups.preview),
        form("/groups/{name}/edit", groups.edit_group),
        form("/groups/{name}/remove", removal.group),
        post("/groups/{name}/status", groups.switch),
        post("/groups/{name}/run", groups.run_now),
        get("/notifications", notifications.notifications),
        get("/tables", tables.tables),
        get("/tables/show", tables.table),
        get("/tables/statistics", tables.statistics),
        post("/tables/download", tables.download),
        form("/sql", tables.sql),
        get("/customers", customers.customers),
        form("/customers/show/{id}", customers.customer),
        get("/customers/explain", customers.explain),
        post("/customers/run", customers.run_now),
        post("/customers/decisions/remove", customers.remove_decision),
        get("/jobs/{id}", runs.job),
        get("/jobs/{id}/events", runs.events),
        post("/jobs/{id}/stop", runs.stop),
        get("/runs", runs.runs),
        get("/runs/{id}", runs.one),
        post("/runs/{id}/again", runs.again),
    ]
    app = Starlette(routes=routes, exception_handlers={HTTPException: _explain})
    return Gate(app, access)


def _endpoint(console: Console, screen: Screen) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        form = Form([])
        if request.method == "POST":
            form = await _form(request)
        return await run_in_threadpool(_answer, Visit(console, request, form), screen)

    return endpoint


def _answer(visit: Visit, screen: Screen) -> Response:
    try:
        return screen(visit)
    except BusyWarehouseError:
        answer = visit.page("busy.html", 503, said=BUSY, again=not visit.posted)
        answer.headers["Retry-After"] = "5"
        return answer
    except CourierError as error:
        return visit.page("problem.html", 409, title="Something went wrong", lines=str(error).split("\n"))
    except HTTPException:
        raise
    except Exception as error:  # noqa: BLE001  (reported on a page; its message may quote a row, so only its location is shown)
        return visit.page("problem.html", 500, title="Something went wrong", lines=[internal_error(error)])


def _metrics(console: Console) -> Endpoint:
    async def metrics(_request: Request) -> Response:
        content_type, text = console.metrics()
        return Response(text, headers={"Content-Type": content_type})

    return metrics


async def _form(request: Request) -> Form:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in ("", "application/x-www-form-urlencoded"):
        raise HTTPException(415, "Send a form as `application/x-www-form-urlencoded`.")
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > BODY_MAXIMUM:
                raise HTTPException(413, f"The form is larger than {BODY_MAXIMUM:,} bytes.")
    except ClientDisconnect:
        raise HTTPException(400, "The form was not received completely.") from None
    try:
        return query_of(body.decode("utf-8"))
    except ValueError:
        raise HTTPException(400, "The form cannot be read: it is not valid UTF-8, or has too many fields.") from None


async def _explain(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    detail = error.detail if isinstance(error, HTTPException) else ""
    sentence = "Page not found." if status == 404 else detail  # noqa: PLR2004  (not found)
    page = render("problem.html", at=request.url.path, title="Something went wrong", lines=[sentence])
    return Response(page, status, media_type="text/html")


async def _static(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in _FILES:
        raise HTTPException(404)
    headers = {"Cache-Control": "no-cache"}
    return Response(_FILES[name], media_type=_STATIC[Path(name).suffix], headers=headers)


def _signing_in(access: Access) -> Endpoint:
    async def sign_in(request: Request) -> Response:
        goal = destination(request.url.query)
        if request.method == "GET":
            if access.admits(request.headers):
                return RedirectResponse(goal, 303)
            return Response(render("sign_in.html", at=SIGN_IN, wrong=False), media_type="text/html")
        session = access.sign_in((await _form(request)).get("token"))
        if session is None:
            return Response(render("sign_in.html", at=SIGN_IN, wrong=True), 401, media_type="text/html")
        answer = RedirectResponse(goal, 303)
        answer.set_cookie(COOKIE, session, httponly=True, samesite="strict", secure=access.secure)
        return answer

    return sign_in
