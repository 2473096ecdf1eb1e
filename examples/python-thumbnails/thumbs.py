"""One size of a photograph: what Pillow reads in, a JPEG out."""

import io
import logging
import os

import hacher

from PIL import Image, ImageOps

log = logging.getLogger(__name__)

WIDTH = int(os.environ["WIDTH"])
QUALITY = int(os.environ["QUALITY"])
# Once a function serves it can load no code, and Pillow loads its common formats when the first image is
# opened.
Image.preinit()
# As in ../thumbnails: what the memory of a function is for.
Image.MAX_IMAGE_PIXELS = 25_000_000


@hacher.function
def scale(body: memoryview) -> bytes:
    try:
        with Image.open(io.BytesIO(body), formats=["JPEG", "PNG"]) as image:
            # JPEG is decoded at half or a quarter of its size, if that will do.
            image.draft("RGB", (WIDTH, WIDTH))
            small = ImageOps.exif_transpose(image).convert("RGB")
    except (Image.UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise hacher.Permanent("neither a JPEG nor a PNG of at most 25 million pixels") from error
    small.thumbnail((WIDTH, small.height))
    out = io.BytesIO()
    small.save(out, "JPEG", quality=QUALITY)
    log.info("%d bytes, %d by %d pixels", len(body), *small.size)
    return out.getvalue()
