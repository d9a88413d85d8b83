"""Makes every HTTP error RFC 9457 problem details, in this one place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException as StarletteHTTPException

from launchday.errors import LaunchdayError

MEDIA_TYPE = "application/problem+json"


class ProblemDetails(BaseModel):
    """The body of every error answer (RFC 9457)."""

    type: str = Field("about:blank", examples=["urn:launchday:ticket-exists"])
    title: str
    status: int
    detail: str = ""
    errors: list[dict[str, Any]] | None = None


class ProblemError(LaunchdayError):
    """Raise it in a route to answer with problem details.

    Args:
        status: HTTP status.
        slug: short name of the kind of problem; becomes ``urn:launchday:<slug>``.
        detail: one sentence that says what to do.
        headers: extra answer headers, such as Retry-After.
        extensions: further members of the body.
    """

    def __init__(
        self,
        status: int,
        slug: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        **extensions: Any,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.slug = slug
        self.detail = detail
        self.headers = dict(headers or {})
        self.extensions = extensions

    def response(self) -> JSONResponse:
        """Return the HTTP answer for this problem."""
        body = {
            "type": f"urn:launchday:{self.slug}",
            "title": self.slug.replace("-", " ").capitalize(),
            "status": self.status,
            "detail": self.detail,
            **jsonable_encoder(self.extensions),
        }
        return JSONResponse(body, status_code=self.status, media_type=MEDIA_TYPE, headers=self.headers)


def install(app: FastAPI) -> None:
    """Make every error of ``app`` problem details.

    That is: raised problems, validation errors, unknown routes, and faults of ours.
    """

    async def on_problem(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, ProblemError)
        return error.response()

    async def on_validation_error(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        errors = [
            {"pointer": "/" + "/".join(str(part) for part in item["loc"]), "detail": item["msg"]}
            for item in error.errors()
        ]
        detail = "; ".join(f"{item['pointer']}: {item['detail']}" for item in errors)
        return ProblemError(422, "invalid-request", detail, errors=errors).response()

    async def on_http_error(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, StarletteHTTPException)
        slug = str(error.detail).lower().replace(" ", "-")
        return ProblemError(error.status_code, slug, str(error.detail), headers=error.headers).response()

    async def on_fault(_: Request, error: Exception) -> JSONResponse:
        # The server ends the connection after a fault: who is not told sends the next request there.
        return ProblemError(
            500,
            "internal-error",
            "the service failed; its log has the cause",
            headers={"Connection": "close"},
        ).response()

    app.add_exception_handler(ProblemError, on_problem)
    app.add_exception_handler(RequestValidationError, on_validation_error)
    app.add_exception_handler(StarletteHTTPException, on_http_error)
    app.add_exception_handler(Exception, on_fault)
