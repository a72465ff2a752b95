"""Pictures of single, cropped faces as the video encoder can see them."""

from pathlib import Path
from typing import Final

import av
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]

FRAME: Final = 448
FACE_SIZES: Final = (160, 120, 200)
"""A cropped face is shown to the detector in a white frame at these sizes in turn, in pixels, until it is found.

(Tried on FER2013: of grey, black, white and stretched surroundings white lets the most faces be found.)"""


def picture_of(path: Path) -> Picture:
    """Read a picture file: uint8 [h, w, 3], RGB."""
    with av.open(str(path)) as container:
        picture: Picture = next(container.decode(video=0)).to_ndarray(format="rgb24")
    return picture


def framed(picture: Picture, size: int) -> Picture:
    """Put a face, scaled to `size` pixels, into the middle of a white frame: uint8 [448, 448, 3]."""
    scaled = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(width=size, height=size, format="rgb24")
    frame = np.full((FRAME, FRAME, 3), 255, np.uint8)
    corner = (FRAME - size) // 2
    frame[corner : corner + size, corner : corner + size] = scaled.to_ndarray()
    return frame
