// Live examples: the picture, or the text, follows the query next to it.
const size = (bytes) => (bytes < 1000 ? `${bytes} bytes` : `${(bytes / 1000).toPrecision(3)} kB`);

async function show(article, query) {
  const [frame, facts] = [".frame", ".facts"].map((name) => article.querySelector(name));
  const response = await fetch(`/docs/parameters/${encodeURI(article.dataset.picture)}?${query}`, {
    headers: {Accept: "image/avif,image/webp,image/*,*/*;q=0.8"},
  });
  const type = response.headers.get("content-type") ?? "";
  if (!response.ok) {
    const problem = type.includes("json") ? await response.json() : {};
    throw new Error((problem.mistakes ?? [problem.detail ?? `HTTP ${response.status}`]).join(" "));
  }
  const body = await response.blob();
  const shown = [size(body.size), type.split(";")[0].replace("image/", "").toUpperCase()];
  let element;
  if (type.startsWith("image/")) {
    element = Object.assign(new Image(), {src: URL.createObjectURL(body), alt: frame.querySelector("img")?.alt ?? "The example"});
    await element.decode();
    shown.unshift(`${element.naturalWidth} × ${element.naturalHeight}`);
  } else {
    element = Object.assign(document.createElement("pre"), {textContent: await body.text(), tabIndex: 0});
  }
  const adjusted = response.headers.get("x-image-adjusted");
  return () => {
    frame.replaceChildren(element);
    facts.textContent = [...shown, ...(adjusted ? [adjusted] : [])].join(" · ");
    facts.classList.remove("mistake");
  };
}

for (const article of document.querySelectorAll("article")) {
  const input = article.querySelector("input");
  let waiting = 0;
  input.addEventListener("input", () => {
    clearTimeout(waiting);
    const query = input.value;
    waiting = setTimeout(async () => {
      try {
        const apply = await show(article, query);
        if (input.value === query) apply(); // else a later one is on its way
      } catch (error) {
        if (input.value !== query) return;
        const facts = article.querySelector(".facts");
        facts.textContent = error.message;
        facts.classList.add("mistake");
      }
    }, 200);
  });
}
