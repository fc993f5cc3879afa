// Uploads of dropped, chosen and pasted files, and of pictures at URLs: a few at once, each with its progress.
import {all, find, toast} from "./admin.js";
import {folderOf, quoted, reload} from "./images.js";

const AT_ONCE = 3;
const {root, token} = document.body.dataset;
const mayUpload = () => find("#files") !== null;
const prefix = () => folderOf(new URLSearchParams(location.search).get("prefix") ?? "");
const waiting = [];
let running = 0;
let stored = 0;

function panel() {
  let place = find("#uploads");
  if (!place) {
    place = document.createElement("section");
    place.id = "uploads";
    place.setAttribute("aria-label", "Uploads");
    place.innerHTML = "<header><b role=status></b><button type=button class='outline small'>Close</button></header><ul></ul>";
    find("button", place).addEventListener("click", () => { for (const one of all("li", place)) if (one.dataset.state !== "busy") one.remove(); summary(); });
    document.body.append(place);
  }
  return place;
}

function summary() {
  const place = panel();
  const states = all("li", place).map((one) => one.dataset.state);
  const number = (state) => states.filter((one) => one === state).length;
  place.hidden = states.length === 0;
  find("b", place).textContent = number("busy") ? `Uploading, ${number("busy")} to go` : `${number("done")} uploaded${number("failed") ? `, ${number("failed")} failed` : ""}`;
}

// Sends a request with progress, which fetch does not have for uploads.
function send(item) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open(item.method, root + item.path);
    request.setRequestHeader("X-CSRF-Token", token);
    request.setRequestHeader("Content-Type", item.type);
    for (const [name, value] of Object.entries(item.headers ?? {})) request.setRequestHeader(name, value);
    request.upload.addEventListener("progress", (event) => item.progress(event.loaded, event.total));
    request.addEventListener("load", () => {
      let value = {};
      try { value = JSON.parse(request.responseText); } catch { value = {detail: request.statusText}; }
      if (request.status < 300) resolve(value);
      else reject(Object.assign(new Error(value.detail ?? request.statusText), {code: value.code}));
    });
    request.addEventListener("error", () => reject(new Error("The connection failed.")));
    request.send(item.body);
  });
}
export {send};

function button(text, work) {
  const element = Object.assign(document.createElement("button"), {type: "button", className: "outline small", textContent: text});
  element.addEventListener("click", work);
  return element;
}

function add(item) {
  const row = document.createElement("li");
  row.append(Object.assign(document.createElement("span"), {className: "cut", textContent: item.name, title: item.name}), document.createElement("progress"), Object.assign(document.createElement("small"), {textContent: "waiting"}));
  find("progress", row).setAttribute("aria-label", item.name);
  find("ul", panel()).append(row);
  enqueue(item, row);
}

function enqueue(item, row) {
  row.dataset.state = "busy";
  for (const old of all("button, a, small + a ~ small", row)) old.remove();
  find("small", row).textContent = "waiting";
  const bar = find("progress", row);
  bar.hidden = false;
  if (item.type !== "application/json") bar.value = 0; // of a download by the server, there is no progress
  item.progress = (loaded, total) => {
    [bar.max, bar.value] = [total, loaded];
    find("small", row).textContent = loaded < total ? `${Math.floor((100 * loaded) / total)} %` : "being checked";
    if (loaded >= total) bar.removeAttribute("value");
  };
  waiting.push([item, row]);
  summary();
  next();
}

async function next() {
  if (running >= AT_ONCE || !waiting.length) return;
  running += 1;
  const [item, row] = waiting.shift();
  const note = find("small", row);
  note.textContent = "uploading";
  try {
    const value = await send(item);
    row.dataset.state = "done";
    note.textContent = {created: "uploaded as ", replaced: "replaced ", existing: "already there as "}[value.outcome];
    note.after(Object.assign(document.createElement("a"), {href: `${root}/admin/images/${quoted(value.image.id)}`, textContent: value.image.id}));
    const [alike] = value.outcome === "existing" ? [] : value.similar;
    if (alike) row.append(Object.assign(document.createElement("small"), {textContent: `; it ${alike.distance ? "looks like" : "looks the same as"} ${alike.id}`}));
    stored += value.outcome !== "existing";
  } catch (error) {
    row.dataset.state = "failed";
    note.textContent = error.message;
    row.append(button("Retry", () => enqueue(item, row)));
    if (error.code === "image_exists" && item.id) row.append(button("Replace", () => enqueue({...item, method: "PUT", path: `/api/images/${quoted(item.id)}`}, row)));
  }
  find("progress", row).hidden = true;
  running -= 1;
  summary();
  if (waiting.length) next();
  else if (!running && stored) {
    stored = 0;
    reload();
  }
}

// Adds files: {file, name, below}, where below is the folder in a dropped folder.
function upload(files) {
  for (const {file, name, below} of files) {
    const folder = prefix() + below;
    const query = new URLSearchParams({folder, filename: name});
    add({name: below + name, id: folder + name, method: "POST", path: `/api/images?${query}`, type: "application/octet-stream", body: file});
  }
  for (let index = 0; index < AT_ONCE; index += 1) next();
}

const plain = (files) => [...files].map((file) => ({file, name: file.name, below: ""}));

// Returns the files of a dropped file or folder, with those in folders below.
async function entries(entry, below = "") {
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
    return file.name.startsWith(".") ? [] : [{file, name: file.name, below}];
  }
  const reader = entry.createReader();
  const found = [];
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return found;
    for (const one of some) found.push(...(await entries(one, `${below}${entry.name}/`)));
  }
}

const carriesFiles = (event) => mayUpload() && event.dataTransfer?.types.includes("Files");
document.addEventListener("dragover", (event) => {
  if (!carriesFiles(event)) return;
  event.preventDefault();
  document.body.classList.add("dropping");
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) document.body.classList.remove("dropping");
});
document.addEventListener("drop", async (event) => {
  document.body.classList.remove("dropping");
  if (!carriesFiles(event)) return;
  event.preventDefault();
  const given = [...event.dataTransfer.items].map((one) => one.webkitGetAsEntry?.());
  if (given.some((one) => one?.isDirectory)) {
    try {
      upload((await Promise.all(given.filter(Boolean).map((one) => entries(one)))).flat());
    } catch (error) {
      toast(`The folder cannot be read: ${error.message}`, {bad: true});
    }
  } else upload(plain(event.dataTransfer.files));
});
document.addEventListener("change", (event) => {
  if (event.target.id !== "files") return;
  upload(plain(event.target.files));
  event.target.value = "";
});
document.addEventListener("paste", (event) => {
  const files = [...event.clipboardData.files];
  if (!files.length || !mayUpload()) return;
  event.preventDefault();
  const now = new Date().toISOString().slice(0, 19).replaceAll(":", "").replace("T", "-");
  upload(files.map((file, index) => {
    // Browsers call every picture of the clipboard image.png.
    const name = file.name === "image.png" ? `pasted-${now}${index ? `-${index}` : ""}.png` : file.name;
    return {file, name, below: ""};
  }));
});
document.addEventListener("submit", (event) => {
  if (event.target.id !== "urls") return;
  event.preventDefault();
  const form = event.target;
  const urls = form.elements.urls.value.split(/\s+/).filter(Boolean);
  form.closest("dialog").close();
  form.reset();
  const folder = prefix();
  for (const url of urls) add({name: url, method: "POST", path: "/api/images", type: "application/json", body: JSON.stringify({url, folder})});
  for (let index = 0; index < AT_ONCE; index += 1) next();
});
addEventListener("beforeunload", (event) => { if (running) event.preventDefault(); });
