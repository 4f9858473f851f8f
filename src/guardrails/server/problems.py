"""What a refusal looks like: a problem document (RFC 9457) that says what was wrong."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response

from guardrails.approvals.requests import AnswerRefused
from guardrails.approvals.table import UnknownRequest
from guardrails.audit.exact_json import exact_json
from guardrails.errors import ConfigError, StateUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastapi import FastAPI
    from starlette.requests import Request

MEDIA_TYPE: Final = "application/problem+json"


class Problem(BaseModel):
    """Why a request was refused (RFC 9457)."""

    type: str = Field(default="about:blank")
    title: str = Field(description="The HTTP status in words.")
    status: int
    detail: str = Field(description="What was wrong, for people.")
    errors: list[str] = Field(
        default=[], description="Each thing that is wrong in the request, with its place."
    )


def problem(
    status: int,
    detail: str,
    *,
    errors: list[str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The answer that says what was wrong.

    Args:
        status: The HTTP status.
        detail: What was wrong; it repeats no token.
        errors: Each thing, with its place.
        headers: Further headers.
    """
    document: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "errors": errors or [],
    }
    return Response(exact_json(document), status, headers, MEDIA_TYPE)


def described(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The refusals of an operation, for its description."""
    schema = {"schema": {"$ref": "#/components/schemas/Problem"}}
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: schema},
        }
        for status in statuses
    }


def install(app: FastAPI) -> None:
    """Have every error of `app` answered by a problem document."""

    @app.exception_handler(HTTPException)
    def _http(_: Request, error: HTTPException) -> Response:
        return problem(error.status_code, error.detail, headers=error.headers)

    @app.exception_handler(RequestValidationError)
    def _invalid(_: Request, error: RequestValidationError) -> Response:
        # Without the values: what came may be a secret in a wrong place.
        wrong = [
            # Of a body that is no JSON the message says nothing, and its cause no value either.
            "body: {ctx[error]}".format_map(each)
            if each["type"] == "json_invalid"
            else f"{'.'.join(str(part) for part in each['loc'])}: {each['msg']}"
            for each in error.errors()
        ]
        return problem(422, "the request does not have the form that is described", errors=wrong)

    @app.exception_handler(UnknownRequest)
    def _unknown(_: Request, error: UnknownRequest) -> Response:
        return problem(404, str(error))

    @app.exception_handler(AnswerRefused)
    def _refused(_: Request, error: AnswerRefused) -> Response:
        return problem(409, str(error))

    @app.exception_handler(StateUnavailable)
    @app.exception_handler(ConfigError)
    def _unavailable(_: Request, error: Exception) -> Response:
        return unavailable(error)


def unavailable(error: Exception) -> Response:
    """The answer where requests, record, approvers or keys cannot be used."""
    return problem(503, str(error), headers={"Retry-After": "5"})
