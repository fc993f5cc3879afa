// Live pictures: a slider changes the URL next to the picture, and the picture follows.
const size = (bytes) => (bytes < 1000 ? `${bytes} bytes` : `${(bytes / 1000).toPrecision(3)} kB`);

function describe(figure, image) {
  const {naturalWidth, naturalHeight} = image;
  image.width = Math.round(naturalWidth / 2); // as on a screen of twice the density
  const entry = performance.getEntriesByName(image.src).pop();
  const kind = entry?.contentType?.replace("image/", "").replace("+xml", "").toUpperCase();
  const facts = [`${naturalWidth} × ${naturalHeight}`, entry?.encodedBodySize ? size(entry.encodedBodySize) : "", kind];
  figure.querySelector(".facts").textContent = facts.filter(Boolean).join(" · ");
}

for (const figure of document.querySelectorAll(".demo")) {
  const [image, input, code] = ["img", "input", "code"].map((name) => figure.querySelector(name));
  const failed = () => { figure.dataset.failed = ""; };
  let waiting = 0;
  input.parentElement.hidden = false;
  input.addEventListener("input", () => {
    const url = figure.dataset.source.replace(/\*(?=$|&)/, input.value);
    code.textContent = url;
    figure.querySelector(".value").textContent = input.value;
    clearTimeout(waiting);
    waiting = setTimeout(async () => {
      const next = Object.assign(new Image(), {src: url, alt: image.alt});
      try {
        await next.decode();
      } catch {
        if (code.textContent === url) failed();
        return;
      }
      if (code.textContent !== url) return; // a later one is on its way
      delete figure.dataset.failed;
      figure.querySelector("img").replaceWith(next);
      describe(figure, next);
    }, 120);
  });
  if (image.complete && image.naturalWidth) describe(figure, image);
  else if (image.complete) failed();
  image.addEventListener("load", () => describe(figure, image));
  image.addEventListener("error", failed);
}

// Browsers offer the clipboard on https:// and on the machine itself.
for (const button of document.querySelectorAll("button")) {
  button.hidden = !navigator.clipboard;
  button.addEventListener("click", async () => {
    const text = button.parentElement.querySelector("code").textContent;
    await navigator.clipboard.writeText(text.startsWith("/") ? location.origin + text : text);
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
}
