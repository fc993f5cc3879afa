// A new import: a table that is pasted, dropped or chosen is analyzed, shown with its mistakes, and started.
import {call, find, toast} from "./admin.js";

const root = document.body.dataset.root;
const PAUSE = 500;
const MOST_MISTAKES = 200;
const number = (value) => value.toLocaleString("en").replaceAll(",", "\u202f");
const some = (count, one, many = `${one}s`) => `${number(count)} ${count === 1 ? one : many}`;
let table = null; // the one that is shown: {body, name}
let analyses = 0; // those that were begun; only the last one is shown
let timer;

function cell(kind, text, name = "") {
  return Object.assign(document.createElement(kind), {textContent: text, className: name});
}

function row(...cells) {
  const element = document.createElement("tr");
  element.append(...cells);
  return element;
}

function show(found) {
  const place = find("#analysis");
  find("#analysis-title").textContent = table.name ? `Analysis of ${table.name}` : "Analysis of what was pasted";
  find("#totals").replaceChildren(...[["rows", "rows"], ["products", "products"], ["images", "images"], ["duplicates", "repeated URLs"], ["invalid", "invalid rows"]].map(([name, text]) => {
    const fact = document.createElement("div");
    fact.append(cell("dt", text), cell("dd", number(found[name]), name === "invalid" && found.invalid ? "wrong" : ""));
    return fact;
  }));
  const {mistakes} = found;
  find("#invalid").hidden = !mistakes.length;
  const left = mistakes.length > MOST_MISTAKES ? ` Here are the first ${MOST_MISTAKES} mistakes.` : "";
  find("#invalid b").textContent = `${some(found.invalid, "row is", "rows are")} invalid and left out.${left}`;
  find("#invalid tbody").replaceChildren(...mistakes.slice(0, MOST_MISTAKES).map((one) => row(cell("td", one.line, "line"), cell("td", one.column), cell("td", one.value), cell("td", one.reason))));
  const rows = found.first_rows;
  find("#rows-title").textContent = found.rows > rows.length ? `The first ${rows.length} of ${some(found.rows, "row")}` : `All ${some(rows.length, "row")}`;
  find("#rows thead").replaceChildren(row(...["line", ...found.headers].map((text) => Object.assign(cell("th", text), {scope: "col"}))));
  find("#rows tbody").replaceChildren(...rows.map((one) => {
    const wrong = mistakes.filter((mistake) => mistake.line === one.line);
    const cells = Array.from({length: Math.max(found.headers.length, one.cells.length)}, (_, index) => {
      const mistake = wrong.find((each) => each.column && each.column === found.headers[index]);
      const element = cell("td", one.cells[index] ?? "", mistake ? "invalid" : "");
      if (mistake) element.append(cell("small", mistake.reason));
      return element;
    });
    return row(cell("td", one.line, one.product ? "" : "invalid"), ...cells);
  }));
  find("#start [name=name]").value = table.name;
  const button = find("#start > button");
  button.disabled = !found.images;
  button.textContent = found.images ? `Import ${some(found.images, "image")}` : "Nothing to import";
  place.hidden = false;
}

async function analyze(body, name) {
  clearTimeout(timer);
  const mine = ++analyses;
  const note = find("#reading");
  note.textContent = `Reading ${name || "the pasted cells"} …`;
  find("#table").setAttribute("aria-busy", "true");
  try {
    const found = await call("POST", "/api/imports/analyze", body);
    if (mine !== analyses) return;
    table = {body, name};
    show(found);
    note.textContent = `${some(found.rows, "row")}, ${some(found.images, "image")} of ${some(found.products, "product")}, ${some(found.invalid, "invalid row")}.`;
  } catch (error) {
    if (mine !== analyses) return;
    find("#analysis").hidden = true;
    note.textContent = "";
    toast(error.message, {bad: true});
  } finally {
    if (mine === analyses) find("#table").removeAttribute("aria-busy");
  }
}

function discard() {
  clearTimeout(timer);
  analyses += 1;
  table = null;
  find("#table").removeAttribute("aria-busy");
  find("#analysis").hidden = true;
  find("#reading").textContent = "";
  find("#table").reset();
  find("#paste").focus();
}

// A file is sent as bytes: browsers disagree on the types of tables, and the server looks at the content.
const take = (file) => analyze(new Blob([file], {type: "application/octet-stream"}), file.name);

document.addEventListener("input", (event) => {
  if (event.target.id === "paste") {
    clearTimeout(timer);
    const text = event.target.value;
    if (text.trim()) timer = setTimeout(() => analyze(new Blob([text], {type: "text/plain"}), ""), PAUSE);
  }
  if (event.target.name === "preset") find("#other").hidden = event.target.value !== "*";
});
document.addEventListener("change", (event) => {
  if (event.target.id !== "file" || !event.target.files.length) return;
  take(event.target.files[0]);
  event.target.value = "";
});

const carries = (event) => find("#table") && event.dataTransfer?.types.includes("Files");
document.addEventListener("dragover", (event) => {
  if (!carries(event)) return;
  event.preventDefault();
  document.body.classList.add("dropping");
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) document.body.classList.remove("dropping");
});
document.addEventListener("drop", (event) => {
  document.body.classList.remove("dropping");
  if (!carries(event)) return;
  event.preventDefault();
  const [file, ...others] = event.dataTransfer.files;
  if (others.length) toast("An import has one table: the first file is used.", {bad: true});
  if (file) take(file);
});
document.addEventListener("paste", (event) => {
  const [file] = event.clipboardData.files;
  // Spreadsheet programs also offer a picture of the cells.
  if (!file || event.clipboardData.types.includes("text/plain")) return;
  event.preventDefault();
  take(file);
});

function save(text, name) {
  const link = Object.assign(document.createElement("a"), {href: URL.createObjectURL(new Blob([`\ufeff${text}`], {type: "text/csv"})), download: name});
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

document.addEventListener("click", async (event) => {
  if (event.target.id === "discard") discard();
  if (event.target.id !== "report") return;
  try {
    save(await call("POST", "/api/imports/analyze?report=csv", table.body), "mistakes.csv");
  } catch (error) {
    toast(error.message, {bad: true});
  }
});

document.addEventListener("submit", async (event) => {
  if (event.target.id === "table") event.preventDefault();
  if (event.target.id !== "start") return;
  event.preventDefault();
  const {name, preset, parameters, webhook, refresh, each_product: each} = event.target.elements;
  const output = preset.value === "*" ? parameters.value.trim() : preset.value;
  const given = {name: name.value.trim(), output, webhook: webhook.value, refresh: refresh.checked, each_product: each.checked};
  const query = new URLSearchParams(Object.entries(given).filter(([, value]) => value));
  const button = find("button", event.target);
  button.setAttribute("aria-busy", "true");
  try {
    const job = await call("POST", `/api/imports?${query}`, table.body);
    location.assign(`${root}/admin/imports/${job.id}`);
  } catch (error) {
    toast(error.message, {bad: true});
    button.removeAttribute("aria-busy");
  }
});
