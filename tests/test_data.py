"""CIFAR-10 from folders and mirrors, what takes its place, and how it is split and normalised."""

import contextlib
import functools
import hashlib
import http.server
import io
import os
import pickle
import shutil
import tarfile
import threading
import time
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
from torchvision.datasets import CIFAR10

from utils.data import (
    CIFAR10_MEAN,
    CIFAR10_STD,
    DownloadError,
    download,
    load_cifar10,
    load_images,
    split,
)
from utils.data import images as images_module


def test_split(images):
    rest, val_set = split(images, 6)
    assert len(rest) == 54 and len(val_set) == 6
    everything = {image.tobytes() for part in (rest, val_set) for image in part.images}
    assert everything == {image.tobytes() for image in images.images}
    for part in (rest, val_set):  # each image keeps its label, and the order stays
        places = [
            np.flatnonzero((images.images == image).all((1, 2, 3)))[0] for image in part.images
        ]
        assert places == sorted(places) and np.array_equal(images.labels[places], part.labels)
    assert np.array_equal(split(images, 6)[1].images, val_set.images)
    assert len(split(images, 100)[1]) == 6  # at most a tenth
    assert len(split(images, 0)[1]) == 0 and len(split(images, 0)[0]) == 60


# --- the real data --------------------------------------------------------------------------------


def test_mean_and_deviation(cifar10):
    pixels = cifar10[0].images.reshape(-1, 3) / 255
    assert np.allclose(pixels.mean(0), CIFAR10_MEAN, atol=1e-4)
    assert np.allclose(pixels.std(0), CIFAR10_STD, atol=1e-4)
    assert [len(part) for part in cifar10] == [50_000, 10_000] and cifar10[0].classes[3] == "cat"
    assert np.bincount(split(cifar10[0], 5000)[1].labels).min() > 400  # every class is among them


# --- folders and mirrors --------------------------------------------------------------------------

LISTS = ("train_list", "test_list")
BAD = ("missing", "wrong", "cut", "garbage", "hang", "drip")
CLOSED = "http://127.0.0.1:9/closed"


@pytest.fixture
def archive(monkeypatch):
    """A tar.gz of CIFAR-10's form with 2 images a batch; torchvision is told its checksums."""
    lists = {name: [file for file, _ in getattr(CIFAR10, name)] for name in LISTS}
    files = {
        file: pickle.dumps({"data": np.full((2, 3072), 7, np.uint8), "labels": [0, 1]})
        for file in sum(lists.values(), [])
    }
    files["batches.meta"] = pickle.dumps({"label_names": [f"class {n}" for n in range(10)]})
    md5 = {file: hashlib.md5(raw).hexdigest() for file, raw in files.items()}
    for name, batches in lists.items():
        monkeypatch.setattr(CIFAR10, name, [[file, md5[file]] for file in batches])
    monkeypatch.setattr(CIFAR10, "meta", CIFAR10.meta | {"md5": md5["batches.meta"]})
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for file, raw in files.items():
            info = tarfile.TarInfo(f"{CIFAR10.base_folder}/{file}")
            info.size = len(raw)
            tar.addfile(info, io.BytesIO(raw))
    packed = buffer.getvalue()
    whole = hashlib.md5(packed).hexdigest()
    monkeypatch.setattr(CIFAR10, "tgz_md5", whole)
    fetch = functools.partial(download.download, md5=whole, timeout=0.5)
    monkeypatch.setattr(images_module, "download", fetch)
    return packed


@pytest.fixture
def server(archive):
    """A mirror on this machine; it keeps the paths that were asked for.

    /whole is right, /wrong has other bytes, /cut ends early, /garbage is no HTTP, /hang stops in
    the middle, /drip is slow, /missing is not there.
    """
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            if self.path == "/garbage":
                return self.wfile.write(b"no HTTP at all\r\n\r\n")
            if self.path == "/missing":
                return self.send_error(404)
            body = b"<html>" * 99 if self.path == "/wrong" else archive
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.path == "/hang":
                self.wfile.write(body[:100])
                time.sleep(1.5)
            elif self.path == "/drip":
                with contextlib.suppress(OSError):
                    for byte in body[:60]:
                        self.wfile.write(bytes([byte]))
                        time.sleep(0.1)
            else:
                self.wfile.write(body[: len(body) // 2] if self.path == "/cut" else body)

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_address[1]}"
    yield lambda *paths: [f"{address}/{path}" for path in paths], asked
    server.shutdown()


@pytest.fixture
def empty(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CIFAR10_ROOT", raising=False)
    return tmp_path


def test_mirrors_are_tried_in_turn(empty, server):
    url, asked = server
    train_set, test_set = load_cifar10(mirrors=url(*BAD, "whole"))
    assert (len(train_set), len(test_set), train_set.classes[3]) == (10, 2, "class 3")
    assert asked == [f"/{path}" for path in (*BAD, "whole")]
    assert sorted(os.listdir("data")) == ["cifar-10-batches-py", "cifar-10-python.tar.gz"]
    load_cifar10(mirrors=url("whole"))
    assert len(asked) == 7  # the second time nothing is fetched


def test_every_mirror_down(empty, server):
    with pytest.raises(DownloadError) as error:
        load_cifar10(mirrors=[*server[0](*BAD), CLOSED])
    for reason in ("404", "not the archive", "timed out", "no HTTP", "slower than", "refused"):
        assert reason in str(error.value)
    assert "set CIFAR10_ROOT" in str(error.value) and os.listdir("data") == []


def test_unpacking_a_second_time_changes_nothing(empty, server):
    """Several processes may find no images, and unpack them all."""
    load_cifar10(mirrors=server[0]("whole"))
    files = {path: path.stat().st_ino for path in Path("data").rglob("*")}
    images_module._unpack(Path("data/cifar-10-python.tar.gz"), Path("data/cifar-10-batches-py"))
    assert {path: path.stat().st_ino for path in Path("data").rglob("*")} == files


def test_a_partial_archive_is_not_taken_for_the_data(empty, server, archive):
    os.mkdir("data")
    with open("data/cifar-10-python.tar.gz", "wb") as file:
        file.write(archive[: len(archive) // 2])
    assert len(load_cifar10(mirrors=server[0]("whole"))[0]) == 10


def test_a_disk_without_room(empty, server, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(9, 9, 1_000_000))
    with pytest.raises(OSError, match="needs 400 MB in .*, which has 1 MB free; make room"):
        load_cifar10(mirrors=server[0]("whole"))


def test_a_wrong_root_is_named(empty, monkeypatch):
    monkeypatch.setenv("CIFAR10_ROOT", str(empty / "elsewhere"))
    with pytest.raises(
        FileNotFoundError, match="elsewhere holds no cifar-10-batches-py; let CIFAR10_ROOT name"
    ):
        load_images()  # no digits: a folder that was named is meant


@pytest.mark.parametrize("spoil", [lambda raw: raw[:-1], lambda raw: b"\0" + raw[1:]])
def test_truncated_and_altered_batches_are_named(empty, server, spoil):
    load_cifar10(mirrors=server[0]("whole"))
    path = empty / "data" / "cifar-10-batches-py" / "data_batch_3"
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(ValueError, match="missing, truncated or altered"):
        load_cifar10(empty / "data")


def test_without_data_and_network_digits_take_their_place(empty, monkeypatch, capsys):
    offline = functools.partial(load_cifar10, mirrors=[CLOSED])
    monkeypatch.setattr(images_module, "load_cifar10", offline)
    train_set, test_set = load_images()
    notice = capsys.readouterr().out
    assert "NOT CIFAR-10" in notice and "handwritten digits" in notice and "refused" in notice
    assert train_set.name == "handwritten digits" and len(test_set) == 360
    assert train_set.images.shape == (1437, 32, 32, 3) and train_set.images.dtype == np.uint8
    assert train_set.images.max() == 255 and set(test_set.labels) == set(range(10))
