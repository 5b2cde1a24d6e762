"""torch.hub entry points: ``torch.hub.load(".", "s7", source="local", pretrained=True)``."""
from models import create_model as _create_model

dependencies = ["torch"]


def tutorial(**flags):
    """The network of PyTorch's CIFAR-10 tutorial; input (N, 3, 32, 32), output (N, 10) logits."""
    return _create_model("tutorial", **flags)


def s7(pretrained=False, **flags):
    """The assignment's C1 C2 C3 C4 O; input (N, 3, H, W), output (N, 10) logits."""
    return _create_model("s7", pretrained, **flags)


def s7_dilated(pretrained=False, **flags):
    """C1 C2 C3 C4 O without stride and without pooling; input (N, 3, H, W), output (N, 10) logits."""
    return _create_model("s7_dilated", pretrained, **flags)
