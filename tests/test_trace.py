"""What ran is recorded, and where its arguments come from."""

import torch
import torch.nn.functional as F
from small_networks import good
from torch import nn

from utils.grading import receptive_field, trace

IMAGES = torch.zeros(1, 3, 32, 32)


def test_an_operation_knows_its_module_its_parameters_and_its_inputs():
    operations = trace(good().eval(), IMAGES)
    conv = [op for op in operations if op.is_conv][1]
    assert (conv.dilation, conv.kernel, conv.groups) == ((2, 2), (3, 3), 1)
    assert conv.module == "Sequential.C1.1.0"
    assert conv.parameters == {"C1.1.0.weight", "C1.1.0.bias"}
    assert [op.name for op in conv.inputs] == ["silu_"] and conv.inputs[0].is_map
    assert operations[-1].parameters == {"O.2.weight", "O.2.bias"}
    assert operations[-1].multiply_adds == 80 and operations[0].inputs == ()


def test_functions_on_weights_are_not_the_images_way():
    class Standardised(nn.Conv2d):
        def forward(self, x):
            return F.conv2d(x, self.weight - self.weight.mean((1, 2, 3), keepdim=True))

    operations = trace(Standardised(3, 4, 3, bias=False), IMAGES)
    assert [(op.name, op.parameters) for op in operations] == [("convolution", {"weight"})]


def test_data_is_followed_through_a_buffer_that_it_is_written_into():
    class Writes(nn.Module):
        def forward(self, x):
            buffer = torch.zeros(1, 3, 32, 32)
            buffer[:, :, 1:] = x[:, :, 1:]
            return (buffer + 1).sum()

    assert [op.name for op in trace(Writes(), IMAGES)][-2:] == ["add", "sum"]


def test_only_what_reaches_the_output_counts_written_into_a_buffer_or_not():
    class Writes(nn.Module):
        def forward(self, x):
            self.kept = x.exp().detach()
            buffer = torch.zeros_like(x)
            buffer[:, :2] = F.conv2d(x, torch.ones(2, 3, 1, 1))
            return buffer.sum()

    names = {op.name for op in trace(Writes(), IMAGES)}
    assert names >= {"zeros_like", "convolution", "copy_", "sum"} and "exp" not in names


@torch.jit.script
def scripted_mish(x: torch.Tensor) -> torch.Tensor:
    return x * torch.tanh(F.softplus(x))


def test_scripted_functions_do_not_disturb_the_count_of_calls():
    network = good()
    network.C2.extra = lambda x: scripted_mish(x)  # by its name, as networks call it
    assert receptive_field(network).shape == receptive_field(good()).shape


def test_an_operation_knows_its_module_in_a_network_of_a_short_name():
    class M(nn.Sequential):
        """ "M.C2" is shorter than "Global", which torch's tracker calls the whole."""

    network = M()
    network.C2 = nn.MaxPool2d(2)
    assert trace(network, IMAGES)[0].module == "M.C2"
