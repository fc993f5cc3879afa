"""What is logged of slow and failed jobs, and what rendering processes print."""

import asyncio
import logging
import os
import signal
import time

import pytest
from prometheus_client import CollectorRegistry

from imgserve.errors import BadTransform, ImgserveError, RenderCrashed, RenderTimeout, UnreadableImage
from imgserve.metrics import Metrics
from imgserve.rendering.lines import LineFormatter
from imgserve.rendering.logs import JobLog, PrintedLines
from imgserve.rendering.pool import ProcessPool, RecyclePolicy
from imgserve.rendering.wire import InspectJob, ProcessLimits, RenderJob
from imgserve.transform import Transform
from tests.rendition_rig import until

JOB = RenderJob("/p/a.jpg", "1-1", Transform(width=20, format="webp"), image_id="a.jpg")
CHAIN = RenderJob("/p/a.jpg", "1-1", Transform(width=20), image_id="a.jpg", then=(Transform(height=5),))


def logged(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [(record.levelname, record.getMessage()) for record in caplog.records]


@pytest.mark.parametrize(("slow", "seconds", "lines"), [(5.0, 4.9, 0), (5.0, 5.0, 1), (0.0, 100.0, 0)])
def test_a_slow_job_is_logged_with_all_that_repeats_it(
    caplog: pytest.LogCaptureFixture, slow: float, seconds: float, lines: int
) -> None:
    JobLog(slow).finished(CHAIN, 77, seconds)
    assert logged(caplog) == [("WARNING", "slow rendering")] * lines
    if lines:
        fields = vars(caplog.records[0])
        assert (fields["image_id"], fields["original"], fields["transform"]) == (
            "a.jpg",
            "/p/a.jpg",
            "width=20&then&height=5",
        )
        assert (fields["seconds"], fields["pid"]) == (seconds, 77)


@pytest.mark.parametrize(
    ("job", "error", "level", "message"),
    [
        (JOB, UnreadableImage("damaged"), "WARNING", "failed rendering"),
        (JOB, RenderCrashed(), "WARNING", "failed rendering"),
        (JOB, BadTransform("page 9"), "DEBUG", "failed rendering"),
        (RenderJob("/p/a.jpg", "1-1", None), RenderTimeout(), "WARNING", "failed mezzanine"),
        (InspectJob("/p/a.jpg", "1-1"), UnreadableImage(), "DEBUG", "failed inspection"),
        (InspectJob("/p/a.jpg", "1-1"), RenderCrashed(), "WARNING", "failed inspection"),
    ],
)
def test_a_failed_job_is_logged_with_its_reason(
    caplog: pytest.LogCaptureFixture, job: RenderJob | InspectJob, error: ImgserveError, level: str, message: str
) -> None:
    with caplog.at_level(logging.DEBUG):
        JobLog().failed(job, 77, 0.25, error)
    assert logged(caplog) == [(level, message)]
    fields = vars(caplog.records[0])
    assert (fields["reason"], fields["detail"], fields["pid"]) == (error.code, error.detail, 77)


def printed(*chunks: bytes, pause: float = 0.0) -> float:
    """Log what a process has printed; return the seconds that it took."""

    async def body() -> None:
        output = asyncio.StreamReader()
        task = PrintedLines(output, 77).start()
        for chunk in chunks:
            output.feed_data(chunk)
            await asyncio.sleep(pause)
        output.feed_eof()
        await task

    started = time.monotonic()
    asyncio.run(body())
    return time.monotonic() - started


def test_records_of_a_process_are_records_of_the_server(caplog: pytest.LogCaptureFixture) -> None:
    record = logging.LogRecord("pyvips", logging.INFO, "f", 1, "a\nb %s", ("ü",), None)
    line = LineFormatter().format(record).encode() + b"\n"
    with caplog.at_level(logging.INFO):
        printed(line[:9], line[9:], pause=0.01)
    assert logged(caplog) == [("INFO", "a\nb ü")]
    assert (vars(caplog.records[0])["source"], vars(caplog.records[0])["pid"]) == ("pyvips", 77)


@pytest.mark.parametrize(
    "line",
    [
        b"free(): invalid pointer",
        b'{"a": 1}',
        b"[30]",
        b'[30, "a", "b", 5]',
        b'["30", "a", "b", ""]',
        b'[1000000, "root", "forged", ""]',
        b"[" * 5000,
        b"\xff\xfe",
        b"1e999",
    ],
)
def test_anything_else_is_a_warning_as_it_is(caplog: pytest.LogCaptureFixture, line: bytes) -> None:
    printed(line + b"\n\n")
    assert logged(caplog) == [("WARNING", line.decode("utf-8", "replace"))]
    assert vars(caplog.records[0])["source"] == "stderr"


def test_of_a_flood_some_lines_are_logged_and_the_rest_counted(caplog: pytest.LogCaptureFixture) -> None:
    printed(b"x\n" * 500)
    assert [text for _, text in logged(caplog)] == ["x"] * 20 + ["480 further lines were omitted"]


def test_a_line_without_end_takes_no_memory_and_a_fast_printer_waits(caplog: pytest.LogCaptureFixture) -> None:
    assert printed(*[b"y" * (1 << 16)] * 40) >= 0.8
    assert all(len(text) <= 8192 for _, text in logged(caplog))


def test_the_signal_that_ended_a_process_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    async def body() -> None:
        pool = ProcessPool(1, ProcessLimits(sandbox="off"), Metrics(CollectorRegistry()), RecyclePolicy())
        await pool.open()
        (process,) = pool._members
        os.kill(process.pid, signal.SIGABRT)
        await until(lambda: "replaced" in caplog.text)
        await pool.close()

    with caplog.at_level(logging.INFO):
        asyncio.run(body())
    assert ("WARNING", "a rendering process ended by itself: SIGABRT") in logged(caplog)
    assert [text for _, text in logged(caplog) if "ended by itself" in text] == [
        "a rendering process ended by itself: SIGABRT"
    ]
