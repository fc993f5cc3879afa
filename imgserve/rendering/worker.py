"""The main loop of a rendering process."""

import os
import pickle
from collections.abc import Iterator
from typing import BinaryIO

from imgserve.errors import ImgserveError
from imgserve.pipeline.facts import InspectJob, inspect
from imgserve.pipeline.jobs import Discipline, RenderJob, perform, start
from imgserve.rendering.wire import Answer, Failed, Ready, write_answer

_LENGTH_BYTES = 8


def write_order(order: Discipline | RenderJob | InspectJob) -> bytes:
    """Write an order: its length, most significant byte first, and a pickle, for the server is to be trusted."""
    packed = pickle.dumps(order, pickle.HIGHEST_PROTOCOL)
    return len(packed).to_bytes(_LENGTH_BYTES, "big") + packed


def main() -> None:
    """Take orders from standard input until it ends, and answer on standard output."""
    orders, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    # Whatever a library prints must not mix with the answers.
    with open(os.devnull, "rb") as nothing:  # noqa: PTH123  a device
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    while (order := _next_order(orders)) is not None:
        for answer in _answers(order):
            answers.write(write_answer(answer))
            answers.flush()


def _next_order(orders: BinaryIO) -> object:
    head = orders.read(_LENGTH_BYTES)
    if len(head) < _LENGTH_BYTES:
        return None
    packed = orders.read(int.from_bytes(head, "big"))
    return pickle.loads(packed)  # noqa: S301  the server's own orders


def _answers(order: object) -> Iterator[Answer]:
    try:
        if isinstance(order, Discipline):
            yield Ready(start(order))
        elif isinstance(order, RenderJob):
            yield from perform(order)
        elif isinstance(order, InspectJob):
            yield inspect(order)
        else:
            raise TypeError(order)
    except ImgserveError as error:
        yield Failed(error.with_traceback(None))
