"""CBAM against its equations, and without parameters."""

from __future__ import annotations

import pytest
import torch

from edgekd.networks.cbam import CBAM, REDUCTION, parameter_free_cbam


@pytest.fixture
def feature() -> torch.Tensor:
    return torch.randn(2, 32, 6, 5, generator=torch.Generator().manual_seed(0))


def test_channel_attention_is_equation_2(feature: torch.Tensor) -> None:
    cbam = CBAM(32).eval()
    torch.nn.init.zeros_(cbam.spatial[0].weight)  # type: ignore[arg-type] # M_s is then 0.5 everywhere
    with torch.no_grad():
        scores = cbam.channel(feature.mean(dim=(2, 3))) + cbam.channel(feature.amax(dim=(2, 3)))
        expected = 0.5 * feature * torch.sigmoid(scores).view(2, 32, 1, 1)
        torch.testing.assert_close(cbam(feature), expected)


def test_spatial_attention_depends_on_the_neighbourhood_of_a_position_alone(feature: torch.Tensor) -> None:
    cbam = CBAM(32).eval()
    wide = torch.nn.functional.pad(feature, (0, 20))
    torch.nn.init.zeros_(cbam.channel[2].weight)  # type: ignore[arg-type] # M_c no longer sees the whole image
    other = wide.clone()
    other[..., -1] = 3.0
    with torch.no_grad():
        changed = (cbam(wide) != cbam(other)).any(dim=1)[0].any(dim=0)
    assert changed.nonzero().flatten().tolist() == [24]  # further columns are 0, whatever their weight


def test_a_narrow_feature_keeps_one_hidden_channel() -> None:
    assert CBAM(REDUCTION // 2).channel[0].out_features == 1


def test_parameter_free_cbam_follows_its_formula(feature: torch.Tensor) -> None:
    weights = torch.sigmoid(feature.mean(dim=(2, 3)) + feature.amax(dim=(2, 3)))
    refined = feature * weights[:, :, None, None]
    expected = refined * torch.sigmoid(refined.amax(dim=1) + refined.mean(dim=1))[:, None]
    torch.testing.assert_close(parameter_free_cbam(feature), expected)


def test_both_keep_shape_and_pass_gradients(feature: torch.Tensor) -> None:
    for module in (CBAM(32), parameter_free_cbam):
        x = feature.clone().requires_grad_()
        found = module(x)
        assert found.shape == feature.shape
        found.sum().backward()
        assert x.grad is not None
        assert torch.isfinite(x.grad).all()
