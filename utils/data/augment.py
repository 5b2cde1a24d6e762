"""The assignment's augmentation, image by image in albumentations."""

import os
import warnings

# Without this, albumentations asks a package index for a newer release when it is imported (2 s).
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
import albumentations as A  # noqa: E402

__all__ = ["A", "CIFAR10_MEAN", "CIFAR10_STD", "CUTOUT_SIDE", "MEAN_PIXEL", "make_augmentation"]

# Over all pixels of the 50,000 training images, as fractions of 255; tests/test_data.py measures
# them again.
CIFAR10_MEAN = (0.4914, 0.4822, 0.4465)
CIFAR10_STD = (0.2470, 0.2435, 0.2616)
# The mean on the scale of the images that are augmented: whole numbers from 0 to 255.
MEAN_PIXEL = tuple(round(255 * mean) for mean in CIFAR10_MEAN)
CUTOUT_SIDE = 16  # pixels; the assignment's
BORDER_REFLECT_101 = 4  # OpenCV's constant: mirror the image at its edge, add no black corners


def make_augmentation(
    *, shift: float, scale: float, rotate: float, affine_prob: float, cutout_prob: float
) -> A.Compose:
    """Horizontal flip, shift-scale-rotate, and a 16×16 cutout filled with the data set's mean.

    For uint8 images (H, W, 3) of range 0–255. `shift` and `scale` are fractions of the side,
    `rotate` is in degrees, each the largest change in either direction. Shifts are truncated to
    whole pixels: 0.125 of 32 draws −3 … 3. `affine_prob` and `cutout_prob` are the fractions of the
    images that are changed; half of the images are flipped.
    """
    with warnings.catch_warnings():
        # It is one, but the assignment asks for this name.
        warnings.filterwarnings("ignore", message="ShiftScaleRotate is a special case")
        shift_scale_rotate = A.ShiftScaleRotate(
            shift_limit=shift,
            scale_limit=scale,
            rotate_limit=rotate,
            border_mode=BORDER_REFLECT_101,
            p=affine_prob,
        )
    cutout = A.CoarseDropout(
        num_holes_range=(1, 1),
        hole_height_range=(CUTOUT_SIDE, CUTOUT_SIDE),
        hole_width_range=(CUTOUT_SIDE, CUTOUT_SIDE),
        fill=MEAN_PIXEL,
        fill_mask=None,
        p=cutout_prob,
    )
    return A.Compose([A.HorizontalFlip(p=0.5), shift_scale_rotate, cutout])
