"""A teacher's answers for the images that the student sees."""

import math

import pytest
import torch
from tiny_runs import CPU, RECIPE, Counted

from utils.data import BatchAugment, DeviceLoader
from utils.training.distillation import DistillationLoader, distillation_loss


def taught(images, *teachers, temperature=2.0, cycle=2):
    augmentation = BatchAugment(**RECIPE.augmentation)
    loader = DeviceLoader(images, 16, CPU, augmentation=augmentation, seed=3)
    return DistillationLoader(loader, list(teachers), temperature, cycle)


def epoch(loader, number):
    loader.set_epoch(number)
    return [tuple(batch) for batch in loader]


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_the_loss_by_hand(temperature):
    student, teacher = [[1.0, -2.0, 0.5], [0.0, 0.0, 3.0]], [[0.2, 0.1, -1.0], [2.0, -1.0, 0.0]]

    def softened(row):
        weights = [math.exp(value / temperature) for value in row]
        return [weight / sum(weights) for weight in weights]

    divergence = 0.0
    for row, truth in zip(student, teacher, strict=True):
        pairs = zip(softened(row), softened(truth), strict=True)
        divergence += sum(wanted * math.log(wanted / given) for given, wanted in pairs)
    answers = (torch.tensor(teacher) / temperature).log_softmax(1)
    loss = distillation_loss(torch.tensor(student), torch.tensor([0, 1]), answers, temperature)
    assert loss.item() == pytest.approx(temperature**2 * divergence / 2, rel=1e-4)


def test_answers_are_those_for_the_very_pictures(images):
    for pictures, labels, answers in epoch(taught(images, Counted()), 0):
        expected = (pictures.mean((2, 3)) / 2.0).log_softmax(1)
        assert answers.dtype is torch.float32 and answers.shape == (len(labels), 3)
        assert torch.allclose(answers, expected, atol=2e-3)  # kept in float16


def test_a_teacher_is_asked_once_for_each_epoch_of_the_cycle(images):
    teacher = Counted()
    loader = taught(images, teacher, cycle=2)
    epochs = []
    for number, asked in enumerate((4, 8, 8, 8)):
        epochs.append(epoch(loader, number))
        assert teacher.asked == asked and len(epochs[-1]) == len(loader) == 4
    for one, again in ((0, 2), (1, 3)):  # pictures, labels and answers repeat
        for batch, repeated in zip(epochs[one], epochs[again], strict=True):
            assert all(torch.equal(a, b) for a, b in zip(batch, repeated, strict=True))
    assert not torch.equal(epochs[0][0][0], epochs[1][0][0])


def test_without_a_cycle_nothing_repeats(images):
    teacher = Counted()
    loader = taught(images, teacher, cycle=0)
    first, third = epoch(loader, 0), epoch(loader, 2)
    assert (
        teacher.asked == 8 and not torch.equal(first[0][0], third[0][0]) and not loader.soft_targets
    )


def test_several_teachers_answer_with_the_mean_of_their_logits(images):
    several = epoch(taught(images, Counted(-2.0), Counted(), Counted(7.0)), 0)
    single = epoch(taught(images, Counted(2.0)), 0)
    for (_, _, answers), (_, _, one) in zip(several, single, strict=True):
        assert torch.allclose(answers, one, atol=2e-3)
