"""The same augmentation for whole batches, on any device: Python has no loop over images."""

import numpy as np
import torch
import torch.nn.functional as F

from .augment import CUTOUT_SIDE, MEAN_PIXEL

__all__ = ["BatchAugment", "sampling_grid"]

FLIP_PROB = 0.5  # as in `make_augmentation`


class BatchAugment:
    """`make_augmentation`, with the same arguments, for batches (n, 3, side, side) of range 0–255.

    The side is 16 pixels or more: a cutout has 16.

    `draw` draws the parameters for n images with a NumPy generator, so that every device sees the
    same augmentation. Calling the object applies them to a batch.
    """

    def __init__(
        self, *, shift: float, scale: float, rotate: float, affine_prob: float, cutout_prob: float
    ) -> None:
        self.limits = {"shift": shift, "scale": scale, "rotate": rotate}
        self.affine_prob, self.cutout_prob = affine_prob, cutout_prob

    def draw(
        self, n: int, side: int, generator: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What to do with n images: (flipped, sampling grid, cutout's corner).

        flipped is bool (n,), the sampling grid float32 (n, 2, 3). The corner is the cutout's top
        left one as row and column, int64 (n, 2); without a cutout it lies outside of the image.
        """
        flipped = generator.random(n) < FLIP_PROB
        grid = sampling_grid(n, side, generator, **self.limits)
        grid[generator.random(n) >= self.affine_prob] = np.eye(2, 3)
        corners = generator.integers(0, side - CUTOUT_SIDE + 1, (n, 2))
        corners[generator.random(n) >= self.cutout_prob] = -CUTOUT_SIDE
        return flipped, grid, corners

    def __call__(
        self, images: torch.Tensor, flipped: torch.Tensor, grid: torch.Tensor, corners: torch.Tensor
    ) -> torch.Tensor:
        """Apply to images (n, 3, side, side) what `draw` gave for them; float32 of range 0–255.

        The images may be of any number type. They are not changed themselves.
        """
        images = torch.where(flipped[:, None, None, None], images.flip(3), images).float()
        # Contiguous, because with other strides the result is silently wrong on mps
        # (https://github.com/pytorch/pytorch/issues/174339).
        images = F.grid_sample(
            images.contiguous(),
            F.affine_grid(grid, images.shape, align_corners=True),
            padding_mode="reflection",
            align_corners=True,
        ).round()
        pixel = torch.arange(images.shape[-1], device=images.device)
        row, column = (pixel - corners[:, axis, None] for axis in (0, 1))
        rows, columns = (0 <= row) & (row < CUTOUT_SIDE), (0 <= column) & (column < CUTOUT_SIDE)
        cutout = rows[:, :, None] & columns[:, None, :]
        # Plain numbers: a tensor of the mean would be copied to a GPU, and the copy would wait.
        for channel, value in enumerate(MEAN_PIXEL):
            images[:, channel].masked_fill_(cutout, value)
        return images


def sampling_grid(
    n: int, side: int, generator: np.random.Generator, *, shift: float, scale: float, rotate: float
) -> np.ndarray:
    """What `torch.nn.functional.affine_grid` takes, float32 (n, 2, 3), drawn as in albumentations.

    It says where each output pixel comes from. Its axes run from −1 to 1, between the middles of
    the outermost pixels. The limits are those of `make_augmentation`.
    """
    # astype truncates towards 0, to whole pixels.
    shifts = (generator.uniform(-shift, shift, (n, 2)) * side).astype(int)
    scales = generator.uniform(1 - scale, 1 + scale, (n, 2))  # of x and y: independent, as there
    angles = np.deg2rad(generator.uniform(-rotate, rotate, n))
    cos, sin = np.cos(angles), np.sin(angles)
    turns = np.stack([cos, sin, -sin, cos], axis=1).reshape(n, 2, 2)
    back = np.linalg.inv(turns * scales[:, None])
    origins = back @ -shifts[..., None] * 2 / (side - 1)
    return np.concatenate([back, origins], axis=2).astype(np.float32)
