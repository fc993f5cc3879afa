// Fields, URL and picture of the playground, which always show the same.
import {all, find, toast} from "./admin.js";
import {compared} from "./similarity.js";

const place = find("#playground");
const root = document.body.dataset.root;
const ACCEPT = {"Accept": "image/avif,image/webp,image/*,*/*;q=0.8"};
const SECRET = new Set(["signature", "expires", "key"]);
const size = (bytes) => (bytes < 1000 ? `${bytes} bytes` : bytes < 1e6 ? `${(bytes / 1000).toPrecision(3)} kB` : `${(bytes / 1e6).toPrecision(3)} MB`);
const path = (id) => id.split("/").map(encodeURIComponent).join("/");

const rows = new Map(all("[data-name]").map((row) => [row.dataset.name, row]));
const byName = new Map();
for (const [name, row] of rows) {
  for (const alias of [name, ...row.dataset.aliases.split(" ").filter(Boolean)]) byName.set(alias, [...(byName.get(alias) ?? []), row]);
}
const presets = all("[data-preset]").map((button) => button.dataset.preset);
const values = new Map(); // by parameter, in the order of the URL
let image = "";
let loading = new AbortController(); // of the check and the picture
let checked = null; // what the server says about the URL
let shown = null; // the picture
let kept = null; // the version to compare with

// The long name of a parameter; the value decides between two that share a short one.
function longName(name, value) {
  const found = byName.get(name.toLowerCase());
  if (!found) return name;
  return (found.find((row) => row.dataset.words.split(" ").includes(value.toLowerCase())) ?? found[0]).dataset.name;
}

function read(query) {
  values.clear();
  for (const [name, value] of new URLSearchParams(query)) {
    const signature = SECRET.has(name.toLowerCase()) || (name === "s" && /^([0-9a-f]{32}|[0-9a-f]{64})$/i.test(value));
    if (!signature) values.set(longName(name, value), value);
  }
}

const written = (pairs) => [...pairs].map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(value).replace(/%2C/g, ",").replace(/%3A/g, ":")}`).join("&");
const query = (pairs = values) => written(pairs);
const address = () => `${location.origin}${root}${place.dataset.prefix}/${path(image)}${values.size ? `?${query()}` : ""}`;

// Shows the values in everything but the element that was just changed.
function write(source) {
  for (const [name, row] of rows) {
    const value = values.get(name) ?? "";
    const field = find("[data-value]", row);
    if (field !== source) {
      if (field.matches("select") && ![...field.options].some((option) => option.value === value)) field.append(new Option(value, value));
      field.value = value;
    }
    const slider = find("[type=range]", row);
    if (slider && slider !== source) slider.value = value === "" ? slider.defaultValue : value.includes(".") && slider.step === "1" ? slider.max * value : value;
    const color = find("[type=color]", row);
    if (color && /^#?[0-9a-f]{6}$/i.test(value)) color.value = `#${value.replace("#", "")}`;
    for (const button of all("[data-word]", row)) button.setAttribute("aria-pressed", String(value.split(",").includes(button.dataset.word)));
    row.toggleAttribute("data-changed", values.has(name));
  }
  for (const group of all("[data-group]", place)) {
    const count = all("[data-changed]", group).length;
    Object.assign(find("[data-count]", group), {hidden: !count, textContent: `${count} changed`});
  }
  for (const button of all("[data-preset]")) button.setAttribute("aria-pressed", String((values.get("preset") ?? "").toLowerCase() === button.dataset.preset.toLowerCase()));
  if (source?.id !== "url") find("#url").value = address();
  if (source?.id !== "image") find("#image").value = image;
  const chips = [...values].map(([name, value]) => chip(name, `${name}=${value}`));
  find("#chips").replaceChildren(...chips, ...(chips.length ? [chip("", "Reset")] : []));
  history.replaceState(null, "", `?${written([["image", image], ...values])}`);
}

function chip(name, text) {
  const button = Object.assign(document.createElement("button"), {type: "button", className: name ? "chip" : "outline small", textContent: text});
  button.dataset.remove = name;
  if (name) {
    button.append(Object.assign(document.createElement("span"), {textContent: " ×", ariaHidden: "true"}));
    button.setAttribute("aria-label", `Remove ${text}`);
  }
  return button;
}

let waiting = 0;
function changed(source, pause = 250) {
  loading.abort();
  write(source);
  clearTimeout(waiting);
  waiting = setTimeout(load, pause);
}

function set(name, value, source) {
  if (value === "") values.delete(name);
  else values.set(name, value);
  changed(source);
}

// The check of the URL, then the picture; a newer change ends an older one.
async function load() {
  loading.abort();
  loading = new AbortController();
  const {signal} = loading;
  const figure = find("#preview");
  figure.setAttribute("aria-busy", "true");
  try {
    const answer = await fetch(`${root}/api/url/${path(image)}?${query()}${ends()}`, {signal, headers: ACCEPT});
    if (answer.status === 401) return location.reload(); // the session has ended
    const found = await answer.json();
    if (!answer.ok) throw new Error(answer.status === 404 ? `There is no image “${image}”.` : found.detail);
    checked = found;
    showCheck(found);
    if (!found.mistakes.length) await showPicture(await picture(found, query(), signal), signal);
  } catch (error) {
    if (error.name === "AbortError") return undefined;
    say(error.message, true);
  }
  if (!signal.aborted) figure.setAttribute("aria-busy", "false");
  return undefined;
}

function ends() {
  const seconds = find("#expires").value;
  return seconds ? `&expires=${Math.round(Date.now() / 1000 + Number(seconds))}` : "";
}

function say(text, bad = false) {
  const notice = find("#verdict");
  notice.className = bad ? "notice bad" : "notice";
  notice.textContent = text;
}

function showCheck(found) {
  const rest = [];
  for (const row of rows.values()) mistake(row, "");
  for (const sentence of found.mistakes) {
    const row = byName.get(sentence.split(":")[0])?.[0];
    if (row) mistake(row, sentence.slice(sentence.indexOf(":") + 2));
    else rest.push(sentence);
  }
  find("#mistakes").replaceChildren(...rest.map((text) => Object.assign(document.createElement("li"), {textContent: text})));
  const {rejection, signing, signed, domains} = found;
  const number = found.mistakes.length;
  if (number) say(`The server rejects this URL: ${number === 1 ? "a parameter is" : `${number} parameters are`} not valid. The picture is the last valid one.`, true);
  else if (rejection) say(`Not public: ${rejection.detail.replace(/\.?$/, ".")} ${signed ? "A signed URL opens it; the code below has signed URLs." : signing ? "A signed URL opens it; people with the scope manage can copy one here." : ""} You see it because you are signed in.`);
  else say(domains ? "Everybody may see this picture, but only pages of some domains may show it." : "Everybody may see this picture.");
  showCode();
}

function mistake(row, text) {
  find(".mistake", row).textContent = text && `Mistake: ${text}`;
  const field = find("[data-value]", row);
  if (text) {
    field.setAttribute("aria-invalid", "true");
    row.closest("details").open = true;
  } else field.removeAttribute("aria-invalid");
}

// A picture as everybody receives it, or if its URL is rejected, as the API returns it.
async function picture(found, wanted, signal) {
  const open = found && !found.rejection;
  const url = open ? new URL(found.url).pathname + new URL(found.url).search : `${root}/api/preview/${path(image)}?${wanted}`;
  const started = performance.now();
  const response = await fetch(url, {signal, headers: ACCEPT, cache: "no-store"});
  if (!response.ok) throw new Error((await response.json().catch(() => ({}))).detail ?? response.statusText);
  const blob = await response.blob();
  return {blob, headers: response.headers, seconds: performance.now() - started};
}

async function showPicture(found, signal) {
  const url = URL.createObjectURL(found.blob);
  const loaded = Object.assign(new Image(), {src: url});
  const facts = {bytes: size(found.blob.size), format: found.headers.get("content-type").replace("image/", "").toUpperCase()};
  try {
    await loaded.decode();
  } catch {
    if (!signal.aborted) say(`This browser cannot show ${facts.format}. The picture is the last one that it could show.`);
    return URL.revokeObjectURL(url);
  }
  if (signal.aborted) return URL.revokeObjectURL(url);
  const old = shown;
  shown = {...found, url, query: query(), width: loaded.naturalWidth, height: loaded.naturalHeight};
  kept ??= shown;
  find("#current").src = url;
  if (old && old !== kept) URL.revokeObjectURL(old.url);
  const timing = (found.headers.get("server-timing") ?? "").split(",").map((one) => one.trim().match(/^([\w-]+);dur=([\d.]+)/)).filter(Boolean);
  const status = found.headers.get("cache-status") ?? "";
  Object.assign(facts, {
    pixels: `${shown.width} × ${shown.height}`,
    time: `${found.seconds.toFixed(0)} ms${timing.length ? ` (${timing.map(([, name, ms]) => `${name} ${Number(ms).toFixed(0)}`).join(", ")})` : ""}`,
    cache: /hit/.test(status) ? `hit, ${/detail="?([\w-]+)/.exec(status)?.[1] ?? "stored"}` : status ? "rendered" : "not reported",
  });
  for (const [name, text] of Object.entries(facts)) find(`[data-fact=${name}]`).textContent = text;
  const adjusted = found.headers.get("x-image-adjusted");
  find("#adjusted").textContent = adjusted ? `The server adjusted: ${adjusted}` : "";
  find("#grid").hidden = true;
  return compare(signal);
}

// The query of the same picture with other parameters, in its size even if no parameter decides it.
function variant(more, keep = () => true) {
  const pairs = new Map([...values].filter(([name]) => name === "preset" || keep(name)));
  for (const [name, value] of Object.entries(more)) pairs.set(name, value);
  if (!["width", "height", "preset", "rect"].some((name) => values.has(name))) pairs.set("width", String(shown.width));
  return query(pairs);
}

// Lays the version to compare with over the picture.
let beforeUrl = "";
async function compare(signal = loading.signal) {
  const against = find("#against").value;
  const before = find("#before");
  const shaping = (name) => rows.get(name)?.closest("[data-shape]");
  let url = "";
  if (against === "first" && kept) url = kept.url;
  else if (against === "plain" && shown) {
    const found = await picture(null, variant({format: "png", animate: "0"}, shaping), signal);
    if (find("#against").value !== against) return;
    URL.revokeObjectURL(beforeUrl);
    url = beforeUrl = URL.createObjectURL(found.blob);
  }
  if (url) before.src = url;
  before.hidden = find("#split").hidden = !url;
  find("#preview").classList.toggle("split", Boolean(url));
}

function showCode() {
  const tab = find("[role=tab][aria-selected=true]").dataset.tab;
  const code = checked?.url ? {...checked.code, url: checked.url, signed: checked.signed} : {};
  const missing = checked?.mistakes.length ? "The URL has mistakes." : checked?.signing ? "Only people with the scope manage may sign." : "No secret is set: signing.secrets in the settings enables signed URLs.";
  find("#code").textContent = code[tab] ?? missing;
  find("#copy").disabled = !code[tab];
  find("#expiry").hidden = !checked?.signed || (tab !== "signed" && !checked.rejection);
}

function select(tab) {
  for (const one of all("[role=tab]")) {
    one.setAttribute("aria-selected", String(one === tab));
    one.tabIndex = one === tab ? 0 : -1;
  }
  find("#code").setAttribute("aria-labelledby", tab.id);
  showCode();
}

// Twelve renditions with bytes and similarity.
async function measure() {
  const button = find("#measure");
  button.setAttribute("aria-busy", "true");
  const {signal} = loading;
  try {
    const encoding = (name) => rows.get(name)?.closest("[data-group]").dataset.group !== "Format" && name !== "download";
    const fetched = async (more) => (await picture(null, variant({animate: "0", ...more}, encoding), signal)).blob;
    await compared(find("#grid"), fetched, size);
  } catch (error) {
    if (error.name !== "AbortError") toast(error.message, {bad: true});
  }
  button.removeAttribute("aria-busy");
}

let asking = 0;
function suggest(text) {
  clearTimeout(asking);
  const mine = asking = setTimeout(async () => {
    const answer = await fetch(`${root}/api/images?limit=12&${text ? `q=${encodeURIComponent(text)}` : "sort=created"}`);
    if (!answer.ok) return;
    const {images} = await answer.json();
    if (mine !== asking) return;
    find("#images").replaceChildren(...images.map((one) => Object.assign(new Option(one.title || one.id, one.id), {})));
  }, 150);
}

function choose(id) {
  if (!id || id === image) return;
  image = id;
  kept = null;
  changed(find("#image"), 0);
}

place?.addEventListener("input", ({target}) => {
  const name = target.closest("[data-name]")?.dataset.name;
  if (target.id === "image") {
    suggest(target.value);
    if ([...find("#images").options].some((option) => option.value === target.value)) choose(target.value);
  } else if (target.id === "url") {
    const [start, ...rest] = target.value.trim().split("?");
    const at = start.indexOf(`${place.dataset.prefix}/`);
    let id = at < 0 ? image : decodeURIComponent(start.slice(at + place.dataset.prefix.length + 1));
    read(rest.join("?"));
    const preset = id.split("/").pop();
    if (id.includes("/") && presets.some((one) => one.toLowerCase() === preset.toLowerCase())) {
      id = id.slice(0, -preset.length - 1);
      values.set("preset", preset);
    }
    image = id;
    changed(target);
  } else if (target.id === "split") find("#preview").style.setProperty("--split", `${target.value}%`);
  else if (target.id === "against") compare().catch((error) => { if (error.name !== "AbortError") toast(error.message, {bad: true}); });
  else if (target.id === "expires") load();
  else if (name) set(name, target.type === "color" ? target.value.slice(1) : target.value.trim(), target);
});
place?.addEventListener("change", ({target}) => { if (target.id === "image") choose(target.value.trim()); });
place?.addEventListener("click", ({target}) => {
  const button = target.closest("button");
  if (!button) return;
  const {word, preset, remove, tab, use} = button.dataset;
  if (word !== undefined) {
    const {name} = button.closest("[data-name]").dataset;
    const words = (values.get(name) ?? "").split(",").filter(Boolean);
    set(name, (words.includes(word) ? words.filter((one) => one !== word) : [...words, word]).join(","));
  } else if (preset !== undefined) set("preset", button.getAttribute("aria-pressed") === "true" ? "" : preset);
  else if (remove === "") { values.clear(); changed(); find("#url").focus(); } // the button is gone
  else if (remove !== undefined) { set(remove, ""); find("#chips button, #url")?.focus(); }
  else if (tab) select(button);
  else if (use) { const [format, quality] = use.split(" "); values.delete("auto"); values.set("format", format); set("quality", quality); }
  else if (button.id === "measure") measure();
  else if (button.id === "keep" && shown) {
    kept = shown;
    find("#against").value = "first";
    compare();
    toast("Kept: further changes are compared with it");
  }
});
find("[role=tablist]")?.addEventListener("keydown", (event) => {
  const tabs = all("[role=tab]");
  const step = {ArrowRight: 1, ArrowLeft: -1, Home: -tabs.indexOf(event.target), End: -1 - tabs.indexOf(event.target)}[event.key];
  if (step === undefined) return;
  event.preventDefault();
  const next = tabs[(tabs.indexOf(event.target) + step + tabs.length) % tabs.length];
  select(next);
  next.focus();
});

if (place) {
  const state = new URLSearchParams(location.search);
  image = state.get("image") || place.dataset.first;
  state.delete("image");
  read(state);
  for (const name of values.keys()) rows.get(name)?.closest("details").setAttribute("open", "");
  suggest("");
  changed(null, 0);
}
