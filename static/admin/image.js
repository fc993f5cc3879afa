// One image: its focal point with crops, texts, file, name, and renditions.
import {all, call, confirmed, find, load, refresh, showError, toast} from "./admin.js";
import {folderOf, quoted} from "./images.js";
import {send} from "./upload.js";

const STEP = 0.01;
const image = () => find("#image").dataset;
const idOf = () => JSON.parse(image().id);
let point = null; // as it is shown
let saved = null;

const clamp = (value) => Math.min(1, Math.max(0, value));
const percent = (value) => `${Math.round(100 * value)} %`;

// Shows the point, and the crops that the server would make around it.
function draw() {
  const stage = find("#stage");
  const at = point ?? {x: 0.5, y: 0.5};
  const mark = find(".point", stage);
  mark.hidden = point === null;
  mark.style.left = `${100 * at.x}%`;
  mark.style.top = `${100 * at.y}%`;
  find("#point").textContent = point ? `${percent(point.x)} from the left, ${percent(point.y)} from the top: crops keep this point.` : find("#save-point") ? "None is set: crops keep the middle. Click on the picture, or focus it and use the arrow keys." : "None is set: crops keep the middle.";
  for (const crop of all(".crop")) {
    const [across, down] = crop.dataset.ratio.split(":").map(Number);
    const picture = find("img", crop);
    const ratio = Number(image().width) / Number(image().height) || 1;
    // The visible part of the picture, as fractions of it: as large as possible, around the point, within the edges.
    const width = Math.min(1, across / down / ratio);
    const height = Math.min(1, ratio / (across / down));
    const place = (center, part) => (part < 1 ? clamp((center - part / 2) / (1 - part)) : 0.5);
    picture.style.objectPosition = `${100 * place(at.x, width)}% ${100 * place(at.y, height)}%`;
  }
  const button = find("#save-point");
  if (button) button.disabled = point === null || (saved !== null && point.x === saved.x && point.y === saved.y);
}

function move(x, y) {
  point = {x: Number(clamp(x).toFixed(4)), y: Number(clamp(y).toFixed(4))};
  draw();
}

// Metadata as rows: a name, whether the value is text or JSON, and the value.
function addPair(name = "", value = "") {
  const row = document.createElement("div");
  row.className = "pair";
  const text = typeof value === "string";
  row.innerHTML = "<input aria-label=Name placeholder=name><select aria-label=Type><option value=text>text</option><option value=json>JSON</option></select><textarea rows=1 aria-label=Value placeholder=value></textarea><button type=button class='outline small' aria-label='Remove the entry'>Remove</button>";
  find("input", row).value = name;
  find("select", row).value = text ? "text" : "json";
  find("textarea", row).value = text ? value : JSON.stringify(value, null, 2);
  find("textarea", row).rows = text ? 1 : Math.min(8, JSON.stringify(value, null, 2).split("\n").length);
  find("button", row).addEventListener("click", () => row.remove());
  find(".pairs").append(row);
  return row;
}

function showPairs(values) {
  find("#metadata").dataset.metadata = JSON.stringify(values);
  find(".pairs").replaceChildren();
  for (const name of Object.keys(values).sort()) addPair(name, values[name]);
}

function metadata() {
  const pairs = all(".pair").map((row) => {
    const [name, type, text] = [find("input", row).value.trim(), find("select", row).value, find("textarea", row).value];
    if (!name) throw new Error("An entry of the metadata has no name.");
    try {
      return [name, type === "text" ? text : JSON.parse(text)];
    } catch (error) {
      throw new Error(`The value of ${name} is not JSON: ${error.message}`);
    }
  });
  const names = pairs.map(([name]) => name);
  const twice = names.find((name, index) => names.indexOf(name) < index);
  if (twice !== undefined) throw new Error(`The metadata has the name ${twice} more than once.`);
  return Object.fromEntries(pairs);
}

const plain = (value) => value !== null && typeof value === "object" && !Array.isArray(value);

// Returns the JSON Merge Patch (RFC 7396) from one object to another.
function patch(before, after) {
  const changes = [];
  for (const name of Object.keys(before)) if (!Object.hasOwn(after, name)) changes.push([name, null]);
  for (const [name, value] of Object.entries(after)) {
    const old = Object.hasOwn(before, name) ? before[name] : undefined;
    if (JSON.stringify(old) === JSON.stringify(value)) continue;
    changes.push([name, plain(old) && plain(value) ? patch(old, value) : value]);
  }
  return Object.fromEntries(changes);
}

function showPoint() {
  const {x, y} = find("#point").dataset;
  saved = x ? {x: Number(x), y: Number(y)} : null;
  point = saved;
  draw();
}

function show() {
  showPoint();
  const fields = find("#metadata");
  if (!fields) return;
  showPairs(JSON.parse(fields.dataset.metadata));
}

const part = (selector) => find(selector) && load(selector);

// Sends a change of the record as it was shown; whoever has changed it meanwhile loses nothing.
async function change(method, path, body) {
  try {
    const value = await call(method, path, body, {"If-Match": image().etag});
    if (value.etag) find("#image").dataset.etag = value.etag;
    return value;
  } catch (error) {
    if (error.problem?.code !== "precondition_failed") throw error;
    toast("Somebody has changed this image meanwhile. Nothing of yours was saved.", {bad: true, action: refresh, label: "Show their changes"});
    return null;
  }
}

const patchRecord = (body) => change("PATCH", image().record, body);

async function savePoint(value, before) {
  if (!(await patchRecord({focal_point: value}))) return;
  if (point === before) point = value; // else it was moved meanwhile
  saved = value;
  find("#clear-point").disabled = value === null;
  draw();
  toast(value ? "Saved the focal point; crops follow it at once" : "Cleared the focal point");
  await part("#renditions");
  await part("#history");
}

async function saveRecord(form) {
  const before = JSON.parse(find("#metadata").dataset.metadata);
  const changes = {};
  const texts = ["title", "alt", "description", "tags"].map((name) => form.elements[name]);
  const written = texts.map((one) => one.value);
  for (const {name, value, defaultValue} of texts) if (value !== defaultValue) changes[name] = name === "tags" ? value.split("\n").map((one) => one.trim()).filter(Boolean) : value;
  const pairs = metadata();
  const entries = patch(before, pairs);
  if (Object.keys(entries).length) changes.metadata = entries;
  if (!Object.keys(changes).length) return toast("There is nothing to save");
  const value = await patchRecord(changes);
  if (!value) return;
  // What was written meanwhile stays.
  for (const [index, one] of texts.entries()) {
    const text = [value[one.name]].flat().join("\n");
    if (one.value === written[index]) one.value = text;
    one.defaultValue = text;
  }
  find("#image").dataset.alt = value.alt;
  find("#metadata").dataset.metadata = JSON.stringify(value.metadata);
  if (JSON.stringify(pairs) === entered()) showPairs(value.metadata);
  toast("Saved");
  await part("#history");
}

// Returns the metadata that is entered, as text; empty while it has a mistake.
function entered() {
  try {
    return JSON.stringify(metadata());
  } catch {
    return "";
  }
}

function changed() {
  const form = find("#record");
  if (!form) return false;
  const text = entered();
  return !text || [...form.elements].some((one) => one.name && one.value !== one.defaultValue) || JSON.stringify(patch(JSON.parse(find("#metadata").dataset.metadata), JSON.parse(text))) !== "{}";
}

async function replace(file) {
  const button = find("[data-pick]");
  button.setAttribute("aria-busy", "true");
  try {
    const query = new URLSearchParams({filename: file.name});
    await send({method: "PUT", path: `${image().record}?${query}`, type: "application/octet-stream", body: file, headers: {"If-Match": image().etag}, progress() {}});
    // The browser would show the pictures that it has stored.
    await Promise.all([...new Set(all("#image img").map((one) => one.src))].map((url) => fetch(url, {cache: "reload"})));
    await load("#content", "outerMorph"); // except texts that are being written
    showPoint();
    for (const picture of all("#stage img, .crop img")) picture.src += "";
    toast("Replaced the file");
  } finally {
    button.removeAttribute("aria-busy");
  }
}

async function remove() {
  if (!(await confirmed("Delete this image?", find("#delete").dataset.detail, "Delete"))) return;
  const value = await change("DELETE", image().record);
  if (!value) return;
  leaving = true;
  sessionStorage.setItem("deleted", JSON.stringify(value.deleted));
  const folder = folderOf(idOf());
  location.assign(`${document.body.dataset.root}/admin/images${folder ? `?prefix=${quoted(folder)}` : ""}`);
}
let leaving = false;

async function rename(form) {
  const to = form.elements.to.value.trim();
  const value = await change("POST", `/api/move/${image().path}`, {to});
  if (!value) return;
  leaving = true;
  location.assign(`${document.body.dataset.root}/admin/images/${quoted(value.id)}`);
}

async function removeRendition(name) {
  await call("DELETE", `/api/renditions/${image().path}?${new URLSearchParams({name})}`);
  await part("#renditions");
  toast("Deleted the rendition");
}

function embed(kind) {
  const {url, alt, width, height} = image();
  const address = location.origin + document.body.dataset.root + url;
  if (kind === "url") return address;
  if (kind === "markdown") return `![${alt.replace(/[\\[\]]/g, "\\$&").replace(/\s+/g, " ")}](${address})`;
  const element = new Image();
  element.alt = alt;
  const attributes = `${Number(width) ? ` width="${width}" height="${height}"` : ""}`;
  return element.outerHTML.replace("<img", `<img src="${address}"${attributes}`);
}

// Does work after what was begun before, of which each change has a new ETag.
let works = Promise.resolve();
function attempt(work, ...given) {
  works = works.then(() => work(...given)).catch(showError);
}

document.addEventListener("click", (event) => {
  const target = event.target;
  const stage = target.closest("#stage[tabindex]");
  if (stage) {
    const box = find("img", stage).getBoundingClientRect();
    move((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
  }
  if (target.id === "save-point") attempt(savePoint, point, point);
  if (target.id === "clear-point") attempt(savePoint, null, point);
  if (target.id === "add-pair") find("input", addPair()).focus();
  if (target.id === "delete") attempt(remove);
  if (target.dataset.rendition) attempt(removeRendition, target.dataset.rendition);
  if (target.dataset.embed) navigator.clipboard.writeText(embed(target.dataset.embed)).then(() => toast("Copied"), (error) => toast(error.message, {bad: true}));
});
document.addEventListener("keydown", (event) => {
  if (event.target.id !== "stage" || !event.target.hasAttribute("tabindex")) return;
  const way = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]}[event.key];
  if (!way) return;
  event.preventDefault();
  const step = event.shiftKey ? 10 * STEP : STEP;
  const at = point ?? {x: 0.5, y: 0.5};
  move(at.x + way[0] * step, at.y + way[1] * step);
});
document.addEventListener("submit", (event) => {
  const work = {record: saveRecord, move: rename}[event.target.id];
  if (!work) return;
  event.preventDefault();
  event.target.closest("dialog")?.close();
  attempt(work, event.target);
});
document.addEventListener("change", (event) => {
  const {target} = event;
  if (target.id !== "replacement" || !target.files.length) return;
  attempt(replace, target.files[0]);
  target.value = "";
});
addEventListener("beforeunload", (event) => { if (!leaving && changed()) event.preventDefault(); });

let shown = null;
const present = () => {
  const found = find("#image");
  if (found === shown || found === null) return;
  shown = found;
  show();
};
new MutationObserver(present).observe(document.body, {childList: true, subtree: true});
present();
