// What is being sent is not sent again: by a second click, by keys, or by Enter in a field.
for (const kind of ["click", "submit"]) {
  addEventListener(kind, (event) => {
    if (!(kind === "click" ? event.target.closest("button[aria-busy=true]") : event.target.querySelector("[aria-busy=true]"))) return;
    event.preventDefault();
    event.stopImmediatePropagation();
  }, {capture: true});
}

// A form that leads to another page is busy until then.
document.addEventListener("submit", ({target}) => {
  if (target.method === "post") for (const button of target.querySelectorAll("button")) button.setAttribute("aria-busy", "true");
});
addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); }); // it is as it was left
