"""Errors that no server tells of: there is none, or another one."""

from imgserve.errors import ImgserveError


class ServerUnreachable(ImgserveError):
    """The server cannot be reached."""

    status = 503
    code = "server_unreachable"


class AnswerNotUnderstood(ImgserveError):
    """What answers at this address is not imgserve, or one that this client does not know yet."""

    status = 502
    code = "answer_not_understood"
