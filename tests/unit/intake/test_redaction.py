"""Redaction replaces the values at the paths, whatever they are and however they are written, and nothing else."""

import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.real_data import real_data
from support.real_records import RawFile, log_files
from support.records import judged, log_file, raw, read, record, rows, stretches
from trailhook import body
from trailhook.cloudtrail.columns import unpack
from trailhook.cloudtrail.records import event_of
from trailhook.cloudtrail.stretch import Record, Stretch
from trailhook.intake.harvest import Found, Terms, commit_of, freeze
from trailhook.intake.redact import compile_redaction, redacted
from trailhook.model import DeliveryOptions, EventFormat, Filter, Source

SECRET = "wJalrXUtnFEMI-K7MDENG"


def without(one: Record, *paths: str) -> Record:
    redact = compile_redaction(paths)
    after = redact(one.raw) if redact else one.raw
    (by_itself,) = rows([redacted(Stretch.of(one), redact)])
    assert by_itself[:2] == (after, one.key)
    return one if after is one.raw else msgspec.structs.replace(one, raw=after, event=event_of(after))


def found_at(value: Any, path: Sequence[str]) -> Any:
    """A parsed value with what is at the path replaced: the rule, told plainly."""
    if not path:
        return "[redacted]"
    if isinstance(value, list):
        return [found_at(each, path) for each in value]
    if isinstance(value, dict):
        return {name: found_at(each, path[1:]) if path[0] in (name, "*") else each for name, each in value.items()}
    return value


# ---------------------------------------------------------------------------------------- any JSON, any spelling


@dataclass(frozen=True)
class Plain:
    """A text, a number, or a word, as it is written."""

    written: str


@dataclass(frozen=True)
class Many:
    """A list, or an object whose members have names as they are meant and as they are written."""

    brackets: str
    space: str
    members: tuple[tuple[str | None, str, "Plain | Many"], ...]


def written(value: Plain | Many) -> str:
    if isinstance(value, Plain):
        return value.written
    inside = f"{value.space},".join(f"{value.space}{spelt}{written(each)}" for _, spelt, each in value.members)
    return f"{value.brackets[0]}{inside}{value.space}{value.brackets[1]}"


def replaced(value: Plain | Many, paths: list[list[str]]) -> Plain | Many:
    if [] in paths:
        return Plain('"[redacted]"')
    if isinstance(value, Plain):
        return value
    return Many(
        value.brackets,
        value.space,
        tuple(
            (name, spelt, replaced(each, paths if name is None else [it[1:] for it in paths if it[0] in (name, "*")]))
            for name, spelt, each in value.members
        ),
    )


NAMES = st.sampled_from(["a", "b", "user", "é", "a b", "\U0001f600"])
PLAIN = st.sampled_from(
    ['"}{][,:\\"\\\\"', '"a"', '"\\u0061"', '""', '"é\U0001f600\\ud83d\\ude00"', "-1.50e+10", "true", "null", '"\\""']
).map(Plain)
SPACE = st.sampled_from(["", " ", "\n\t\r "])


def spelt(name: str) -> st.SearchStrategy[str]:
    """A name as itself, or with escapes."""
    escaped = "".join(f"\\u{ord(each):04X}" if ord(each) < 2**16 else each for each in name)
    return st.sampled_from([f'"{name}"', json.dumps(name), f'"{escaped}"'])


def members(values: st.SearchStrategy[Plain | Many]) -> st.SearchStrategy[tuple[str, str, Plain | Many]]:
    return NAMES.flatmap(
        lambda name: st.tuples(
            st.just(name), st.tuples(spelt(name), SPACE, SPACE).map(lambda it: f"{it[0]}{it[1]}:{it[2]}"), values
        )
    )


def objects(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Many]:
    return st.builds(Many, st.just("{}"), SPACE, st.lists(members(values), max_size=4).map(tuple))


def lists(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Many]:
    elements = st.lists(values.map(lambda each: (None, "", each)), max_size=4).map(tuple)
    return st.builds(Many, st.just("[]"), SPACE, elements)


VALUES: st.SearchStrategy[Plain | Many] = st.recursive(
    PLAIN, lambda below: objects(below) | lists(below), max_leaves=12
)
PATHS = st.lists(st.lists(NAMES | st.just("*"), min_size=1, max_size=4).map(".".join), min_size=1, max_size=4)


@given(objects(VALUES), PATHS)
def test_every_value_at_a_path_is_replaced_and_every_other_byte_stays(value: Many, paths: list[str]) -> None:
    one = judged(written(value).encode())
    assert isinstance(one, Record)
    after = without(one, *paths)
    assert after.raw.decode() == written(replaced(value, [path.split(".") for path in paths]))
    assert after.key == one.key


# ------------------------------------------------------------------------------------------------------- examples


@pytest.mark.parametrize(
    ("path", "after"),
    [
        ("a", '{"a":"[redacted]","b":[{"c":1},[{"c":"x"}],"c"],"\\u0061":"[redacted]"}'),
        ("a.x", '{"a":{"x":"[redacted]"},"b":[{"c":1},[{"c":"x"}],"c"],"\\u0061":3}'),
        ("b", '{"a":{"x":1},"b":"[redacted]","\\u0061":3}'),
        ("b.c", '{"a":{"x":1},"b":[{"c":"[redacted]"},[{"c":"[redacted]"}],"c"],"\\u0061":3}'),
        ("*.x", '{"a":{"x":"[redacted]"},"b":[{"c":1},[{"c":"x"}],"c"],"\\u0061":3}'),
        ("c", '{"a":{"x":1},"b":[{"c":1},[{"c":"x"}],"c"],"\\u0061":3}'),
    ],
)
def test_paths(path: str, after: str) -> None:
    one = judged(b'{"a":{"x":1},"b":[{"c":1},[{"c":"x"}],"c"],"\\u0061":3}')
    assert isinstance(one, Record)
    assert without(one, path).raw.decode() == after


def test_without_paths_nothing_is_done() -> None:
    assert compile_redaction([]) is None
    one = record()
    whole = Stretch.of(one)
    assert redacted(whole, None) is whole
    assert redacted(whole, compile_redaction(["requestParameters.password"])) is whole
    assert without(one, "requestParameters.password") is one


def test_however_deep_a_value_is_it_is_gone_through() -> None:
    deep = b'{"a":' + b"[" * 900 + b'{"b":"secret"}' + b"]" * 900 + b"}"
    one = record()
    assert b"secret" not in without(Record(deep, one.key, 0, one.event), "a.b").raw


def test_a_record_that_travels_alone_is_redacted_like_any_other() -> None:
    odd = judged(b'{"eventName":"GetObject","\\ud800":1,"x":"\\ud800","y":"secret"}')
    assert isinstance(odd, Record)
    after = without(odd, "y")
    assert after.raw == b'{"eventName":"GetObject","\\ud800":1,"x":"\\ud800","y":"[redacted]"}'
    assert after.alone


@pytest.mark.parametrize("event_format", EventFormat)
def test_what_is_redacted_is_neither_sent_nor_searched_by(event_format: EventFormat) -> None:
    paths = ("sourceIPAddress", "userIdentity", "requestParameters.*", "readOnly")
    source = of(Filter(redact=paths), event_format)
    one = record(
        sourceIPAddress=SECRET, userIdentity={"arn": SECRET}, requestParameters={"password": SECRET}, eventName="Login"
    )
    (batch,) = freeze(Terms.of(source), stretches([one]), set())
    assert commit_of(source.id, 1, Found(keys=[one.key]), set(), [batch]).keys == [one.key]
    assert SECRET not in body.inflated(batch).decode()
    columns = unpack(batch.columns)
    assert SECRET not in str(columns)
    assert columns.texts["name"][0] == "Login"
    assert columns.texts["ip"][0] == "[redacted]"
    assert columns.read_only == (None,)


def test_a_repeat_is_known_by_what_it_was() -> None:
    source = of(Filter(redact=("sourceIPAddress",)))
    one = record()
    (batch,) = freeze(Terms.of(source), stretches([one, one]), set())
    assert batch.count == 1
    assert freeze(Terms.of(source), stretches([one]), {one.key}) == []
    assert commit_of(source.id, 1, Found(keys=[one.key, one.key]), set(), [batch]).counts.duplicate == 1


def test_only_what_is_redacted_is_read_anew() -> None:
    written = [raw(number, **({"x": SECRET} if number == 1 else {})) for number in range(3)]
    (before,) = read(log_file(*written)).stretches
    after = redacted(before, compile_redaction(["x", "eventName"]))
    assert after.raws()[1] == written[1].replace(SECRET.encode(), b"[redacted]").replace(b"GetObject", b"[redacted]")
    assert (after.keys, after.times) == (before.keys, before.times)
    names, *others = after.texts
    assert (names, others) == (["[redacted]"] * 3, before.texts[1:])
    only_one = redacted(before, compile_redaction(["x"]))
    assert (only_one.raws()[::2], only_one.texts) == (written[::2], before.texts)


def of(wanted: Filter, event_format: EventFormat = EventFormat.CLOUDTRAIL) -> Source:
    return Source(
        id="s",
        name="s",
        created_at=0.0,
        intakes=("s3",),
        region="us-east-1",
        callback_url="https://example.com/",
        lane="lane",
        filter=wanted,
        delivery=DeliveryOptions(event_format=event_format),
    )


@pytest.mark.real_data
@pytest.mark.parametrize(
    "path",
    [
        "sourceIPAddress",
        "userIdentity.accessKeyId",
        "requestParameters.*",
        "resources.ARN",
        "*.sessionContext",
        "*.*.*",
    ],
)
def test_real_records_parse_to_themselves_but_for_the_value(path: str) -> None:
    changed = 0
    for file in log_files(real_data() / "buckets" / "invictus-ir"):
        for each in msgspec.json.decode(gzip.decompress(file.read_bytes()), type=RawFile).records:
            one = judged(bytes(each))
            assert isinstance(one, Record)
            after = without(one, path)
            assert json.loads(after.raw) == found_at(json.loads(one.raw), path.split("."))
            assert is_all_of_it(after.raw.split(b'"[redacted]"'), one.raw)
            changed += after is not one
    assert changed > 100


def is_all_of_it(pieces: list[bytes], whole: bytes) -> bool:
    """Whether the pieces stand in the whole in their order, the first at its start and the last at its end."""
    at = 0
    for piece in pieces:
        at = whole.index(piece, at) + len(piece)
    return whole.startswith(pieces[0]) and whole.endswith(pieces[-1])
