"""How much of a picture's content is left, by an encoder's deep features."""

import numpy as np

from atelier.models.metrics.mmd import Array


def content_distances(photos: Array, stylized: Array, groups: list[str]) -> tuple[Array, float]:
    """The content loss of Gatys et al. 2016, eq. (1), beside what it is between unrelated photographs.

    Args:
        photos: deep features of n photographs (n, d).
        stylized: features of the pictures made from them (n, d).
        groups: the group of each photograph.

    Returns:
        The mean squared difference of each photograph and its stylized picture (n,), and the mean over pairs of
        photographs of different groups (of different photographs, where there is one group only).
    """
    kept = ((photos - stylized) ** 2).mean(1)
    squared = (photos**2).sum(1)
    distances = (squared[:, None] + squared - 2 * photos @ photos.T) / photos.shape[1]
    names = np.array(groups)
    unrelated = names[:, None] != names
    if not unrelated.any():
        unrelated = ~np.eye(len(names), dtype=bool)
    return np.asarray(kept), float(distances[unrelated].mean())
