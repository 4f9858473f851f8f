"""The HTTP API, as an ASGI application; its description (OpenAPI) is made from this code.

Every answer goes through :class:`guardrails.desk.Desk`, as one of the command line does. The
server knows the person by a token, and signs the answer in that person's place by its own key,
unless the person signed it already.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

from fastapi import APIRouter, FastAPI, Path, Query, Request, Security
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException
from starlette.responses import Response

from guardrails.approvals.table import UnknownRequest
from guardrails.audit.exact_json import exact_json
from guardrails.model.approval import ApprovalState
from guardrails.server import problems
from guardrails.server.documents import (
    MOST_LISTED,
    Approval,
    Health,
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


class _JsonRoute(APIRoute):
    """A route whose body is JSON by its content type, as no form of a web page can be."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def checked(request: Request) -> Response:
            kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
            if request.method == "POST" and kind != "application/json":
                raise HTTPException(415, "the content type `application/json` is needed")
            return await handle(request)

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
    app.include_router(_approvals(desk, voucher))
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


def _approvals(desk: Desk, voucher: Voucher) -> APIRouter:
    router = APIRouter(
        prefix="/v1",
        route_class=_JsonRoute,
        dependencies=[Security(_bearer)],
        responses=problems.described(*_ALWAYS),
        tags=["approvals"],
    )

    @router.get("/me", response_model=Me)
    def me(request: Request) -> Response:
        """Say who the token stands for."""
        caller = _caller(request)
        return _json(
            {"name": caller.name, "groups": sorted(caller.groups), "server": voucher.server}
        )

    @router.get("/approvals", response_model=Listed)
    def list_approvals(
        request: Request,
        state: Annotated[ApprovalState | None, Query(description="Only those in it.")] = None,
        limit: Annotated[int, Query(ge=1, le=MOST_LISTED)] = 100,
    ) -> Response:
        """List the requests that are put to your groups."""
        caller = _caller(request)
        found = [each for each in desk.service.list(state) if _concerns(each, caller)]
        listed = [document_of(each) for each in found[-limit:]]
        return _json({"requests": listed, "more": len(found) > limit})

    @router.get(
        "/approvals/{request_id}",
        response_model=RequestDocument,
        responses=problems.described(404),
    )
    def show_approval(request: Request, request_id: _Id) -> Response:
        """Show one request whole."""
        return _json(document_of(_found(request_id, _caller(request))))

    @router.post(
        "/approvals/{request_id}/approve",
        response_model=RequestDocument,
        responses=problems.described(400, 404, 409, 415),
    )
    def approve(request: Request, request_id: _Id, said: Approval) -> Response:
        """Say yes to exactly the call that was shown, once."""
        return answered(request_id, _caller(request), said, approve=True)

    @router.post(
        "/approvals/{request_id}/reject",
        response_model=RequestDocument,
        responses=problems.described(400, 404, 409, 415),
    )
    def reject(request: Request, request_id: _Id, said: Rejection) -> Response:
        """Say no; also to a request that is approved and was not used yet."""
        return answered(request_id, _caller(request), said, approve=False)

    def answered(
        request_id: str, caller: Caller, said: Approval | Rejection, *, approve: bool
    ) -> Response:
        _found(request_id, caller, answering=True)
        after = desk.answer(
            request_id,
            by=caller.name,
            channel=CHANNEL,
            approve=approve,
            reason=said.reason,
            digest=said.digest,
            signature=said.signature or "",
            voucher=voucher if said.signature is None else None,
            vouched=caller.vouched,
        )
        return _json(document_of(after))

    def _found(request_id: str, caller: Caller, *, answering: bool = False) -> ApprovalRequest:
        there = desk.service.get(request_id)
        if there.id == request_id and _concerns(there, caller):
            return there
        if answering:
            reason = f"`{caller.name}` is in none of the groups that the request is put to"
            desk.service.refuse(there, by=caller.name, channel=CHANNEL, reason=reason)
        # The same as where there is none: what is put to others is not told.
        raise UnknownRequest(f"there is no request `{request_id}` that is put to your groups")

    return router


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
