"""torch.hub entry points: ``torch.hub.load("OWNER/REPO", "s7", pretrained=True)``.

Every network takes images (N, 3, H, W) and returns logits (N, 10). Images have to be normalised as
in training. A pretrained network says how in its attribute `card`, a dict: the values of a colour
image (H, W, 3) of range 0–1, minus ``card["mean"]``, divided by ``card["std"]``. The class of the
largest logit has its name in ``card["classes"]``.
"""

# torch.hub lists every function and class whose name begins with a letter: hence the underscores.
import importlib.util as _util
import sys as _sys
import zlib as _zlib
from pathlib import Path as _Path
from typing import Any as _Any

__all__ = ["dependencies", "s7", "s7_dilated"]

dependencies = ["torch"]

# Users often have a `models` of their own, so ours is imported under a name that nobody else has.
_folder = _Path(__file__).resolve().parent / "models"
_name = f"s7_cifar10_models_{_zlib.crc32(str(_folder).encode()):08x}"
_spec = _util.spec_from_file_location(
    _name, _folder / "__init__.py", submodule_search_locations=[str(_folder)]
)
_models = _sys.modules[_name] = _util.module_from_spec(_spec)
_spec.loader.exec_module(_models)


def s7(pretrained: bool = False, **flags: _Any) -> _models.S7:
    """The assignment's C1 C2 C3 C4 O with three strides of 2.

    ``pretrained=True`` loads trained weights, in eval mode, and their `card`: how to normalise
    images, the names of the classes, the accuracy. Flags are for an untrained network, for example
    ``dilation=False``.
    """
    return _models.create_model("s7", pretrained, **flags)


def s7_dilated(pretrained: bool = False, **flags: _Any) -> _models.S7Dilated:
    """The same with dilated kernels in place of strides and pooling; `pretrained` as for `s7`."""
    return _models.create_model("s7_dilated", pretrained, **flags)
