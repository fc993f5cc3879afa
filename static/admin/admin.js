// What every page does: menu, theme, filters of lists, and calls of the API that elements declare.
//
// <button data-api="DELETE /api/images/a.jpg" data-confirm="Delete a.jpg?" data-done="Deleted">
// <form data-api="POST /api/keys" data-done="Created">   sends its fields as JSON
//
// After a call the page reloads its content, or goes to data-next.

const root = document.body.dataset.root;
const token = document.body.dataset.token;
const LONGEST = 60_000; // milliseconds of a load
const AGAIN = 3000; // milliseconds until a server is asked again

export const find = (selector, within = document) => within.querySelector(selector);
export const all = (selector, within = document) => [...within.querySelectorAll(selector)];

// Calls the API; returns the parsed response, or throws an Error with the sentence for people.
export async function call(method, path, body, headers = {}) {
  const plain = body === undefined || body instanceof Blob || body instanceof FormData;
  const response = await fetch(root + path, {
    method,
    headers: {"X-CSRF-Token": token, ...(plain ? {} : {"Content-Type": "application/json"}), ...headers},
    body: plain ? body : JSON.stringify(body),
  });
  if (response.status === 401) location.reload(); // the session has ended
  const text = await response.text();
  const json = /[/+]json/.test(response.headers.get("content-type") ?? "");
  const value = json && text ? JSON.parse(text) : text;
  if (json && value) Object.defineProperty(value, "etag", {value: response.headers.get("etag")});
  if (!response.ok) throw Object.assign(new Error(value.detail ?? response.statusText), {problem: value});
  return value;
}

// Shows a message for a while; an action is a button in it.
export function toast(text, {bad = false, action, label = "Undo"} = {}) {
  const element = document.createElement("div");
  element.className = bad ? "toast bad" : "toast";
  element.append(Object.assign(document.createElement("span"), {textContent: text}));
  if (action) {
    const button = Object.assign(document.createElement("button"), {className: "outline", textContent: label});
    button.addEventListener("click", () => { element.remove(); action(); });
    element.append(button);
  }
  find("#toasts").append(element);
  setTimeout(() => element.remove(), action ? 12000 : bad ? 9000 : 4000);
}

// Asks before something happens that cannot be undone.
export function confirmed(text, detail = "", label = "Continue") {
  const dialog = find("#confirm");
  find("h2", dialog).textContent = text;
  find("p", dialog).textContent = detail;
  find("[value=yes]", dialog).textContent = label;
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), {once: true});
  });
}

// Returns the content of the page as it is now, without the frame; without a session, the page leads to the login.
async function current() {
  const response = await fetch(location.href, {headers: {"HX-Request": "true"}, signal: AbortSignal.timeout(LONGEST)});
  if (response.headers.has("hx-redirect") || response.status === 403 || response.status === 404) {
    location.reload(); // which shows the reason
    throw new Error("The page is no longer here.");
  }
  if (!response.ok) throw failure(response);
  return response.text();
}

const failure = (response) => new Error(`The page cannot be loaded: ${response.statusText || response.status}.`);

// Loads a part of the page again, as it is after the call. Loads follow one another. A load waits for a dialog in the
// part, and is repeated if meanwhile a dialog was opened or a filter was set.
let loads = Promise.resolve();
export function load(target, swap = "outerHTML") {
  const loaded = loads.then(async () => {
    for (;;) {
      const dialog = find(`${target} dialog[open]`);
      if (dialog) await new Promise((resolve) => { dialog.addEventListener("close", resolve, {once: true}); });
      const {href} = location;
      const text = await current();
      if (href !== location.href || find(`${target} dialog[open]`)) continue;
      return htmx.swap({text, target, select: target, swap, sourceElement: document.body});
    }
  });
  loads = loaded.catch(() => {}); // the caller shows the error
  return loaded;
}
export const showError = (error) => toast(error.message, {bad: true});
export const refresh = () => load("#content").catch(showError);

// What htmx has requested for an element that was replaced meanwhile is for the one in its place.
document.addEventListener("htmx:after:request", ({detail: {ctx}}) => {
  if (!ctx.target.isConnected && ctx.target.id) ctx.target = document.getElementById(ctx.target.id) ?? ctx.target;
});
document.addEventListener("htmx:error", ({detail}) => showError(detail.error));
document.addEventListener("htmx:response:error", ({detail: {ctx}}) => showError(failure(ctx.response.raw)));

// Follows server-sent events. After a response that is none, a browser gives up: a proxy sends such ones while the server
// restarts, and the server after the end of the session.
export function follow(path, listeners) {
  let stream;
  let timer;
  let closed = false;
  function open() {
    if (closed) return;
    stream = new EventSource(root + path);
    for (const [name, listener] of Object.entries(listeners)) stream.addEventListener(name, listener);
    stream.addEventListener("error", () => { if (stream.readyState === EventSource.CLOSED) wait(); });
  }
  function wait() { timer = setTimeout(() => current().then(open, wait), AGAIN); }
  function close() {
    closed = true;
    clearTimeout(timer);
    stream.close();
  }
  addEventListener("pagehide", close);
  open();
  return {close};
}

function fields(form) {
  const values = {};
  for (const element of form.elements) {
    if (!element.name || element.disabled || (element.type === "radio" && !element.checked)) continue;
    if (element.type === "checkbox" && element.value !== "on") {
      values[element.name] ??= [];
      if (element.checked) values[element.name].push(element.value);
    } else if (element.type === "checkbox") values[element.name] = element.checked;
    else if (element.dataset.list !== undefined) values[element.name] = element.value.split(/[\n,]/).map((one) => one.trim()).filter(Boolean);
    else if (element.dataset.endOfDay !== undefined) { if (element.value) values[element.name] = new Date(`${element.value}T23:59:59`).toISOString(); }
    else if (element.value !== "" || element.dataset.empty !== undefined) values[element.name] = element.value;
  }
  return values;
}

// Shows a secret that the server returns only once.
function reveal(secret) {
  const dialog = find("#secret");
  find(".copy code", dialog).textContent = secret;
  dialog.showModal();
  dialog.addEventListener("close", () => { find(".copy code", dialog).textContent = ""; refresh(); }, {once: true});
}

async function run(element, body) {
  const [method, path] = element.dataset.api.split(" ");
  const {confirm, detail, label, done, next} = element.dataset;
  if (confirm && !(await confirmed(confirm, detail, label))) return;
  const buttons = element.matches("form") ? all("button", element) : [element];
  for (const button of buttons) button.setAttribute("aria-busy", "true");
  try {
    const value = await call(method, path, body);
    element.closest("dialog[open]")?.close();
    if (element.dataset.secret) return reveal(value[element.dataset.secret]);
    document.dispatchEvent(new Event("called")); // not at the element, which may have been replaced meanwhile
    if (next) location.assign(root + next);
    else await refresh();
    if (done) toast(done.replace(/\{(\w+)\}/g, (_, name) => value[name])); // {images} is that field of the response
  } catch (error) {
    showError(error);
  } finally {
    for (const button of buttons) button.removeAttribute("aria-busy");
  }
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-api]");
  if (button) run(button, button.dataset.body ? JSON.parse(button.dataset.body) : undefined);
  const copy = event.target.closest("[data-copy]");
  if (copy) navigator.clipboard.writeText(copy.dataset.copy || find(copy.dataset.from).textContent).then(() => toast("Copied"));
  const opener = event.target.closest("[data-open]");
  if (opener) {
    const dialog = find(opener.dataset.open);
    const name = opener.dataset.set; // what the dialog is about
    if (name) {
      find("[data-set-text]", dialog).textContent = name;
      const form = find("[data-set-path]", dialog);
      form.dataset.api = form.dataset.api.replace(/[^/]*$/, encodeURIComponent(name));
    }
    if (opener.dataset.value !== undefined) find("[data-set-value]", dialog).value = opener.dataset.value;
    dialog.showModal();
  }
  const closer = event.target.closest("#confirm button, [data-close]");
  if (closer) closer.closest("dialog").close(closer.value);
});

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.dataset.filter !== undefined) event.preventDefault();
  if (form.dataset.api === undefined) return;
  event.preventDefault();
  run(form, fields(form));
});

// Filters rows of a long table in the browser.
function filter(form) {
  const words = find("input[type=search]", form).value.toLowerCase().split(/\s+/).filter(Boolean);
  const only = all("[data-only]:checked", form).map((one) => one.dataset.only);
  const area = find(form.dataset.filter);
  let shown = 0;
  for (const row of all("[data-row]", area)) {
    const text = row.textContent.toLowerCase();
    row.hidden = !(words.every((word) => text.includes(word)) && only.every((name) => name in row.dataset));
    shown += !row.hidden;
  }
  for (const group of all("[data-group]", area)) {
    group.hidden = !all("[data-row]", group).some((row) => !row.hidden);
    if (words.length || only.length) group.open = true;
  }
  find("#nothing").hidden = shown > 0;
}
document.addEventListener("change", (event) => {
  if (event.target.form?.dataset.submit !== undefined) event.target.form.requestSubmit();
});
document.addEventListener("input", (event) => {
  const form = event.target.closest("form[data-filter]");
  if (form) filter(form);
});

const menu = find(".menu");
menu.addEventListener("click", () => {
  menu.setAttribute("aria-expanded", String(find("#navigation").classList.toggle("open")));
});

for (const input of all("[name=theme]")) {
  input.checked = input.value === (localStorage.getItem("theme") ?? "auto");
  input.addEventListener("change", () => {
    if (input.value === "auto") {
      localStorage.removeItem("theme");
      delete document.documentElement.dataset.theme;
    } else {
      localStorage.setItem("theme", input.value);
      document.documentElement.dataset.theme = input.value;
    }
    document.dispatchEvent(new Event("theme"));
  });
}
