"""Every measure against an independent formula or implementation."""

import numpy as np
import pytest
import scipy.linalg
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from sklearn.metrics.pairwise import polynomial_kernel as sklearn_kernel

from atelier.models.metrics.checkerboard import checkerboard
from atelier.models.metrics.content import content_distances
from atelier.models.metrics.diversity import diversity
from atelier.models.metrics.fid import frechet, mean_distance
from atelier.models.metrics.gram import gram_vectors, style_kernel
from atelier.models.metrics.inversion import correlation
from atelier.models.metrics.kid import kid, polynomial_kernel
from atelier.models.metrics.mmd import compare, group_weights
from atelier.models.metrics.psnr import psnr
from atelier.models.metrics.ssim import ssim
from atelier.models.pixels import luminance


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(7)


def smooth_pictures(count: int, side: int, seed: int = 0) -> torch.Tensor:
    """Luminance (count, 1, side, side) in [0, 1] with a photograph's falling spectrum."""
    generator = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side))
    frequency[0, 0] = 1
    noise = np.fft.fft2(generator.standard_normal((count, side, side))) / frequency
    pictures = np.fft.ifft2(noise).real
    low, high = pictures.min(axis=(1, 2), keepdims=True), pictures.max(axis=(1, 2), keepdims=True)
    return torch.from_numpy((pictures - low) / (high - low))[:, None].float()


class TestKid:
    def test_equals_the_formula_written_as_loops(self, random: np.random.Generator) -> None:
        x, y = random.standard_normal((7, 5)), random.standard_normal((6, 5)) + 0.3

        def k(a: np.ndarray, b: np.ndarray) -> float:
            return float((sum(p * q for p, q in zip(a, b, strict=True)) / 5 + 1) ** 3)

        within_x = sum(k(x[i], x[j]) for i in range(7) for j in range(7) if i != j) / (7 * 6)
        within_y = sum(k(y[i], y[j]) for i in range(6) for j in range(6) if i != j) / (6 * 5)
        between = sum(k(a, b) for a in x for b in y) / (7 * 6)
        assert kid(x, y) == pytest.approx(within_x + within_y - 2 * between, rel=1e-10)

    def test_kernel_is_scikit_learns(self, random: np.random.Generator) -> None:
        x, y = random.standard_normal((9, 20)), random.standard_normal((4, 20))
        np.testing.assert_allclose(polynomial_kernel(x, y), sklearn_kernel(x, y, degree=3, gamma=1 / 20, coef0=1))

    def test_is_unbiased(self, random: np.random.Generator) -> None:
        values = [kid(random.standard_normal((8, 4)), random.standard_normal((8, 4))) for _ in range(3000)]
        assert abs(np.mean(values)) < 4 * np.std(values) / np.sqrt(len(values))
        assert min(values) < 0


class TestCompare:
    def test_estimates_are_those_of_the_metric(self, random: np.random.Generator) -> None:
        s, p, y = (random.standard_normal((12, 6)) + shift for shift in (0.2, 1.0, 0.0))
        rows = np.concatenate([s, p, y])
        groups = [str(i // 2) for i in range(12)]
        result = compare(polynomial_kernel(rows, rows), groups, groups, resamples=200, seed=0)
        assert result.stylized == pytest.approx(kid(s, y))
        assert result.photos == pytest.approx(kid(p, y))
        assert result.ratio == pytest.approx(kid(s, y) / kid(p, y))
        assert result.low < result.stylized < result.high
        assert result.ratio_low < result.ratio < result.ratio_high

    @pytest.mark.parametrize("shift", [0.0, 0.02])
    def test_a_ratio_to_nothing_has_no_interval_and_no_huge_numbers(
        self, random: np.random.Generator, shift: float
    ) -> None:
        s, p, y = (random.standard_normal((8, 30)) + by for by in (0.0, shift, 0.0))
        rows = np.concatenate([s, p, y])
        groups = [str(i) for i in range(8)]
        result = compare(polynomial_kernel(rows, rows), groups, groups, 200, 0)
        assert result.photos_low < 0 < result.photos_high
        assert (result.ratio_low, result.ratio_high) == (None, None)
        assert (result.ratio is None) == (result.photos <= 0)
        assert result.difference_low < result.difference_high
        assert all(abs(number) < 1e3 for number in result.as_dict().values())

    def test_same_seed_same_interval(self, random: np.random.Generator) -> None:
        rows = random.standard_normal((12, 3))
        kernel, groups = polynomial_kernel(rows, rows), list("abcd")
        assert compare(kernel, groups, groups, 50, 1) == compare(kernel, groups, groups, 50, 1)

    def test_interval_covers_the_truth(self, random: np.random.Generator) -> None:
        """Nineteen in twenty intervals of a linear kernel hold the squared distance of the means."""
        hits, truth = 0, 3 * 1.0**2
        for seed in range(150):
            s, p, y = (random.standard_normal((40, 3)) + shift for shift in (1.0, 2.0, 0.0))
            rows = np.concatenate([s, p, y])
            groups = [str(i) for i in range(40)]
            result = compare(rows @ rows.T, groups, groups, 200, seed)
            hits += result.low <= truth <= result.high
        assert 0.88 <= hits / 150 <= 0.99

    def test_crops_of_one_parent_widen_the_interval(self, random: np.random.Generator) -> None:
        parents = random.standard_normal((3, 6, 4)) + np.array([0.3, 1.0, 0.0])[:, None, None]
        rows = np.repeat(parents, 10, axis=1).reshape(180, 4) + 0.01 * random.standard_normal((180, 4))
        kernel = polynomial_kernel(rows, rows)
        grouped = compare(kernel, [str(i // 10) for i in range(60)], [str(i // 10) for i in range(60)], 300, 0)
        single = compare(kernel, [str(i) for i in range(60)], [str(i) for i in range(60)], 300, 0)
        assert grouped.high - grouped.low > 1.5 * (single.high - single.low)

    def test_groups_are_drawn_whole_and_a_lonely_group_by_picture(self, random: np.random.Generator) -> None:
        weights = group_weights(["a", "a", "b", "b", "b"], 100, random)
        assert (weights[:, 0] == weights[:, 1]).all()
        assert (weights[:, 2] == weights[:, 4]).all()
        assert (weights[:, 0] + weights[:, 2] == 2).all()
        assert len(np.unique(group_weights(["a"] * 5, 100, random), axis=0)) > 5

    def test_one_picture_is_too_few(self) -> None:
        with pytest.raises(ValueError, match="two pictures"):
            compare(np.eye(3), ["a"], ["b"], 10, 0)


@pytest.mark.parametrize(("n", "m", "d"), [(60, 50, 8), (6, 9, 40), (5, 80, 16)])
def test_frechet_equals_the_matrix_root(n: int, m: int, d: int, random: np.random.Generator) -> None:
    x = random.standard_normal((n, d)) @ random.standard_normal((d, d))
    y = random.standard_normal((m, d)) * 2 + 1
    sx, sy = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    root = scipy.linalg.sqrtm(sx @ sy).real
    expected = ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(sx + sy - 2 * root)
    assert frechet(x, y) == pytest.approx(expected, rel=1e-4)
    assert frechet(x, x) == pytest.approx(0, abs=1e-8)


def test_the_distance_of_means_is_that_of_the_distributions_whatever_the_number(random: np.random.Generator) -> None:
    for count in (5, 500):
        found = [
            mean_distance(random.normal(1, 3, (count, 4)), random.normal(0, [1, 2, 3, 4], (count, 4)))
            for _ in range(4000 // count)
        ]
        if count == 500:
            assert np.mean(found) == pytest.approx(4 / 30, abs=0.03)
        else:  # the share of a variance that is estimated from five is a little larger
            assert np.mean(found) == pytest.approx(4 / 30, abs=0.1)


def test_frechet_and_kid_are_torchmetrics() -> None:
    """The numbers are what TorchMetrics 1.9.0 gives for them by `image.fid._compute_fid` and `image.kid.poly_mmd`."""
    generator = np.random.default_rng(2024)
    x, y = generator.standard_normal((64, 24)), generator.standard_normal((80, 24)) * 1.5 + 0.25
    assert frechet(x, y) == pytest.approx(12.677602878271003, rel=1e-9)
    assert kid(x, y[:64]) == pytest.approx(0.2259520645037041, rel=1e-9)


class TestStyle:
    def test_distance_is_that_of_the_mean_gram_matrices(self) -> None:
        """Against Gram matrices written out; the unbiased estimate differs from the plain one by known terms."""
        torch.manual_seed(0)
        features = torch.randn(9, 4, 6, 5)
        vectors = gram_vectors(features).numpy()
        grams = torch.einsum("bchw,bdhw->bcd", features, features).numpy() / (4 * 6 * 5)
        np.testing.assert_allclose(vectors @ vectors.T, np.einsum("icd,jcd->ij", grams, grams), rtol=1e-4)
        result = compare(style_kernel([vectors], slice(6, 9)), list("abc"), list("def"), 20, 0)
        s, y = grams[:3], grams[6:]

        def unbiased_norm(g: np.ndarray) -> float:
            return float(sum((g[i] * g[j]).sum() for i in range(3) for j in range(3) if i != j) / 6)

        expected = unbiased_norm(s) + unbiased_norm(y) - 2 * float((s.mean(0) * y.mean(0)).sum())
        assert result.stylized == pytest.approx(expected / unbiased_norm(y), rel=1e-4)

    def test_scale_of_a_layer_does_not_matter(self, random: np.random.Generator) -> None:
        a, b = random.standard_normal((8, 10)) + 1, random.standard_normal((8, 4)) + 1
        np.testing.assert_allclose(style_kernel([a, b], slice(4, 8)), style_kernel([a, 100 * b], slice(4, 8)))


class TestSsim:
    def test_is_scikit_images(self) -> None:
        x = smooth_pictures(3, 48)
        y = (x + 0.15 * torch.randn(x.shape, generator=torch.Generator().manual_seed(1))).clamp(0, 1)
        settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
        for a, b, value in zip(x, y, ssim(x, y), strict=True):
            expected = structural_similarity(a[0].double().numpy(), b[0].double().numpy(), **settings)
            assert float(value) == pytest.approx(expected, abs=1e-9)

    def test_bounds(self) -> None:
        x = smooth_pictures(2, 32)
        torch.testing.assert_close(ssim(x, x), torch.ones(2, dtype=torch.float64))
        assert (ssim(x, 1 - x) < 0.3).all()
        with pytest.raises(ValueError, match="11 pixels"):
            ssim(x[..., :8, :8], x[..., :8, :8])


def test_luminance_of_white_and_of_primaries() -> None:
    primaries = torch.eye(3)[:, :, None, None]
    assert luminance(primaries).flatten().tolist() == pytest.approx([0.2126, 0.7152, 0.0722])
    assert float(luminance(torch.ones(1, 3, 1, 1))) == pytest.approx(1)


def test_correlation_is_numpys_and_finds_inversion() -> None:
    x, y = smooth_pictures(4, 24), smooth_pictures(4, 24, seed=5)
    expected = [np.corrcoef(a.flatten(), b.flatten())[0, 1] for a, b in zip(x.numpy(), y.numpy(), strict=True)]
    assert correlation(x, y).tolist() == pytest.approx(expected, abs=1e-6)
    assert correlation(x, 1 - x).tolist() == pytest.approx([-1] * 4)
    assert correlation(x, torch.full_like(x, 0.5)).tolist() == pytest.approx([0] * 4)


def test_diversity_is_the_mean_pairwise_distance(random: np.random.Generator) -> None:
    x = random.standard_normal((6, 4))
    expected = np.mean([np.linalg.norm(x[i] - x[j]) for i in range(6) for j in range(6) if i != j])
    assert diversity(x) == pytest.approx(expected)
    assert diversity(np.ones((5, 3))) == pytest.approx(0, abs=1e-6)


def test_content_distances(random: np.random.Generator) -> None:
    photos = random.standard_normal((4, 10))
    stylized = photos + 0.1
    kept, unrelated = content_distances(photos, stylized, ["a", "a", "b", "b"])
    np.testing.assert_allclose(kept, np.full(4, 0.01))
    pairs = [(0, 2), (0, 3), (1, 2), (1, 3)]
    assert unrelated == pytest.approx(np.mean([((photos[i] - photos[j]) ** 2).mean() for i, j in pairs]))
    _, alone = content_distances(photos, stylized, ["a"] * 4)
    assert alone > 0


class TestCheckerboard:
    def test_smooth_pictures_have_none(self) -> None:
        assert checkerboard(smooth_pictures(8, 128)) < 2

    @pytest.mark.parametrize("period", [2, 4])
    @pytest.mark.parametrize("both", [False, True])
    def test_a_faint_grid_stands_out(self, period: int, both: bool) -> None:
        """A grid of two grey levels in 255, which the eye hardly sees."""
        x = smooth_pictures(8, 128)
        wave = torch.cos(2 * torch.pi * torch.arange(128) / period)
        grid = wave[:, None] * wave if both else wave.expand(128, 128)
        assert checkerboard(x + 2 / 255 * grid) > 2 * checkerboard(x)

    def test_too_small(self) -> None:
        with pytest.raises(ValueError, match="32 pixels"):
            checkerboard(torch.rand(1, 1, 16, 64))


def test_psnr_is_that_of_scikit_image() -> None:
    x, y = torch.rand(3, 3, 20, 30), torch.rand(3, 3, 20, 30)
    wanted = [peak_signal_noise_ratio(a.numpy(), b.numpy(), data_range=1.0) for a, b in zip(x, y, strict=True)]
    assert psnr(x, y).tolist() == pytest.approx(wanted, rel=1e-6)
    assert psnr(x, x).isinf().all()
