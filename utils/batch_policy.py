"""The policy on whole batches, on any device: no image passes through Python one by one."""
import numpy as np
import torch
import torch.nn.functional as F

from .augment import BORDER_REFLECT_101, A

__all__ = ["steps_of"]


class Flip:
    """Mirror left and right; `draw` gives bool (n,)."""

    def __init__(self, transform: A.HorizontalFlip):
        self.p = transform.p

    def draw(self, n: int, side: int, generator) -> np.ndarray:
        return generator.random(n) < self.p

    def apply(self, images: torch.Tensor, flipped: torch.Tensor) -> torch.Tensor:
        return torch.where(flipped[:, None, None, None], images.flip(3), images)


class ShiftScaleRotate:
    """One affine map for each image, bilinear, mirrored at the edge; `draw` gives float32 (n, 3, 3) in pixels."""

    def __init__(self, transform: A.ShiftScaleRotate):
        _only(transform, border_mode=BORDER_REFLECT_101, interpolation=1, keep_ratio=False, balanced_scale=False, fit_output=False,
              translate_px=None, shear={"x": (0.0, 0.0), "y": (0.0, 0.0)})
        self.p, self.shift, self.scale, self.rotate = (transform.p, transform.translate_percent, transform.scale, transform.rotate)

    def draw(self, n: int, side: int, generator) -> np.ndarray:
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
        return matrix.astype(np.float32)

    def apply(self, images: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
        side = images.shape[-1]
        # grid_sample asks where each output pixel comes from, on axes that run from -1 to 1 between the outermost pixels' middles.
        to_pixels = matrix.new_tensor([[1, 0, 1], [0, 1, 1], [0, 0, 2 / (side - 1)]]) * (side - 1) / 2
        source = torch.linalg.inv_ex(to_pixels)[0] @ torch.linalg.inv_ex(matrix)[0] @ to_pixels
        grid = F.affine_grid(source[:, :2], images.shape, align_corners=True)
        return F.grid_sample(images.float(), grid, padding_mode="reflection", align_corners=True).round()


class Hole:
    """One hole of one colour; `draw` gives its top left corner (n, 2), far outside where there is none."""

    def __init__(self, transform: A.CoarseDropout):
        _only(transform, num_holes_range=(1, 1))
        (low, high), (left, right) = transform.hole_height_range, transform.hole_width_range
        if isinstance(transform.fill, str) or not isinstance(low, int) or low != high or left != right:
            raise ValueError(f"{transform} cuts holes of several sizes or colours, which the loader on the device does not know; "
                             "use the albumentations loader")
        self.p, self.height, self.width = transform.p, low, left
        self.fill = np.broadcast_to(transform.fill, 3).tolist()

    def draw(self, n: int, side: int, generator) -> np.ndarray:
        corners = np.stack([generator.integers(0, side - size + 1, n) for size in (self.height, self.width)], axis=1)
        corners[generator.random(n) >= self.p] = -side
        return corners

    def apply(self, images: torch.Tensor, corners: torch.Tensor) -> torch.Tensor:
        pixel = torch.arange(images.shape[-1], device=images.device)
        row, column = (pixel - corners[:, axis, None] for axis in (0, 1))
        hole = ((0 <= row) & (row < self.height))[:, None, :, None] & ((0 <= column) & (column < self.width))[:, None, None, :]
        return torch.where(hole, images.new_tensor(self.fill).view(1, 3, 1, 1), images)


def _only(transform, **settings) -> None:
    """Raise ValueError where a setting of an albumentations transform is not the one that is known here."""
    for name, value in settings.items():
        if getattr(transform, name) != value:
            raise ValueError(f"{type(transform).__name__} with {name} = {getattr(transform, name)} is not known to the loader on "
                             f"the device, which knows {value}; use the albumentations loader")


STEPS = {A.HorizontalFlip: Flip, A.ShiftScaleRotate: ShiftScaleRotate, A.CoarseDropout: Hole}


def steps_of(policy: A.Compose) -> list:
    """The policy's steps for whole batches, with the probabilities and limits of its albumentations objects.

    A step draws its parameters in NumPy, the same on every device, and applies them to images (n, 3, side, side) of range
    0–255. Raises ValueError for a transform, or a setting of one, that is not known here.
    """
    if policy.p != 1:
        raise ValueError("a Compose with p below 1 is not known to the loader on the device; use the albumentations loader")
    unknown = [type(transform).__name__ for transform in policy.transforms if type(transform) not in STEPS]
    if unknown:
        raise ValueError(f"{', '.join(unknown)}: not known to the loader on the device, which knows "
                         f"{', '.join(known.__name__ for known in STEPS)}; use the albumentations loader")
    return [STEPS[type(transform)](transform) for transform in policy.transforms]
