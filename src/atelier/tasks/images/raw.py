"""Camera raw files: recognised by their content, so that their embedded thumbnail is never taken for the picture."""

import io
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from atelier.tasks.images.formats import Unreadable
from atelier.tasks.images.page import Page

if TYPE_CHECKING:
    from tifffile import TiffPage

_MAGICS = (
    *(rb"FUJIFILMCCD-RAW", rb"IIRO", rb"IIRS", rb"MMOR", rb"IIU\0", rb"FOVb", rb"\0MRM"),  # RAF, ORF, RW2, X3F, MRW
    *(rb"II..\0\0HEAPCCDR", rb"(II\*\0|MM\0\*)....CR\x02\0", rb"....ftypcrx "),  # CRW, CR2, CR3
    *(rb"II\*\0....IIII.waR", rb"MM\0\*....MMMMRaw."),  # IIQ; the samples of other TIFFs may begin with fewer of these
)
_MAGIC = re.compile(b"|".join(_MAGICS), re.DOTALL)
_MOSAIC = (32803, 34892)  # photometric interpretations of sensors: colour filter array, linear raw
_COMPRESSIONS = frozenset({262, 32767, 32769, 32770, 34713, 65000, 65535})  # of cameras only
_SRGB_CURVE = (2.4, 12.92)  # exponent, and slope near black
_DNG_VERSION, _LEAF_DATA = 50706, 34310


def is_raw(data: bytes) -> bool:
    """Whether the file begins like a camera's raw file that is no plain TIFF."""
    return _MAGIC.match(data) is not None


def is_raw_tiff(pages: "Sequence[TiffPage]") -> bool:
    """Whether a TIFF of these pages, with their sub-pages, is a camera's raw file."""
    return any(
        int(page.photometric) in _MOSAIC
        or int(page.compression) in _COMPRESSIONS
        or _DNG_VERSION in page.tags
        or _LEAF_DATA in page.tags
        for page in pages
    )


class RawPicture:
    """A raw file, developed with the camera's white balance by the optional rawpy (LibRaw).

    Args:
        data: the file.

    Raises:
        Unreadable: rawpy is not installed, or does not know this camera.
    """

    def __init__(self, data: bytes) -> None:
        try:
            import rawpy
        except ImportError as error:
            raise Unreadable(
                "it is a camera's raw file: install atelier[raw] to read it, or export it as TIFF or JPEG"
            ) from error
        try:
            self.file = rawpy.imread(io.BytesIO(data))
        except rawpy.LibRawError as error:
            raise Unreadable("it is a raw file that LibRaw cannot read: export it as TIFF or JPEG") from error
        self.width, self.height = self.file.sizes.width, self.file.sizes.height

    def read(self) -> Page:
        """Develop the picture: upright sRGB of 16 bits. Raises ValueError where it is damaged."""
        with self.file as file:
            samples = file.postprocess(use_camera_wb=True, output_bps=16, gamma=_SRGB_CURVE)  # (H, W, 1 or 3)
        return Page(samples, "RGB", None, None) if samples.shape[2] == 3 else Page(samples[..., 0], "L", None, None)
