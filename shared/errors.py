"""Every exception of ours.

GatewayError
├── ConfigError   a catalog, setting or environment value is wrong: names it and says what to do
├── Refused       a caller's request cannot be accepted: becomes OpenAI's error shape
└── StoreError    Redis cannot be reached or answered wrongly
    └── ObjectStoreError  where files are kept cannot be reached, read or written
"""

from typing import ClassVar


class GatewayError(Exception):
    """The root of all errors of ours."""


class ConfigError(GatewayError):
    """A catalog, setting or environment value is wrong; the message names it and the way out."""


class Refused(GatewayError):  # noqa: N818 - the word of our vocabulary
    """A request that is not accepted. `status` is the HTTP status; `param` names the field."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        type_: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.type = type_
        self.param = param
        self.code = code
        self.retry_after_s = retry_after_s


class StoreError(GatewayError):
    """The store did not answer as it should; what was asked may or may not have happened.

    `code` and `advice` are what a caller is told: the message may name more than one should know.
    """

    code: ClassVar = "store_unavailable"
    advice: ClassVar = (
        "the job store does not answer; nothing was accepted that you were not told of: try again"
    )


class ObjectStoreError(StoreError):
    """The folder or bucket of HEADRACE_OBJECTS_URL did not do what was asked of it."""

    code: ClassVar = "object_store_unavailable"
    advice: ClassVar = (
        "where files are kept cannot be read or written; nothing was accepted that you were not"
        " told of. Who runs this server: check HEADRACE_OBJECTS_URL (without it, the data"
        " directory's `objects`): address, credentials and their rights, space; `headrace doctor`"
        " tries it"
    )
