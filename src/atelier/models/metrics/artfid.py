"""Style and content in one number: Wright & Ommer 2022, "ArtFID: Quantitative Evaluation of Neural Style Transfer",
arXiv:2207.12280.

Here FID is the usual one, in features of the Inception that classifies ImageNet; the authors' program takes an
Inception that they trained on paintings, so its scores are not to be compared with these.
"""


def artfid(lpips: float, fid: float) -> float:
    """(1 + LPIPS) · (1 + FID), of the stylized pictures to their photographs and to the paintings: 1 at best."""
    return (1 + lpips) * (1 + fid)
