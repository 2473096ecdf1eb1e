"""A small picture of a photograph (Pillow). In: a JPEG. Out: a JPEG of at most 200 by 200 pixels."""

import io

from PIL import Image

# Formats are loaded when the first image is opened, and by then a function of a chain can load no code.
Image.preinit()
SIZE = (200, 200)


def handler(body: bytes) -> bytes:
    with Image.open(io.BytesIO(body), formats=["JPEG"]) as photograph:
        photograph.thumbnail(SIZE)
        out = io.BytesIO()
        photograph.save(out, "JPEG")
    return out.getvalue()
