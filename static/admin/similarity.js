// A table of formats and qualities with the bytes and the similarity of each rendition.
const FORMATS = ["jpg", "webp", "avif"];
const QUALITIES = [50, 65, 80, 90];
const PIXELS = 1e6;
const WINDOW = 8;
const STEP = 4;

// The brightness of a picture (ITU-R BT.601) at a size.
function brightness(bitmap, width, height) {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", {willReadFrequently: true});
  context.fillStyle = "#fff"; // behind transparency
  context.fillRect(0, 0, width, height);
  context.drawImage(bitmap, 0, 0, width, height);
  const {data} = context.getImageData(0, 0, width, height);
  const luma = new Float32Array(width * height);
  for (let at = 0; at < luma.length; at += 1) luma[at] = 0.299 * data[4 * at] + 0.587 * data[4 * at + 1] + 0.114 * data[4 * at + 2];
  return luma;
}

// The mean SSIM (Wang, Bovik, Sheikh, Simoncelli 2004) of two pictures, in square windows of equal weight.
export function similarity(one, other, width, height) {
  const c1 = (0.01 * 255) ** 2;
  const c2 = (0.03 * 255) ** 2;
  const side = Math.min(WINDOW, width, height);
  const number = side * side;
  let total = 0;
  let windows = 0;
  for (let top = 0; top + side <= height; top += STEP) {
    for (let left = 0; left + side <= width; left += STEP) {
      let x = 0, y = 0, xx = 0, yy = 0, xy = 0;
      for (let row = top; row < top + side; row += 1) {
        for (let at = row * width + left, end = at + side; at < end; at += 1) {
          const a = one[at], b = other[at];
          x += a; y += b; xx += a * a; yy += b * b; xy += a * b;
        }
      }
      x /= number; y /= number;
      const vx = xx / number - x * x, vy = yy / number - y * y, cov = xy / number - x * y;
      total += ((2 * x * y + c1) * (2 * cov + c2)) / ((x * x + y * y + c1) * (vx + vy + c2));
      windows += 1;
    }
  }
  return total / windows;
}

const element = (name, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
};
let urls = [];

// Fills the table; `fetched` returns the rendition with some parameters as a blob.
export async function compared(area, fetched, size) {
  urls.forEach((url) => URL.revokeObjectURL(url));
  urls = [];
  const head = element("tr", {}, element("th", {scope: "col", textContent: "quality"}), ...FORMATS.map((name) => element("th", {scope: "col", textContent: name})));
  const body = element("tbody");
  area.replaceChildren(element("table", {}, element("thead", {}, head), body));
  area.hidden = false;
  const reference = await createImageBitmap(await fetched({format: "png"}));
  const scale = Math.min(1, Math.sqrt(PIXELS / (reference.width * reference.height)));
  const width = Math.max(1, Math.round(reference.width * scale));
  const height = Math.max(1, Math.round(reference.height * scale));
  const exact = brightness(reference, width, height);
  for (const quality of QUALITIES) {
    const row = element("tr", {}, element("th", {scope: "row", textContent: quality}));
    body.append(row);
    for (const format of FORMATS) {
      const blob = await fetched({format, quality: String(quality)});
      const alike = similarity(exact, brightness(await createImageBitmap(blob), width, height), width, height);
      const url = URL.createObjectURL(blob);
      urls.push(url);
      const use = element("button", {type: "button", className: "outline small", textContent: "Use"});
      use.dataset.use = `${format} ${quality}`;
      use.setAttribute("aria-label", `Use ${format} in quality ${quality}`);
      row.append(element("td", {}, element("img", {src: url, alt: `The picture as ${format} in quality ${quality}`}), element("b", {textContent: size(blob.size)}), element("span", {textContent: `similarity ${alike.toFixed(3)}`}), use));
    }
  }
}
