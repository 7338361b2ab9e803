"""Recordings are read back as written, whole or cut off, and agree with an independent library."""

import resource
from pathlib import Path

import numpy as np
import pytest
from mcap.reader import make_reader
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import Reader
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from aliengo_policy.bags.cdr import CdrError, Decoder
from aliengo_policy.bags.metadata import qos_yaml
from aliengo_policy.bags.read import Bag, BagError
from aliengo_policy.bags.record import DiskFullError, Recorder
from aliengo_policy.definitions import DefinitionError, parse_definition

SAMPLE = "demo_msgs/msg/Sample"
MOTOR = "demo_msgs/msg/Motor"
MOTOR_TEXT = "uint8 mode\nfloat32 q\nint8 temperature\nuint32[2] reserve\n"
SAMPLE_TEXT = f"""\
# A layout with every kind of padding.
uint8 FLAG = 3
uint8 flag
uint16 version
float64 stamp
int8 temperature
Motor[3] motors
uint8[5] bytes
uint32 crc
{"=" * 80}
MSG: demo_msgs/Motor
{MOTOR_TEXT}"""
TEXT = "demo_msgs/msg/Text"
TEXT_TEXT = "string name\nfloat32[] values\nMotor[] motors\nstring[] words\nuint64 stamp\n"
TEXT_TEXT += f"{'=' * 80}\nMSG: demo_msgs/Motor\n{MOTOR_TEXT}"


@pytest.fixture(scope="module")
def store():
    store = get_typestore(Stores.EMPTY)
    types = get_types_from_msg(MOTOR_TEXT, MOTOR)
    types |= get_types_from_msg(SAMPLE_TEXT.split("=" * 80)[0], SAMPLE)
    types |= get_types_from_msg(TEXT_TEXT.split("=" * 80)[0], TEXT)
    store.register(types)
    return store


def motor(store, i):
    return store.types[MOTOR](
        mode=i % 256, q=0.5 * i, temperature=-(i % 128), reserve=np.array([i, i + 1], np.uint32)
    )


def sample_bytes(store, i, little_endian=True):
    message = store.types[SAMPLE](
        flag=i % 2,
        version=i % 2**16,
        stamp=i / 7,
        temperature=-5,
        motors=[motor(store, i + k) for k in range(3)],
        bytes=np.arange(5, dtype=np.uint8),
        crc=2**31 + i,
    )
    return bytes(store.serialize_cdr(message, SAMPLE, little_endian=little_endian))


def text_bytes(store, i):
    message = store.types[TEXT](
        name="grüß" * (i % 3),
        values=np.arange(i % 4, dtype=np.float32),
        motors=[motor(store, k) for k in range(i % 3)],
        words=["a", "bcd"],
        stamp=i,
    )
    return bytes(store.serialize_cdr(message, TEXT))


def write(folder: Path, store, count=3000, close=True) -> Recorder:
    recorder = Recorder(folder, min_free_bytes=0)
    recorder.add_topic("/sample", SAMPLE, SAMPLE_TEXT, qos_yaml(False, False))
    recorder.add_topic("/text", TEXT, TEXT_TEXT, qos_yaml(True, True))
    recorder.attach([Path(__file__)], 1)
    for i in range(count):
        recorder.write("/sample", sample_bytes(store, i), 10**18 + 1000 * i, 10**18 + 1000 * i - 7)
        if i % 10 == 0:
            recorder.write("/text", text_bytes(store, i // 10), 10**18 + 1000 * i, 10**18)
    recorder.flush()
    if close:
        recorder.close()
    return recorder


def test_fixed_layout_is_decoded_as_by_the_other_library(store):
    decoder = Decoder(SAMPLE, SAMPLE_TEXT)
    assert decoder.is_fixed
    for little_endian in (True, False):
        messages = [sample_bytes(store, i, little_endian) for i in range(6)]
        columns = decoder.stack(messages, ["stamp", "motors.q", "motors.reserve", "crc", "absent"])
        assert set(columns) == {"stamp", "motors.q", "motors.reserve", "crc"}
        for i, message in enumerate(messages):
            expected = store.deserialize_cdr(message, SAMPLE)
            assert columns["stamp"][i] == expected.stamp
            assert columns["crc"][i] == expected.crc == decoder.decode(message)["crc"]
            assert columns["motors.q"][i].tolist() == [m.q for m in expected.motors]
            assert columns["motors.reserve"][i].tolist() == [
                m.reserve.tolist() for m in expected.motors
            ]


def test_variable_layout_is_decoded_as_by_the_other_library(store):
    decoder = Decoder(TEXT, TEXT_TEXT)
    assert not decoder.is_fixed
    for i in range(12):
        message = text_bytes(store, i)
        content, expected = decoder.decode(message), store.deserialize_cdr(message, TEXT)
        assert (content["name"], content["words"]) == (expected.name, expected.words)
        assert content["stamp"] == expected.stamp
        np.testing.assert_array_equal(content["values"], expected.values)
        assert [m["q"] for m in content["motors"]] == [m.q for m in expected.motors]


def test_a_message_that_ends_early_is_refused(store):
    with pytest.raises(CdrError, match=r"demo_msgs/msg/Text of \d+ bytes"):
        Decoder(TEXT, TEXT_TEXT).decode(text_bytes(store, 5)[:20])
    with pytest.raises(CdrError, match="demo_msgs/msg/Sample"):
        Decoder(SAMPLE, SAMPLE_TEXT).stack([sample_bytes(store, 1)[:20]], ["crc"])


def test_a_definition_that_lacks_a_type_names_it():
    with pytest.raises(DefinitionError, match="demo_msgs/Motor"):
        parse_definition(SAMPLE, SAMPLE_TEXT.split("=" * 80)[0])


def test_a_recording_is_read_back(tmp_path, store):
    write(tmp_path / "run", store)
    bag = Bag(tmp_path / "run")
    assert bag.complete
    assert {name: topic.count for name, topic in bag.topics.items()} == {
        "/sample": 3000,
        "/text": 300,
    }
    assert bag.duration_s == pytest.approx(2999e-6)
    assert bag.attachments[Path(__file__).name] == Path(__file__).read_bytes()
    columns = bag.columns("/sample", ["version", "motors.q", "absent"])
    np.testing.assert_array_equal(columns.values["version"], np.arange(3000))
    np.testing.assert_allclose(columns.log_time_s, np.arange(3000) * 1e-6, atol=1e-12)
    assert columns.values["motors.q"].shape == (3000, 3)
    assert "absent" not in columns.values
    stamps = bag.columns("/text", ["stamp", "motors.q", "values"]).values
    np.testing.assert_array_equal(stamps["stamp"], np.arange(300))
    assert len(stamps["motors.q"][2]) == 2


def test_rosbags_opens_the_recording_with_its_metadata(tmp_path, store):
    write(tmp_path / "run", store)
    with Reader(tmp_path / "run") as reader:
        assert reader.message_count == 3300
        assert {c.topic: c.msgtype for c in reader.connections} == {
            "/sample": SAMPLE,
            "/text": TEXT,
        }
        sample = next(c for c in reader.connections if c.topic == "/sample")
        assert sample.ext.offered_qos_profiles[0].reliability.name == "BEST_EFFORT"
    with AnyReader([tmp_path / "run"]) as any_reader:
        connection = next(c for c in any_reader.connections if c.topic == "/text")
        raw = [raw for _, _, raw in any_reader.messages([connection])]
        assert any_reader.deserialize(raw[7], TEXT).stamp == 7


@pytest.mark.parametrize("kept", [0.3, 0.7, 0.999])
def test_a_cut_off_recording_is_read_up_to_the_cut(tmp_path, store, kept):
    path = write(tmp_path / "run", store).path
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    bag = Bag(path)
    assert not bag.complete
    versions = bag.columns("/sample", ["version"]).values["version"]
    assert len(versions) > 0
    np.testing.assert_array_equal(versions, np.arange(len(versions)))


def chunks(path: Path) -> list[tuple[int, int]]:
    """Where the compressed data of each chunk begins, and its length."""
    with path.open("rb") as stream:
        index = make_reader(stream).get_summary().chunk_indexes
    # A chunk ends with its data.
    return [
        (c.chunk_start_offset + c.chunk_length - c.compressed_size, c.compressed_size)
        for c in index
    ]


@pytest.mark.parametrize("offset", [0, 40, 400])
@pytest.mark.parametrize("cut", [False, True])
def test_a_damaged_chunk_ends_the_recording_there(tmp_path, store, offset, cut):
    path = write(tmp_path / "run", store).path
    content = bytearray(path.read_bytes())
    start, size = chunks(path)[-1]
    content[start + offset : start + offset + 8] = b"\xa5" * 8
    # A machine that lost its power: the last chunk has its length, but not its content.
    path.write_bytes(content[: start + size] if cut else content)
    bag = Bag(path)
    assert not bag.complete
    versions = bag.columns("/sample", ["version"]).values["version"]
    assert 1000 < len(versions) < 3000
    np.testing.assert_array_equal(versions, np.arange(len(versions)))


def test_a_file_that_is_damaged_from_its_first_record_is_refused(tmp_path, store):
    path = write(tmp_path / "run", store, count=10).path
    content = bytearray(path.read_bytes())
    content[8:60] = b"\xff" * 52
    path.write_bytes(content)
    with pytest.raises(BagError, match="not a readable MCAP"):
        Bag(path)


def test_what_was_flushed_is_on_disk_before_the_end(tmp_path, store):
    recorder = write(tmp_path / "run", store, close=False)
    bag = Bag(recorder.path)
    lost = 3000 - bag.topics["/sample"].count
    assert not bag.complete
    assert lost * len(sample_bytes(store, 0)) < 64 * 1024
    recorder.close()
    assert Bag(recorder.path).complete


def test_too_little_disk_is_refused_with_figures(tmp_path):
    with pytest.raises(DiskFullError, match=r"MB are free at .*recording needs"):
        Recorder(tmp_path / "run", min_free_bytes=2**60)


@pytest.fixture
def small_disk():
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_fills_up_ends_the_recording_readably(tmp_path, store, small_disk):
    recorder = Recorder(tmp_path / "run", min_free_bytes=0)
    recorder.add_topic("/sample", SAMPLE, SAMPLE_TEXT)

    def record_for_long():
        for i in range(100_000):
            recorder.write("/sample", sample_bytes(store, i), 10**18 + i, 10**18)
            if i % 100 == 0:
                recorder.flush()

    with pytest.raises(DiskFullError, match=r"cannot write .*run_0\.mcap"):
        record_for_long()
    with pytest.raises(DiskFullError):
        recorder.close()
    recorder.abandon()
    bag = Bag(recorder.path)
    assert not bag.complete
    assert bag.topics["/sample"].count > 0


@pytest.mark.parametrize(
    "fill",
    [
        lambda recorder: recorder.attach([Path(__file__)] * 10, 1),
        lambda recorder: recorder.add_metadata("name", {"key": "x" * 100_000}),
    ],
    ids=["attachments", "metadata"],
)
def test_whatever_fills_the_disk_is_said_alike(tmp_path, small_disk, fill):
    recorder = Recorder(tmp_path / "run", min_free_bytes=0)
    with pytest.raises(DiskFullError, match=r"cannot write .*run_0\.mcap"):
        fill(recorder)
    recorder.abandon()


def test_a_new_topic_that_fills_the_disk_is_said_alike(tmp_path, small_disk):
    recorder = Recorder(tmp_path / "run", min_free_bytes=0)
    recorder.add_topic("/sample", SAMPLE, SAMPLE_TEXT)
    recorder.write("/sample", np.random.default_rng(0).bytes(60_000), 1, 1)
    with pytest.raises(DiskFullError, match=r"cannot write .*run_0\.mcap"):
        recorder.add_topic("/text", TEXT, "# a long definition\n" * 1000)
    recorder.abandon()


def test_an_unknown_topic_and_a_missing_file_are_named(tmp_path, store):
    write(tmp_path / "run", store, count=10)
    with pytest.raises(BagError, match=r"no topic /nope.*'/sample'"):
        Bag(tmp_path / "run").columns("/nope", ["x"])
    with pytest.raises(BagError, match="absent"):
        Bag(tmp_path / "absent")
    (tmp_path / "not.mcap").write_bytes(b"something else entirely")
    with pytest.raises(BagError, match="not a readable MCAP"):
        Bag(tmp_path / "not.mcap")
