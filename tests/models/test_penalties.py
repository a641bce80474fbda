"""Gradient penalties against closed forms."""

import pytest
import torch
from torch import Tensor, nn

from atelier.models.losses.penalties import gradient_penalty, r1_penalty


class Linear(nn.Module):
    """Two patch scores a picture: ⟨a, x⟩ and ⟨b, x⟩."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(2, 3 * 4 * 4, generator=torch.Generator().manual_seed(0)))

    def forward(self, x: Tensor) -> Tensor:
        return (x.flatten(1) @ self.weight.T)[:, None, None]  # (B, 1, 1, 2)


def pictures(seed: int) -> Tensor:
    return torch.rand(5, 3, 4, 4, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_of_a_linear_discriminator_both_are_known() -> None:
    d = Linear()
    gradient = d.weight.detach().mean(0)  # of the mean of both scores, at every picture
    torch.testing.assert_close(r1_penalty(d, pictures(0)), gradient.square().sum())
    found = gradient_penalty(d, pictures(0), pictures(1), torch.rand(5))
    torch.testing.assert_close(found, (gradient.norm() - 1).square())


def test_the_mean_over_pictures_not_their_sum() -> None:
    x = pictures(0)
    # D(x) = ½‖x‖², so ∇D = x
    found = r1_penalty(lambda x: 0.5 * x.square().sum((1, 2, 3), keepdim=True), x)
    torch.testing.assert_close(found, x.flatten(1).square().sum(1).mean())


def test_the_gradient_is_taken_between_real_and_fake() -> None:
    real, fake, mix = pictures(0), pictures(1), torch.tensor([0.0, 1.0, 0.25, 0.5, 0.75])
    between = mix[:, None, None, None] * real + (1 - mix[:, None, None, None]) * fake
    found = gradient_penalty(lambda x: 0.5 * x.square().sum((1, 2, 3), keepdim=True), real, fake, mix)
    torch.testing.assert_close(found, (between.flatten(1).norm(dim=1) - 1).square().mean())


def test_both_reach_the_weights_through_two_derivatives() -> None:
    d = Linear()
    mean = d.weight.detach().mean(0)
    r1_penalty(d, pictures(0)).backward()  # type: ignore[no-untyped-call]
    # ∂‖(a + b)/2‖² / ∂a = (a + b)/2
    torch.testing.assert_close(d.weight.grad, mean.expand(2, -1))
    d.zero_grad()
    gradient_penalty(d, pictures(0), pictures(1), torch.rand(5)).backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(d.weight.grad, ((mean.norm() - 1) * mean / mean.norm()).expand(2, -1))

    torch.manual_seed(0)
    smooth = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Conv2d(4, 1, 2))
    weight = smooth[0].weight
    (found,) = torch.autograd.grad(r1_penalty(smooth, pictures(0)), weight)
    with torch.no_grad():  # against the slope of the penalty itself
        weight += 1e-2 * found
        above = r1_penalty_value(smooth)
        weight -= 2e-2 * found
        below = r1_penalty_value(smooth)
    torch.testing.assert_close((above - below) / 2e-2, found.square().sum(), rtol=2e-2, atol=0)


def r1_penalty_value(discriminator: nn.Module) -> Tensor:
    with torch.enable_grad():
        return r1_penalty(discriminator, pictures(0)).detach()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_float32_whatever_surrounds_it(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    d = nn.Sequential(nn.Conv2d(3, 8, 3), nn.LeakyReLU(0.2), nn.Conv2d(8, 1, 2))
    real, fake, mix = pictures(0), pictures(1), torch.rand(5)
    exact = r1_penalty(d, real), gradient_penalty(d, real, fake, mix)
    with torch.autocast("cpu", torch.bfloat16):
        found = r1_penalty(d, real.to(dtype)), gradient_penalty(d, real.to(dtype), fake.to(dtype), mix)
    assert all(value.dtype == torch.float32 for value in found)
    if dtype == torch.float32:
        assert all(torch.equal(a, b) for a, b in zip(exact, found, strict=True))


def test_a_flat_discriminator_gives_finite_gradients() -> None:
    d = Linear()
    with torch.no_grad():
        d.weight.zero_()
    penalty = gradient_penalty(d, pictures(0), pictures(1), torch.rand(5))
    penalty.backward()  # type: ignore[no-untyped-call]
    assert penalty.item() == 1
    assert d.weight.grad is not None
    assert d.weight.grad.isfinite().all()
