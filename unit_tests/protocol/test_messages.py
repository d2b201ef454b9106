"""Any line becomes a message, and a STATE is returned unchanged."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from airbyte_cdk.models import (
    AirbyteLogMessage,
    AirbyteMessage,
    AirbyteMessageSerializer,
    AirbyteRecordMessage,
    Level,
    Type,
)
from hypothesis import given
from hypothesis import strategies as st

from destination_heap_analytics.errors import DefectError, Reason
from destination_heap_analytics.protocol.input_format import InputFormat
from destination_heap_analytics.protocol.messages import (
    Blank,
    EchoedState,
    Ignored,
    Message,
    Noise,
    Record,
    State,
    Unreadable,
    parse_line,
    parse_message,
)


def record_line(data: str = '{"id":1}', **fields: str) -> bytes:
    extra = "".join(f',"{key}":{value}' for key, value in fields.items())
    return f'{{"type":"RECORD","record":{{"stream":"users","data":{data}{extra}}}}}'.encode()


def parsed(line: str | bytes) -> Message:
    return parse_line(line if isinstance(line, bytes) else line.encode(), 1)


def record(line: bytes) -> Record:
    message = parsed(line)
    assert isinstance(message, Record)
    return message


def echoed(line: str | bytes, delivered: int = 2, rejected: int = 1) -> str:
    state = parsed(line)
    assert isinstance(state, State)
    message = state.acknowledged(delivered, rejected)
    assert isinstance(message, EchoedState)
    return message.line


HUGE = "9" * 5000


@pytest.mark.parametrize(
    "shape", ['{"a": @}', '{"a": [1, {"b": @}]}', '{"a": -@, "b": "text"}', '{"a": {"b": {"c": [@]}}}']
)
def test_an_integer_of_any_length_means_the_same_in_process_as_in_a_line(shape: str) -> None:
    """Python refuses to convert more than 4,300 digits to text, and would fail in the middle of a row."""
    line = f'{{"type": "RECORD", "record": {{"stream": "users", "data": {shape.replace("@", HUGE)}, "emitted_at": 1}}}}'
    read = parse_line(line.encode(), 1)
    number = int(Decimal(HUGE))
    data = eval(shape.replace("@", "number"), {"number": number})  # noqa: S307  # written above
    record = AirbyteRecordMessage(stream="users", data=data, emitted_at=1)
    passed = parse_message(AirbyteMessage(type=Type.RECORD, record=record), AirbyteMessageSerializer.dump)
    assert isinstance(read, Record)
    assert isinstance(passed, Record)
    assert passed.data == read.exactly()


def test_a_key_that_is_not_text_becomes_text_as_in_json() -> None:
    """In process, a record may contain any object."""
    data = {1: "a", int(Decimal(HUGE)): {2: "b"}}
    record = AirbyteRecordMessage(stream="users", data=data, emitted_at=1)
    message = parse_message(AirbyteMessage(type=Type.RECORD, record=record), AirbyteMessageSerializer.dump)
    assert isinstance(message, Record)
    assert message.data == {"1": "a", HUGE: {"2": "b"}}


def test_a_record_is_read_into_plain_data() -> None:
    """With its stream and namespace."""
    message = record(record_line('{"id": 1, "o": {"x": [1, null]}}', namespace='"crm"', emitted_at="1"))
    assert (message.stream, message.namespace, message.data) == ("users", "crm", {"id": 1, "o": {"x": [1, None]}})


@pytest.mark.parametrize("emitted_at", ["1.5", "null", '"now"', "-1", "1e400"])
def test_when_a_record_was_emitted_does_not_matter(emitted_at: str) -> None:
    """The CDK's own parser fails if it is a float."""
    assert record(record_line(emitted_at=emitted_at)).data == {"id": 1}


@pytest.mark.parametrize("value", ["NaN", "-Infinity", "1e400", '"\\ud800"', "12345678901234567890123", "1" * 5000])
def test_a_value_that_is_hard_to_parse_does_not_affect_others(value: str) -> None:
    """The row is parsed, with all its other columns."""
    data = record(record_line(f'{{"id": 1, "odd": {value}}}')).exactly()
    assert data["id"] == 1
    assert "odd" in data


def test_an_integer_that_python_refuses_to_parse_is_text() -> None:
    """It would be sent as text anyway."""
    assert record(record_line(f'{{"x": {"1" * 5000}}}')).exactly() == {"x": "1" * 5000}


def test_invalid_utf_8_does_not_affect_adjacent_bytes() -> None:
    """Invalid bytes become halves of surrogate pairs, which cannot be sent."""
    message = record(b'{"type":"RECORD","record":{"stream":"users","data":{"id":1,"name":"\xff"}}}')
    assert message.data == {"id": 1, "name": "\udcff"}
    assert message.is_exact


def test_the_exact_reading_has_all_digits_and_how_floats_were_written() -> None:
    """The fast reading has not, and this is known."""
    message = record(record_line('{"big": 12345678901234567890123, "price": 12.50}'))
    assert not message.is_exact
    assert message.exactly()["big"] == 12345678901234567890123
    assert message.exactly()["price"].text == "12.50"


@pytest.mark.parametrize("line", ["", "  ", "\r"])
def test_a_blank_line_is_ignored(line: str) -> None:
    """It does not even count as noise."""
    assert isinstance(parsed(line), Blank)


@pytest.mark.parametrize(
    "line",
    [
        *("hello", "{", "{}", '{"type":{}}', '{"email":"a"}', "[1]", "null", "12", '"RECORD"', b"\xff\xfe"),
        *('{"type":"click"}', '{"type":"TELEPORT"}', '{"type":"A","b":{}}', '{"type":"click","click":{}}'),
        "[" * 100_000,
    ],
)
def test_a_line_that_is_not_a_message_is_noise(line: str | bytes) -> None:
    """Its beginning may show what the input is."""
    noise = parsed(line)
    assert isinstance(noise, Noise)
    assert noise.beginning == (line if isinstance(line, bytes) else line.encode())[:4096]


@pytest.mark.parametrize(
    "line",
    [
        '{"type":"LOG","log":{"level":"INFO","message":"x"}}',
        '{"type":"TRACE","trace":{}}',
        '{"type":"TELEPORT","teleport":{}}',
        '{"type":"LONG_JUMP","longJump":{}}',
        '{"type":"LONG_JUMP","long_jump":{}}',
    ],
)
def test_other_messages_are_ignored(line: str) -> None:
    """Including those of future protocols."""
    assert isinstance(parsed(line), Ignored)


@pytest.mark.parametrize(
    "line",
    [
        '{"type":"RECORD"}',
        '{"type":"RECORD","record":[]}',
        '{"type":"RECORD","record":{"stream":"users"}}',
        '{"type":"RECORD","record":{"stream":"users","data":[1]}}',
        '{"type":"RECORD","record":{"data":{}}}',
    ],
)
def test_a_record_without_stream_or_data_is_a_row_that_cannot_be_read(line: str) -> None:
    """It is counted, and rejected."""
    assert parsed(line) == Unreadable(Reason.NO_DATA, line.encode())


@pytest.mark.parametrize("namespace", ["5", "[]", "{}", "true"])
def test_a_namespace_that_is_not_text_rejects_the_row(namespace: str) -> None:
    """With this reason: the line is still a message."""
    line = f'{{"type":"RECORD","record":{{"stream":"users","namespace":{namespace},"data":{{}}}}}}'
    message = parsed(line)
    assert message == Unreadable(Reason.NAMESPACE, line.encode())
    form = InputFormat()
    form.see(message)
    form.check(1)


@pytest.mark.parametrize(
    "line",
    [
        '{"type":"RECORD","record":{"stream":"users","data":{"id":1',
        ' { "type" : "RECORD" , oops',
        '{"emitted_at":1,"type":"RECORD","record":{"stream":',
        '{"record":{"stream":"users"',
        '{"type":"RECORD","record":{"stream":"users","data":{"x":' + "[" * 100_000,
    ],
)
def test_a_broken_line_that_begins_as_a_record_is_a_row_that_cannot_be_read(line: str) -> None:
    """It must not vanish from the counts."""
    assert parsed(line) == Unreadable(Reason.UNREADABLE, line.encode())


@pytest.mark.parametrize(
    "line",
    [
        '{"type":"STATE","state":{"type":',
        '{"id":1,"type":"STATE","state":{',
        '{"state": {',
        '{"type":"STATE"}',
        '{"type":"STATE","state":[]}',
    ],
)
def test_a_broken_line_that_begins_as_a_state_stops_the_run(line: str) -> None:
    """It would be unknown which rows it covers; the message says where it is, without its content."""
    with pytest.raises(DefectError, match="Line 7 of the input"):
        parse_line(line.encode(), 7)


STREAM = '{"type":"STREAM","stream":{"stream_descriptor":{"name":"users","namespace":null},"stream_state":null}}'
GLOBAL = '{"type":"GLOBAL","global":{"shared_state":{"lsn":12345678901234567890},"stream_states":[]}}'
LEGACY = '{"data":{"cursor":1.10,"big":1E400,"long":' + "7" * 5000 + ',"later":{"key":[]}}}'


@pytest.mark.parametrize(("state", "stream"), [(STREAM, ("users", None)), (GLOBAL, None), (LEGACY, None), ("{}", None)])
def test_a_state_of_any_kind_is_returned_with_only_the_counts_added(state: str, stream: Any) -> None:
    """Every other character is unchanged, including unknown keys and all digits."""
    line = f'{{"type":"STATE","state":{state},"id":12345678901234567890,"x":"\\u00e9 é"}}'
    message = parsed(line)
    assert isinstance(message, State)
    assert message.stream == stream
    stats = '"destinationStats":{"recordCount": 2.0, "rejectedRecordCount": 1.0}'
    comma = "" if state == "{}" else ","
    assert echoed(line) == line.replace('"state":{', f'"state":{{{stats}{comma}', 1)


def test_a_state_may_be_nested_to_any_depth_that_can_be_parsed() -> None:
    """Deeper than Python's own parser supports."""
    line = '{"type":"STATE","state":{"data":' + "[" * 1015 + "]" * 1015 + "}}"
    assert echoed(line).endswith("]" * 1015 + "}}")


def test_a_byte_order_mark_is_accepted() -> None:
    """Some files start with one."""
    assert record(b"\xef\xbb\xbf" + record_line()).data == {"id": 1}
    assert echoed(b'\xef\xbb\xbf{"type":"STATE","state":{}}').startswith('{"type"')


def test_existing_counts_are_replaced() -> None:
    """Only the numbers change."""
    line = '{ "state" : { "data" : {} , "destinationStats" : {"recordCount": 99} , "a" : 1 } , "type" : "STATE" }\r\n'
    assert echoed(line) == (
        '{ "state" : { "data" : {} , "destinationStats" : {"recordCount": 2.0, "rejectedRecordCount": 1.0} , "a" : 1 } '
        ', "type" : "STATE" }'
    )


def test_a_state_may_contain_invalid_utf_8_and_invalid_numbers() -> None:
    """They are returned unchanged."""
    line = b'{"type":"STATE","state":{"data":{"a":"\xff","b":NaN}}}'
    text = echoed(line).encode("utf-8", "surrogateescape")
    assert text.endswith(b'"data":{"a":"\xff","b":NaN}}}')


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,  # most of a hundred would be discarded, which takes a minute
)


@given(
    st.dictionaries(st.text(), json_values).filter(lambda state: "destinationStats" not in state),
    st.dictionaries(st.text(), json_values),
    st.booleans(),
)
def test_any_state_comes_back_equal(
    state: dict[str, Any],
    others: dict[str, Any],
    ascii_only: bool,
) -> None:
    """Except for the counts."""
    line = json.dumps({**others, "type": "STATE", "state": state}, ensure_ascii=ascii_only)
    back = json.loads(echoed(line.encode("utf-8", "surrogatepass")), parse_float=str)
    assert back["state"].pop("destinationStats") == {"recordCount": "2.0", "rejectedRecordCount": "1.0"}
    assert json.dumps(back) == json.dumps(json.loads(line, parse_float=str))


def test_messages_passed_in_process_are_handled_the_same_way() -> None:
    """Records, states, and others that are ignored."""
    record = AirbyteRecordMessage(stream="users", data={"id": 1.0}, emitted_at=1, namespace="crm")
    message = parse_message(AirbyteMessage(type=Type.RECORD, record=record), AirbyteMessageSerializer.dump)
    assert isinstance(message, Record)
    assert (message.stream, message.namespace, message.exactly(), message.is_exact) == (
        "users",
        "crm",
        {"id": 1.0},
        True,
    )
    log = AirbyteMessage(type=Type.LOG, log=AirbyteLogMessage(level=Level.INFO, message="x"))
    assert isinstance(parse_message(log, AirbyteMessageSerializer.dump), Ignored)


@pytest.mark.parametrize(
    ("state", "stream"), [(STREAM, ("users", None)), (GLOBAL, None), ('{"type":"LEGACY","data":{"a":1}}', None)]
)
def test_a_state_passed_in_process_is_returned_as_a_message(state: str, stream: Any) -> None:
    """With both counts, although the CDK's model has only one."""
    given = AirbyteMessageSerializer.load({"type": "STATE", "state": json.loads(state)})
    message = parse_message(given, AirbyteMessageSerializer.dump)
    assert isinstance(message, State)
    assert message.stream == stream
    back = message.acknowledged(2, 1)
    assert back.state is not None
    assert (back.state.destinationStats.recordCount, back.state.destinationStats.rejectedRecordCount) == (2.0, 1.0)
    assert AirbyteMessageSerializer.dump(back)["state"].pop("type") == json.loads(state)["type"]
    assert given.state is not None
    assert given.state.destinationStats is None
