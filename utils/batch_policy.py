"""The policy on whole batches, on any device: no image passes through Python one by one."""
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F

from .augment import BORDER_REFLECT_101, A

__all__ = ["grid_of", "steps_of"]


REMEDY = "leave that policy to albumentations, with on_device=False in its recipe"


class Flip:
    """Mirror left and right; `draw` gives bool (n,)."""

    def __init__(self, transform: A.HorizontalFlip):
        self.p = transform.p

    def draw(self, n: int, side: int, generator) -> np.ndarray:
        return generator.random(n) < self.p

    def apply(self, images: torch.Tensor, flipped: torch.Tensor) -> torch.Tensor:
        return torch.where(flipped[:, None, None, None], images.flip(3), images)


class ShiftScaleRotate:
    """One affine map for each image, bilinear, mirrored at the edge; `draw` gives float32 (n, 2, 3), see `grid_of`."""

    def __init__(self, transform: A.ShiftScaleRotate):
        _only(transform, border_mode=BORDER_REFLECT_101, interpolation=1)  # 1: OpenCV's INTER_LINEAR
        self.p, self.shift, self.scale, self.rotate = (transform.p, transform.translate_percent, transform.scale, transform.rotate)

    def draw(self, n: int, side: int, generator) -> np.ndarray:
        return grid_of(self.matrices(n, side, generator), side)

    def matrices(self, n: int, side: int, generator) -> np.ndarray:
        """Where each pixel goes: float64 (n, 3, 3), in pixels, as albumentations composes its `matrix`."""
        shift = {axis: (generator.uniform(*self.shift[axis], n) * side).astype(int) for axis in "xy"}  # towards 0: whole pixels
        scale = {axis: generator.uniform(*self.scale[axis], n) for axis in "xy"}
        angle = np.deg2rad(generator.uniform(*self.rotate, n))
        matrix = np.zeros((n, 3, 3))
        matrix[:, 0, 0], matrix[:, 0, 1] = scale["x"] * np.cos(angle), scale["y"] * np.sin(angle)
        matrix[:, 1, 0], matrix[:, 1, 1] = -scale["x"] * np.sin(angle), scale["y"] * np.cos(angle)
        matrix[:, 2, 2] = 1
        centre = np.full(2, (side - 1) / 2)
        matrix[:, :2, 2] = centre - matrix[:, :2, :2] @ centre + np.stack([shift["x"], shift["y"]], axis=1)
        matrix[generator.random(n) >= self.p] = np.eye(3)
        return matrix

    def apply(self, images: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
        grid = F.affine_grid(source, images.shape, align_corners=True)
        # Contiguous: with other strides mps is silently wrong (https://github.com/pytorch/pytorch/issues/174339).
        return F.grid_sample(images.float().contiguous(), grid, padding_mode="reflection", align_corners=True).round()


def grid_of(matrix: np.ndarray, side: int) -> np.ndarray:
    """What `torch.nn.functional.affine_grid` takes, float32 (n, 2, 3), for maps of pixels (n, 3, 3).

    It asks where each output pixel comes from, on axes that run from −1 to 1 between the outermost pixels' middles.
    """
    half = (side - 1) / 2
    to_pixels = np.array([[half, 0, half], [0, half, half], [0, 0, 1]])
    return (np.linalg.inv(to_pixels) @ np.linalg.inv(matrix) @ to_pixels)[:, :2].astype(np.float32)


class Hole:
    """One hole of one colour; `draw` gives its top left corner (n, 2), far outside where there is none."""

    def __init__(self, transform: A.CoarseDropout):
        _only(transform, num_holes_range=(1, 1))
        (low, high), (left, right) = transform.hole_height_range, transform.hole_width_range
        sizes_known = isinstance(low, int) and low == high and isinstance(left, int) and left == right
        if isinstance(transform.fill, str) or not sizes_known:
            raise ValueError(f"{transform}: holes that are not of one size in whole pixels and of one colour are not known to the "
                             f"loader on the device; {REMEDY}")
        self.p, self.height, self.width = transform.p, low, left
        self.fill = tuple(np.broadcast_to(transform.fill, 3).tolist())

    def draw(self, n: int, side: int, generator) -> np.ndarray:
        corners = np.stack([generator.integers(0, max(0, side - size) + 1, n) for size in (self.height, self.width)], axis=1)
        corners[generator.random(n) >= self.p] = -max(self.height, self.width)
        return corners

    def apply(self, images: torch.Tensor, corners: torch.Tensor) -> torch.Tensor:
        pixel = torch.arange(images.shape[-1], device=images.device)
        row, column = (pixel - corners[:, axis, None] for axis in (0, 1))
        hole = ((0 <= row) & (row < self.height))[:, None, :, None] & ((0 <= column) & (column < self.width))[:, None, None, :]
        return torch.where(hole, _colour(self.fill, images.dtype, images.device), images)


@cache  # a tensor that is made on a GPU from numbers waits for all that the GPU has still to do
def _colour(fill: tuple, dtype, device) -> torch.Tensor:
    return torch.tensor(fill, device=device).to(dtype).view(1, 3, 1, 1)


def _only(transform, **settings) -> None:
    """Raise ValueError where a setting of an albumentations transform is not the one that is known here."""
    for name, value in settings.items():
        if getattr(transform, name) != value:
            raise ValueError(f"{type(transform).__name__} with {name} = {getattr(transform, name)} is not known to the loader on "
                             f"the device, which knows {value}; {REMEDY}")


STEPS = {A.HorizontalFlip: Flip, A.ShiftScaleRotate: ShiftScaleRotate, A.CoarseDropout: Hole}


def steps_of(policy: A.Compose) -> list:
    """The policy's steps for whole batches, with the probabilities and limits of its albumentations objects.

    A step draws its parameters in NumPy, the same on every device, and applies them to images (n, 3, side, side) of range
    0–255. Raises ValueError for a transform, or a setting of one, that is not known here.
    """
    if type(policy) is not A.Compose or policy.p != 1:
        raise ValueError("only a Compose with p = 1 is known to the loader on the device; " + REMEDY)
    unknown = [type(transform).__name__ for transform in policy.transforms if type(transform) not in STEPS]
    if unknown:
        raise ValueError(f"{', '.join(unknown)}: not known to the loader on the device, which knows "
                         f"{', '.join(known.__name__ for known in STEPS)}; {REMEDY}")
    return [STEPS[type(transform)](transform) for transform in policy.transforms]
