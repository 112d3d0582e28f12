"""Traces as a collector gets them: one for each batch, from the log file to the webhook's answer."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from support.aws import SimulatedAws
from support.clock import FakeClock
from support.otlp import collecting
from support.product import SECRET_KEY, running
from support.receiver import Delivery, receiving
from support.samples import log_file, log_key, record
from support.story import MINUTE_S, telling
from trailhook.errors import SettingsError
from trailhook.tracing import Step, root_of
from trailhook.tracing_otlp import EXPORT_SPANS_MAX, otlp_tracing

DAY_S = 86_400.0
UNITS = ("trailhook.unit.name", "trailhook.unit.bytes")


async def test_one_trace_leads_from_the_log_file_to_the_answer_in_another_process_a_day_later(
    tmp_path: Path, aws: SimulatedAws
) -> None:
    aws.create_bucket("traced")
    key, file = log_key("20250615T1200Z", "AAAAAAAAAAAAAAAA"), log_file([record(1), record(2)])
    aws.put("traced", key, file)
    clock = FakeClock()
    async with receiving() as receiver:
        with collecting() as collector:
            where: dict[str, Any] = {
                "hosts": (receiver.host,),
                "endpoints": (aws.host,),
                "clock": clock,
                "otlp_url": collector.url,
            }
            receiver.answer = lambda _: 500
            async with running(tmp_path, **where) as product:
                await product.add_source(
                    s3Bucket="traced", endpointUrl=aws.endpoint_url, callbackUrl=receiver.url, name="prod"
                )
                await product.work()
            clock.advance(DAY_S)
            receiver.answer = lambda _: 200
            async with running(tmp_path, **where) as product:
                await product.work()

        batch = receiver.taken[0]
        trace = collector.of(root_of(batch.id).trace_id)
        freeze = next(each for each in trace if each.name == "freeze")
        assert [each.name for each in trace if each.parent_id == freeze.span_id and each.name != "attempt"] == [
            "claim and commit", "inflate and split", "lease", "read",
        ]  # fmt: skip
        read = next(each for each in trace if each.name == "read")
        assert [read.about[name] for name in UNITS] == [key, len(file)]
        assert (freeze.about["trailhook.batch.id"], freeze.about["trailhook.batch.events"]) == (batch.id, 2)

        attempts = [each for each in trace if each.name == "attempt"]
        assert [each.about["http.response.status_code"] for each in attempts] == [500, 200]
        assert [each.about["trailhook.attempt"] for each in attempts] == [1, 2]
        assert {each.parent_id for each in attempts} == {freeze.span_id}
        assert attempts[1].began_at - attempts[0].began_at >= DAY_S
        assert "500" in attempts[0].failed
        assert not attempts[1].failed
        sent = [each.headers["traceparent"] for each in receiver.deliveries if each.id == batch.id]
        assert sent == [f"00-{each.trace_id}-{each.span_id}-01" for each in attempts]
        assert collector.services == {"trailhook"}
        assert set(collector.asked) == {"/v1/traces"}
        told = repr(collector.spans)
        assert not [secret for secret in (SECRET_KEY, "198.51.100.7", "DescribeInstances") if secret in told]


async def test_a_trace_names_the_log_files_of_its_batch_and_no_others(tmp_path: Path, aws: SimulatedAws) -> None:
    with collecting() as collector:
        async with telling(tmp_path, aws, otlp_url=collector.url) as story:
            keys = ["AAAAAAAAAAAAAAAA", "BBBBBBBBBBBBBBBB", "CCCCCCCCCCCCCCCC"]
            for number, unique in enumerate(keys):
                # Each file repeats a record of the one before.
                story.put([record(3 * number + offset) for offset in range(4)], unique=unique)
            await story.add(delivery={"maxEvents": 5})
            await story.after(MINUTE_S)
            batches = [(each.id, [event["eventID"] for event in each.events]) for each in story.receiver.taken]
    assert len(batches) == 2
    for batch_id, events in batches:
        read = {each.about[UNITS[0]] for each in collector.of(root_of(batch_id).trace_id) if each.name == "read"}
        numbers = {int(each[-12:]) for each in events}
        first = {min(file for file in range(3) if number in range(3 * file, 3 * file + 4)) for number in numbers}
        if read != {log_key("20250615T1200Z", keys[file]) for file in first}:
            pytest.fail(f"{numbers} were read from {read}")


async def test_a_file_read_in_slices_is_in_the_trace_of_each_batch(tmp_path: Path, aws: SimulatedAws) -> None:
    with collecting() as collector:
        async with telling(
            tmp_path, aws, otlp_url=collector.url, small_unit_bytes_max=1024, slice_records_max=10
        ) as story:
            story.put([record(number) for number in range(25)])
            await story.add()
            await story.after(MINUTE_S)
            ids = [each.id for each in story.receiver.taken]
    assert len(ids) == 3
    for each in ids:
        names = [span.name for span in collector.of(root_of(each).trace_id)]
        assert [names.count(name) for name in ("read", "check", "slice", "claim and commit", "attempt")] == [1] * 5


async def test_the_parts_of_a_batch_link_to_its_trace(tmp_path: Path, aws: SimulatedAws) -> None:
    poison = record(1)["eventID"]

    def refuses(delivery: Delivery) -> int:
        return 413 if len(delivery.events) > 1 and any(each["eventID"] == poison for each in delivery.events) else 200

    with collecting() as collector:
        async with telling(tmp_path, aws, otlp_url=collector.url) as story:
            story.receiver.answer = refuses
            story.put([record(1), record(2)])
            await story.add()
            await story.after(MINUTE_S)
            parts = {each.id: each.headers["x-trailhook-parent"] for each in story.receiver.taken}
    assert len(parts) == 2
    for part, whole in parts.items():
        split = next(each for each in collector.named("split") if each.about["trailhook.batch.id"] == part)
        assert (split.trace_id, split.links) == (root_of(part).trace_id, [root_of(whole).trace_id])


async def test_a_users_own_traceparent_is_left_alone(tmp_path: Path, aws: SimulatedAws) -> None:
    own = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    with collecting() as collector:
        async with telling(tmp_path, aws, otlp_url=collector.url) as story:
            story.put([record(1)])
            await story.add(delivery={"headers": {"Traceparent": own}})
    assert [each.headers["traceparent"] for each in story.receiver.taken] == [own]
    assert len(collector.named("attempt")) == 1


async def test_what_is_not_sampled_is_told_to_receivers_only(tmp_path: Path, aws: SimulatedAws) -> None:
    with collecting() as collector:
        async with telling(tmp_path, aws, otlp_url=collector.url, trace_ratio=0.0) as story:
            story.put([record(1)])
            await story.add()
    assert [each.headers["traceparent"][-3:] for each in story.receiver.taken] == ["-00"]
    assert collector.spans == []


async def test_a_collector_that_fails_costs_traces_only_and_is_named_once(
    tmp_path: Path, aws: SimulatedAws, caplog: pytest.LogCaptureFixture
) -> None:
    with collecting() as collector:
        collector.status = 400
        async with telling(tmp_path, aws, otlp_url=collector.url) as story:
            story.put([record(1)])
            await story.add()
            batch = await story.product.parts.store.batch(story.receiver.taken[0].id)
            for _ in range(2 * EXPORT_SPANS_MAX):
                story.product.parts.tracing.frozen(story.source, batch, [Step("lease", 1.0, 2.0)])
    assert len(story.receiver.taken) == 1
    assert len(collector.asked) > 1
    said = [each for each in caplog.records if each.name == "trailhook.tracing_otlp"]
    assert [(each.levelname, "TRAILHOOK_OTLP_URL" in each.message) for each in said] == [("WARNING", True)]


async def _ends(tmp_path: Path, program: str, **more: str) -> tuple[int, str]:
    """The exit status and the words of a program."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("TRAILHOOK_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program,
        env=env | {"TRAILHOOK_DATA_DIR": str(tmp_path / "data"), "TRAILHOOK_PORT": "0", **more},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await process.communicate()
    return int(process.returncode or 0), said.decode()


async def test_without_the_setting_neither_the_sdk_nor_the_exporter_is_imported(tmp_path: Path) -> None:
    program = """
import asyncio, os, sys
from trailhook import app, serving
from trailhook.clock import SystemClock
from trailhook.settings import load
async def main():
    async with app.build(load(os.environ), clock=SystemClock(), announce=print) as parts:
        app.jobs(parts, __import__("random").Random(1))
        print([name for name in sys.modules if name.startswith(("opentelemetry.sdk.trace", "opentelemetry.exporter"))])
asyncio.run(main())
"""
    status, said = await _ends(tmp_path, program)
    assert (status, said.splitlines()[-1]) == (0, "[]")


async def test_the_setting_without_the_extra_is_refused_with_what_to_install(tmp_path: Path) -> None:
    program = """
import sys
sys.modules["opentelemetry.sdk"] = None  # as where it is not installed
sys.argv = ["trailhook", "serve"]
from trailhook.cli.main import main
main()
"""
    status, said = await _ends(tmp_path, program, TRAILHOOK_OTLP_URL="http://127.0.0.1:4318")
    assert (status, "pip install 'trailhook[tracing]'" in said) == (2, True)


@pytest.mark.parametrize("url", ["collector:4318", "ftp://collector", "http://"])
async def test_a_url_that_is_none_is_refused_unshown(tmp_path: Path, url: str) -> None:
    with pytest.raises(SettingsError, match="TRAILHOOK_OTLP_URL") as refused:
        async with otlp_tracing(url, ratio=1.0):
            pass
    assert url not in str(refused.value).replace("http://127.0.0.1", "")
