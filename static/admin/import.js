// Imports as they work: the list, the page of one with server-sent events, and deletion.
import {call, find, follow, load, showError, toast} from "./admin.js";

const root = document.body.dataset.root;
const LIST_PAUSE = 3000;
const LEAST_PAUSE = 1500; // between two loads of the products
const SOON = 200;
const number = (value) => value.toLocaleString("en").replaceAll(",", "\u202f");
const page = () => find("#import")?.dataset;
const ended = (state) => !["loading", "running", "paused"].includes(state);
let stream = null;
let last = null; // event
let loading = false;
let loaded = 0;
let lost = false; // whether the last load failed
let timer;

// Replaces what has changed, so that focus, choices and loaded pictures stay.
async function update(target) {
  loading = true;
  try {
    await load(target, "outerMorph");
    lost = false;
  } catch (error) {
    if (!lost) showError(error);
    lost = true;
  } finally {
    [loading, loaded] = [false, Date.now()];
  }
  if (last && page()) draw();
}

function time(seconds) {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${Number((seconds / 3600).toPrecision(2))} h`;
}

function draw() {
  const bar = find("#bar progress");
  [bar.max, bar.value] = [last.images || 1, last.images ? last.done : 1];
  find("#bar .done").textContent = number(last.done);
  for (const [state, count] of Object.entries({stored: 0, failed: 0, queued: 0, fetching: 0, ...last.counts})) {
    const place = find(`[data-count=${state}]`);
    if (place) place.textContent = number(count);
  }
  find("#pace").textContent = last.rate ? `${Number(last.rate.toPrecision(2))} images per second, about ${time(last.remaining)} left` : "";
}

// Loads the products and failures again, soon but not often, and everything if the state is another one.
function later(pause = last.state === page().state ? LEAST_PAUSE - (Date.now() - loaded) : 0) {
  clearTimeout(timer);
  timer = setTimeout(async () => {
    if (loading || document.hidden) return later(SOON);
    await update(page().state === last.state ? "#import" : "#content");
    if (lost) later(LEAST_PAUSE);
  }, pause);
}

function connect() {
  stream?.close();
  if (!page()) return;
  stream = follow(`/api/imports/${page().id}/events`, {
    progress(event) {
      const first = last === null;
      last = JSON.parse(event.data);
      draw();
      if (!first || last.state !== page().state) later();
      if (ended(last.state)) stream.close();
    },
    open() { if (last) draw(); }, // without a change, there is no event
    error() { find("#pace").textContent = "The connection to the server is lost; trying again."; },
  });
}
if (page() && !ended(page().state)) connect();
document.addEventListener("called", connect);

setInterval(() => {
  const place = find("#jobs[data-active], #import[data-waiting]");
  if (place && !loading && !document.hidden && !find("dialog[open]")) update(`#${place.id}`);
}, LIST_PAUSE);

let deleting = null; // the button that asked
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-delete]");
  if (!button) return;
  deleting = button.dataset;
  find("#deleting form").reset();
  find("#deleting").showModal();
});
document.addEventListener("submit", async (event) => {
  if (!event.target.closest("#deleting")) return;
  event.preventDefault();
  const button = find(".danger", event.target);
  button.setAttribute("aria-busy", "true");
  try {
    stream?.close(); // it would end with the import
    const {images} = await call("DELETE", `/api/imports/${deleting.delete}?images=${event.target.elements.images.checked}`);
    find("#deleting").close();
    if (deleting.next) return location.assign(root + deleting.next);
    await update("#jobs");
    toast(images ? `The import and ${number(images)} ${images === 1 ? "image" : "images"} were deleted` : "The import was deleted");
  } catch (error) {
    showError(error);
    if (page() && !ended(page().state)) connect();
  } finally {
    button.removeAttribute("aria-busy");
  }
});
