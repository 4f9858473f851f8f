"""The HTTP API, as an ASGI application; its description (OpenAPI) is made from this code.

Every answer goes through :class:`guardrails.desk.Desk`, as one of the command line does. The
server knows the person by a token, and signs the answer in that person's place by its own key,
unless the person signed it already.
"""

from __future__ import annotations

from json import JSONDecodeError
from typing import TYPE_CHECKING, Annotated, Any, Final

from fastapi import APIRouter, FastAPI, Path, Query, Request, Security
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException
from starlette.responses import Response

from guardrails.approvals.table import UnknownRequest
from guardrails.audit.exact_json import exact_json
from guardrails.model.approval import ApprovalState
from guardrails.model.exact_text import read_exact
from guardrails.server import problems
from guardrails.server.documents import (
    MOST_LISTED,
    Acceptance,
    Approval,
    Edit,
    Health,
    Left,
    Listed,
    Me,
    Rejection,
    RequestDocument,
    document_of,
)
from guardrails.server.protection import Protection

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from starlette.types import ASGIApp

    from guardrails.approvals.signing import Voucher
    from guardrails.desk import Desk
    from guardrails.model.approval import ApprovalRequest
    from guardrails.server.callers import Caller, Callers
    from guardrails.server.failures import Failures

CHANNEL: Final = "http"
"""How the record and a request's steps call this way of answering."""

_bearer: Final = HTTPBearer(
    auto_error=False,
    scheme_name="token",
    description="A token of approvers.yaml (`grt_…`), or a JSON Web Token of the issuer.",
)
_Id = Annotated[str, Path(pattern=r"^ap-[0-9a-f]{12}$", description="The request's whole id.")]
_ALWAYS: Final = (401, 403, 413, 422, 429, 503)


class _ExactRequest(Request):
    """A request whose body is read exactly: no number passes through a float."""

    async def json(self) -> Any:
        """The value that the body writes.

        Raises:
            JSONDecodeError: it is no JSON in UTF-8, or says a thing twice.
        """
        try:
            return read_exact((await self.body()).decode())
        except ValueError as error:
            raise JSONDecodeError(str(error), "", 0) from error


class _JsonRoute(APIRoute):
    """A route whose body is JSON by its content type, as no form of a web page can be."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def checked(request: Request) -> Response:
            kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
            if request.method == "POST" and kind != "application/json":
                raise HTTPException(415, "the content type `application/json` is needed")
            return await handle(_ExactRequest(request.scope, request.receive))

        return checked


def create_app(desk: Desk, voucher: Voucher, callers: Callers, failures: Failures) -> ASGIApp:
    """The application.

    Args:
        desk: Where people answer.
        voucher: Signs in their place.
        callers: Finds out who asks.
        failures: How often that failed.
    """
    app = FastAPI(
        title="guardrails approvals",
        version="1",
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    problems.install(app)
    app.include_router(_health(desk))
    app.include_router(_looking(desk, voucher.server))
    app.include_router(_answering(desk, voucher))
    _describe_problems(app)
    return Protection(app, callers, failures, desk)


_DESCRIPTION: Final = (
    "People see and answer the approval requests of agents. An answer names the digest of what was "
    "shown, counts once, and never for a call of one's own."
)


def _health(desk: Desk) -> APIRouter:
    router = APIRouter()

    @router.get(
        "/healthz",
        response_model=Health,
        responses=problems.described(403, 413, 503),
        tags=["server"],
    )
    def health() -> Response:
        """Say whether requests can be read."""
        desk.service.pass_time()
        return _json({"status": "ok"})

    return router


def _router() -> APIRouter:
    return APIRouter(
        prefix="/v1",
        route_class=_JsonRoute,
        dependencies=[Security(_bearer)],
        responses=problems.described(*_ALWAYS),
        tags=["approvals"],
    )


def _looking(desk: Desk, server: str) -> APIRouter:
    """What is only looked at."""
    router = _router()

    @router.get("/me", response_model=Me)
    def me(request: Request) -> Response:
        """Say who the token stands for."""
        caller = _caller(request)
        return _json({"name": caller.name, "groups": sorted(caller.groups), "server": server})

    @router.get("/approvals", response_model=Listed)
    def list_approvals(
        request: Request,
        state: Annotated[ApprovalState | None, Query(description="Only those in it.")] = None,
        limit: Annotated[int, Query(ge=1, le=MOST_LISTED)] = 100,
    ) -> Response:
        """List the requests that are put to your groups."""
        caller = _caller(request)
        # Many are looked over, and few read whole.
        found = [
            each.id
            for each in desk.service.listed(state)
            if not each.groups.isdisjoint(caller.groups)
        ]
        whole = [desk.service.get(each) for each in found[-limit:]]
        listed = [document_of(each) for each in whole if state in (None, each.state)]
        return _json({"requests": listed, "more": len(found) > limit})

    @router.get(
        "/approvals/{request_id}",
        response_model=RequestDocument,
        responses=problems.described(404),
    )
    def show_approval(request: Request, request_id: _Id) -> Response:
        """Show one request whole."""
        return _json(document_of(_found(desk, request_id, _caller(request))))

    @router.get(
        "/approvals/{request_id}/similar",
        response_model=RequestDocument,
        responses=problems.described(404),
    )
    def similar(request: Request, request_id: _Id) -> Response:
        """Show the last call of the same agent and tool that was approved and made."""
        caller = _caller(request)
        there = desk.service.similar(_found(desk, request_id, caller))
        if there is None or not _concerns(there, caller):
            raise UnknownRequest("there is no similar call that was put to your groups")
        return _json(document_of(there))

    @router.get(
        "/approvals/{request_id}/left",
        response_model=Left,
        responses=problems.described(404),
    )
    def left(request: Request, request_id: _Id) -> Response:
        """Say what is left of the limits of the request's run, now."""
        return _json({"left": desk.left(_found(desk, request_id, _caller(request)))})

    return router


def _answering(desk: Desk, voucher: Voucher) -> APIRouter:
    """What people say. Each gives the request as it stands after that."""
    router = _router()
    also = problems.described(400, 404, 409, 415)

    def words(
        request_id: str, request: Request, said: Approval | Rejection | Edit | Acceptance
    ) -> dict[str, Any]:
        """What a person said, as the desk takes it."""
        caller = _caller(request)
        _found(desk, request_id, caller, answering=True)
        return {
            "by": caller.name,
            "channel": CHANNEL,
            "reason": said.reason,
            "digest": said.digest,
            "signature": said.signature or "",
            "time": said.time,
            "voucher": voucher if said.signature is None else None,
            "vouched": caller.vouched,
        }

    @router.post("/approvals/{request_id}/approve", response_model=RequestDocument, responses=also)
    def approve(request: Request, request_id: _Id, said: Approval) -> Response:
        """Say yes to exactly the call that was shown, once; or answer a tool's question."""
        given = words(request_id, request, said)
        return _json(document_of(desk.answer(request_id, approve=True, **given)))

    @router.post("/approvals/{request_id}/reject", response_model=RequestDocument, responses=also)
    def reject(request: Request, request_id: _Id, said: Rejection) -> Response:
        """Say no; also to a request that is approved and was not used yet."""
        given = words(request_id, request, said)
        return _json(document_of(desk.answer(request_id, approve=False, **given)))

    @router.post("/approvals/{request_id}/edit", response_model=RequestDocument, responses=also)
    def edit(request: Request, request_id: _Id, said: Edit) -> Response:
        """Change the arguments: `successor` takes the place of this one, and approves nothing."""
        desk.edit(request_id, said.args, **words(request_id, request, said))
        return _json(document_of(desk.service.get(request_id)))

    @router.post("/approvals/{request_id}/accept", response_model=RequestDocument, responses=also)
    def accept(request: Request, request_id: _Id, said: Acceptance) -> Response:
        """Let a withheld call be made: `successor` asks for it, in a run that enforces."""
        desk.accept(request_id, **words(request_id, request, said))
        return _json(document_of(desk.service.get(request_id)))

    return router


def _found(
    desk: Desk, request_id: str, caller: Caller, *, answering: bool = False
) -> ApprovalRequest:
    there = desk.service.get(request_id)
    if there.id == request_id and _concerns(there, caller):
        return there
    if answering:
        reason = f"`{caller.name}` is in none of the groups that the request is put to"
        desk.service.refuse(there, by=caller.name, channel=CHANNEL, reason=reason)
    # The same as where there is none: what is put to others is not told.
    raise UnknownRequest(f"there is no request `{request_id}` that is put to your groups")


def _concerns(request: ApprovalRequest, caller: Caller) -> bool:
    """Whether the request is, or is going to be, put to a group of the caller."""
    groups = {group for demand in request.demands for group in demand.approvers}
    groups |= {each.to for each in request.escalation}
    return not groups.isdisjoint(caller.groups)


def _caller(request: Request) -> Caller:
    caller: Caller = request.state.caller
    return caller


def _json(document: dict[str, Any]) -> Response:
    # Exact: a number of an argument must not pass through a float.
    return Response(exact_json(document), media_type="application/json")


def _describe_problems(app: FastAPI) -> None:
    """Put the form of problems into the description, which no operation gives as its model."""
    made = app.openapi

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = made()
            document["components"]["schemas"]["Problem"] = problems.Problem.model_json_schema()
            for name in ("HTTPValidationError", "ValidationError"):
                document["components"]["schemas"].pop(name, None)
        return made()

    app.openapi = described  # type: ignore[method-assign]  # how FastAPI has it replaced
