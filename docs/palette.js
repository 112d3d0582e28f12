// A picture's 256 most frequent colours, and for each of its pixels which of them it is, or is nearest to.
async (encoded) => {
  const blob = await (await fetch(`data:image/png;base64,${encoded}`)).blob();
  const bitmap = await createImageBitmap(blob);
  const { width, height } = bitmap;
  const context = new OffscreenCanvas(width, height).getContext("2d");
  context.drawImage(bitmap, 0, 0);
  const bytes = context.getImageData(0, 0, width, height).data;
  const colors = new Uint32Array(width * height);
  for (let i = 0; i < colors.length; i += 1) colors[i] = (bytes[4 * i] << 16) | (bytes[4 * i + 1] << 8) | bytes[4 * i + 2];
  const counts = new Map();
  for (const color of colors) counts.set(color, (counts.get(color) ?? 0) + 1);
  const palette = [...counts].sort((a, b) => b[1] - a[1]).slice(0, 256).map(([color]) => color);
  const places = new Map(palette.map((color, place) => [color, place]));
  const apart = (a, b) => [16, 8, 0].reduce((sum, at) => sum + (((a >> at) & 255) - ((b >> at) & 255)) ** 2, 0);
  const nearest = (color) => palette.reduce((best, each, place) => (apart(each, color) < apart(palette[best], color) ? place : best), 0);
  for (const color of counts.keys()) if (!places.has(color)) places.set(color, nearest(color));
  const pixels = Uint8Array.from(colors, (color) => places.get(color));
  return { width, height, palette, pixels: pixels.toBase64() };
}
