// The grid of images: placeholders, selection, and what can be done with the selected images.
import {all, call, confirmed, find, load, showError, toast} from "./admin.js";
import {thumbHashToDataURL} from "../vendor/thumbhash.js";

const FILTERS = {prefix: "", q: "", origin: "", tag: [], format: [], min_bytes: 0, max_bytes: 0, min_width: 0, max_width: 0, min_height: 0, max_height: 0, created_from: "", created_before: "", changed_from: "", changed_before: ""};
const AT_ONCE = 4;
const number = (value) => value.toLocaleString("en").replaceAll(",", "\u202f");
const images = (count) => `${number(count)} ${count === 1 ? "image" : "images"}`;

// Returns an image id percent-encoded; bytes that are not UTF-8 are lone surrogates.
export const quoted = (id) => id.replace(/[^/]/gu, (one) => (/[\udc80-\udcff]/u.test(one) ? `%${(one.charCodeAt(0) - 0xdc00).toString(16)}` : encodeURIComponent(one)));
export const folderOf = (id) => id.slice(0, id.lastIndexOf("/") + 1);

// Draws the placeholder of a picture until it is loaded.
function decorate(frame) {
  const picture = find("img", frame);
  const {hash} = frame.dataset;
  delete frame.dataset.hash;
  const failed = () => frame.classList.add("broken");
  if (picture.complete && picture.naturalWidth) return;
  if (picture.complete && picture.currentSrc) failed();
  picture.addEventListener("error", failed, {once: true});
  if (!hash) return;
  const bytes = Uint8Array.from(atob(hash), (one) => one.charCodeAt(0));
  frame.style.backgroundImage = `url(${thumbHashToDataURL(bytes)})`;
  const done = () => { frame.style.backgroundImage = ""; };
  picture.addEventListener("load", done, {once: true});
}

// Filters of the page as the API has them in JSON, and as a query.
function filters() {
  const found = {};
  for (const [name, value] of new URLSearchParams(location.search)) {
    if (!(name in FILTERS) || value === "") continue;
    if (Array.isArray(FILTERS[name])) (found[name] ??= []).push(value);
    else found[name] = typeof FILTERS[name] === "number" ? Number(value) : value;
  }
  return Object.keys(found).length ? found : {prefix: ""};
}
const filterQuery = () => new URLSearchParams([...new URLSearchParams(location.search)].filter(([name, value]) => name in FILTERS && value));

// Does work for items, some at once; returns the results in order, errors among them.
export async function each(items, work, progress = () => {}) {
  const results = [];
  let next = 0;
  let done = 0;
  async function run() {
    while (next < items.length) {
      const index = next++;
      results[index] = await work(items[index]).catch((error) => error);
      progress(++done, items.length);
    }
  }
  await Promise.all(Array.from({length: AT_ONCE}, run));
  return results;
}

// Loads the images again; filters, dialogs and what is written in them stay.
export const reload = () => load("#found").catch(showError);

export async function restore(items) {
  const results = await each(items, (item) => call("POST", `/api/trash/${encodeURIComponent(item)}/restore`));
  const failed = results.filter((one) => one instanceof Error);
  await reload();
  toast(failed.length ? `${images(failed.length)} could not be restored: ${failed[0].message}` : `Restored ${images(results.length)}`, {bad: failed.length > 0});
}

// Tells what was deleted, and offers to restore it.
export function deleted(list) {
  const items = list.map((one) => one.trash_item).filter(Boolean);
  const text = `Deleted ${images(list.length)}`;
  if (items.length) toast(text, {action: () => restore(items)});
  else toast(text);
}

let chosen = new Set(); // ids
let everything = false; // whether all images of the filter are selected, also those not loaded yet
let total = null; // images of the filter, once they are counted
let counts = 0; // those that were begun
let last = null;

const cards = () => all(".picture");
const idOf = (card) => JSON.parse(card.dataset.id);

function show() {
  const bar = find("#chosen");
  if (!bar) return;
  const count = everything ? total : chosen.size;
  bar.hidden = !count;
  document.body.classList.toggle("choosing", Boolean(count));
  find("b", bar).textContent = `${number(count ?? 0)} selected`;
  for (const card of cards()) {
    const box = find(".pick", card);
    if (everything) box.checked = true;
    card.classList.toggle("picked", box.checked);
  }
}

function clear() {
  [chosen, everything, last] = [new Set(), false, null];
  for (const box of all(".pick:checked")) box.checked = false;
  show();
}

// Counts the images of the filter; one that was set meanwhile is counted by itself.
async function count() {
  const place = find("#totals");
  if (!place) return;
  const mine = (counts += 1);
  total = null;
  try {
    const totals = await call("GET", `/api/totals?${filterQuery()}`);
    if (mine !== counts) return;
    total = totals.images;
    const units = ["bytes", "kB", "MB", "GB", "TB"];
    let [size, unit] = [totals.bytes, 0];
    while (size >= 999.5 && unit < units.length - 1) [size, unit] = [size / 1000, unit + 1];
    place.textContent = `${images(total)}, ${Number(size.toPrecision(3))} ${units[unit]}`;
    if (everything) show();
  } catch (error) {
    if (mine === counts) place.textContent = error.message;
  }
}

document.addEventListener("click", (event) => {
  const box = event.target.closest(".pick");
  if (box) {
    const list = cards();
    const card = box.closest(".picture");
    if (everything && !box.checked) chosen = new Set(list.map(idOf));
    everything = false;
    const [from, to] = event.shiftKey && last?.isConnected ? [list.indexOf(last), list.indexOf(card)].sort((a, b) => a - b) : [list.indexOf(card), list.indexOf(card)];
    for (const one of list.slice(from, to + 1)) {
      find(".pick", one).checked = box.checked;
      chosen[box.checked ? "add" : "delete"](idOf(one));
    }
    last = card;
    show();
  }
  const pick = event.target.closest("[data-pick]");
  if (pick) find(pick.dataset.pick).click();
  const select = event.target.closest("[data-select]")?.dataset.select;
  if (select === "none") clear();
  if (select === "all") {
    everything = true;
    show();
    if (total === null) count();
  }
  const act = event.target.closest("button[data-act]")?.dataset.act;
  if (act) run(act);
  const more = event.target.closest(".more a");
  if (more) pending = more.closest(".more").previousElementSibling;
});
let pending = null; // the card before those that a person asked for

document.addEventListener("submit", (event) => {
  const act = event.target.dataset.act;
  if (!act) return;
  event.preventDefault();
  event.target.closest("dialog").close();
  run(act, event.target);
});

const lines = (form, name) => form.elements[name].value.split("\n").map((one) => one.trim()).filter(Boolean);
const selection = () => (everything ? {query: filters()} : {ids: [...chosen]});

function report(done, of) {
  const bar = find("#chosen progress");
  if (!bar) return;
  bar.hidden = done >= of;
  [bar.max, bar.value] = [of, done];
}

// Returns the ids of the selection, which the API lists page by page.
async function selected() {
  if (!everything) return [...chosen];
  const ids = [];
  const query = filterQuery();
  query.set("sort", "id");
  query.set("limit", "1000");
  for (let cursor = ""; cursor !== null;) {
    if (cursor) query.set("cursor", cursor);
    const page = await call("GET", `/api/images?${query}`);
    ids.push(...page.images.map((one) => one.id));
    cursor = page.next;
  }
  return ids;
}

const ACTS = {
  async tag(form) {
    const {changed} = await call("POST", "/api/bulk/tag", {...selection(), add: lines(form, "add"), remove: lines(form, "remove")});
    toast(`Changed the tags of ${images(changed)}`);
    form.reset();
  },
  async move(form) {
    const place = form.elements.folder.value.trim().replace(/^\/+|\/+$/g, "");
    const folder = place ? `${place}/` : "";
    const results = await each(await selected(), (id) => call("POST", `/api/move/${quoted(id)}`, {to: folder + id.slice(folderOf(id).length)}), report);
    const failed = results.filter((one) => one instanceof Error);
    const moved = results.length - failed.length;
    clear();
    await reload();
    if (moved) toast(`Moved ${images(moved)} to ${folder || "the top folder"}`);
    if (failed.length) toast(`${images(failed.length)} could not be moved: ${failed[0].message}`, {bad: true});
  },
  async purge() {
    const [count, asked] = [everything ? total : chosen.size, selection()];
    if (!(await confirmed(`Purge ${images(count)}?`, "Their renditions are removed everywhere and rendered again when they are requested.", "Purge"))) return;
    const purged = await call("POST", "/api/bulk/purge", asked);
    toast(`Purged ${number(purged.renditions)} renditions of ${images(purged.images)}`);
  },
  async delete() {
    const [count, asked] = [everything ? total : chosen.size, selection()];
    if (!(await confirmed(`Delete ${images(count)}?`, find("#chosen").dataset.delete, "Delete"))) return;
    const list = (await call("POST", "/api/bulk/delete", asked)).deleted;
    clear();
    await reload();
    deleted(list);
    if (list.length < count) toast(`${images(count - list.length)} in read-only folders stayed`, {bad: true});
  },
  async warm(form) {
    const presets = all("[name=presets]:checked", form).map((one) => one.value);
    const body = {...selection(), presets, transforms: lines(form, "transforms")};
    const response = await fetch(`${document.body.dataset.root}/api/warm`, {method: "POST", headers: {"X-CSRF-Token": document.body.dataset.token, "Content-Type": "application/json"}, body: JSON.stringify(body)});
    if (!response.ok) throw new Error((await response.json()).detail);
    let rest = "";
    let state = null;
    for await (const text of response.body.pipeThrough(new TextDecoderStream())) {
      const parts = (rest + text).split("\n");
      rest = parts.pop();
      for (const line of parts.filter(Boolean)) state = JSON.parse(line);
      if (state) report(state.done, state.total);
    }
    if (!state?.finished) throw new Error("The connection ended before all was rendered; the same again continues.");
    toast(`Rendered ${number(state.made)} pictures${state.failed ? `, ${number(state.failed)} failed` : ""}`, {bad: state.failed > 0});
  },
};

async function run(act, form) {
  const bar = find("#chosen");
  bar.setAttribute("aria-busy", "true");
  try {
    await ACTS[act](form);
  } catch (error) {
    toast(error.message, {bad: true});
  } finally {
    bar.removeAttribute("aria-busy");
    report(1, 1);
  }
}

// The names of tags are loaded when somebody is about to use them.
document.addEventListener("focusin", async (event) => {
  const list = find("#tags");
  if (event.target.getAttribute("list") !== "tags" || list.childElementCount) return;
  const {tags} = await call("GET", "/api/tags");
  list.replaceChildren(...tags.map((one) => Object.assign(document.createElement("option"), {value: one.tag})));
});

// What htmx has loaded: more cards, or other images.
let shown = find("#found");
const query = () => filterQuery().toString();
let counted = query();
function arrived() {
  all("[data-hash]").forEach(decorate);
  const found = find("#found");
  if (found !== shown) {
    shown = found;
    if (query() !== counted) clear();
    counted = query();
    count();
  }
  if (everything || chosen.size) {
    for (const card of cards()) find(".pick", card).checked = everything || chosen.has(idOf(card));
    show();
  }
  if (pending?.nextElementSibling?.matches(".picture")) {
    find("a", pending.nextElementSibling).focus();
    pending = null;
  }
}
if (shown) {
  // Texts change too, by this script.
  const elements = (records) => records.some((one) => [...one.addedNodes].some((node) => node.nodeType === Node.ELEMENT_NODE));
  new MutationObserver((records) => { if (elements(records)) arrived(); }).observe(document.body, {childList: true, subtree: true});
  arrived();
  count();
}
const handed = sessionStorage.getItem("deleted");
if (handed && shown) {
  sessionStorage.removeItem("deleted");
  deleted(JSON.parse(handed));
}
