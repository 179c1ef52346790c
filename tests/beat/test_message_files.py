"""The broker of one machine: what a full disk cut off reaches no worker, and stops none."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from kombu import Connection
from kombu.exceptions import ChannelError

from heliograph.celery import app
from heliograph.message_files import Channel, Transport


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("messages", "control"):
        (tmp_path / name).mkdir()
    return tmp_path / "messages"


@pytest.fixture
def channel(folder: Path) -> Iterator[Channel]:
    options = {"data_folder_in": str(folder), "data_folder_out": str(folder)}
    options["control_folder"] = str(folder.parent / "control")
    with Connection("filesystem://", transport_options=options) as connection:
        yield connection.channel()


@contextmanager
def no_room(size: int) -> Iterator[None]:
    """Let no file grow beyond so many bytes, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def received(channel: Channel, queue: str) -> list[Any]:
    found = []
    while (message := channel.basic_get(queue)) is not None:
        found.append(message.payload)
    return found


def send(channel: Channel, what: str) -> None:
    channel.basic_publish(channel.prepare_message(f'"{what}"', content_type="application/json"), "", "jobs")


def test_celery_uses_it_where_no_broker_is_set() -> None:
    assert isinstance(app.connection("filesystem://").transport, Transport)


def test_a_message_for_which_the_disk_has_no_room_is_not_there(channel: Channel, folder: Path) -> None:
    channel.queue_declare("jobs")
    send(channel, "one")
    with no_room(40), pytest.raises(ChannelError, match="Cannot add"):
        send(channel, "x" * 100)
    send(channel, "two")
    assert len(list(folder.iterdir())) == 2
    assert received(channel, "jobs") == ["one", "two"]


@pytest.mark.parametrize("left", [b"", b'{"body": "'])
def test_what_an_earlier_version_left_half_written_is_passed_over(channel: Channel, folder: Path, left: bytes) -> None:
    channel.queue_declare("jobs")
    (folder / "0_half.jobs.msg").write_bytes(left)
    send(channel, "whole")
    assert received(channel, "jobs") == ["whole"]
    assert list(folder.iterdir()) == []
