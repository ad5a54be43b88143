"""Makes a screenshot small: 256 colours are enough for a page, and pack to a third of its size."""

import base64
import struct
import zlib

from playwright.sync_api import Browser

SIGNATURE = b"\x89PNG\r\n\x1a\n"
IN_PALETTE = """async (encoded) => {
  const blob = await (await fetch(`data:image/png;base64,${encoded}`)).blob();
  const { width, height, data } = await createImageBitmap(blob).then((bitmap) => {
    const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d");
    context.drawImage(bitmap, 0, 0);
    return context.getImageData(0, 0, bitmap.width, bitmap.height);
  });
  const colours = new Uint32Array(width * height).map(
    (_, place) => (data[4 * place] << 16) | (data[4 * place + 1] << 8) | data[4 * place + 2]);
  const counts = new Map();
  for (const each of colours) counts.set(each, (counts.get(each) ?? 0) + 1);
  const palette = [...counts].sort((one, other) => other[1] - one[1] || one[0] - other[0])
    .slice(0, 256).map(([colour]) => colour);
  const places = new Map(palette.map((colour, place) => [colour, place]));
  const part = (colour, shift) => (colour >> shift) & 255;
  const distance = (one, other) => [16, 8, 0].reduce(
    (sum, shift) => sum + (part(one, shift) - part(other, shift)) ** 2, 0);
  const nearest = (colour) => palette.reduce(
    (best, each, place) => distance(colour, each) < distance(colour, palette[best]) ? place : best, 0);
  let indices = "";
  for (const each of colours) {
    if (!places.has(each)) places.set(each, nearest(each));
    indices += String.fromCharCode(places.get(each));
  }
  return { width, height, palette, indices: btoa(indices) };
}"""


def smaller(browser: Browser, screenshot: bytes) -> bytes:
    """Return a PNG that looks the same; a browser tells what is on it."""
    page = browser.new_page()
    found = page.evaluate(IN_PALETTE, base64.b64encode(screenshot).decode())
    page.close()
    width, height = found["width"], found["height"]
    indices = base64.b64decode(found["indices"])
    rows = b"".join(b"\0" + indices[start : start + width] for start in range(0, width * height, width))
    return (
        SIGNATURE
        + _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0))
        + _chunk(b"PLTE", b"".join(each.to_bytes(3, "big") for each in found["palette"]))
        + _chunk(b"IDAT", zlib.compress(rows, 9))
        + _chunk(b"IEND", b"")
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
