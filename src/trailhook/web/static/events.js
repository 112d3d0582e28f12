// Searching events: rows that open, examples that fill the box, a search that can be stopped.
"use strict";

(() => {
  function toggle(button) {
    const open = button.getAttribute("aria-expanded") !== "true";
    button.setAttribute("aria-expanded", String(open));
    button.closest("tbody").querySelector("tr.record").hidden = !open;
    if (open) htmx.trigger(button, "open");
  }

  function fill(link) {
    const box = document.getElementById("q");
    box.value = link.querySelector("code").textContent;
    link.closest("details").open = false;
    box.focus();
  }

  // A search that goes on by itself is one request after the other, each of which replaces what asks for it.
  function stop(button) {
    const more = button.closest("tbody");
    htmx.trigger(more, "htmx:abort");
    more.classList.add("stopped");
    button.hidden = true;
    const on = more.querySelector("[data-on]");
    on.hidden = false;
    on.focus();
  }

  function goOn(button) {
    const more = button.closest("tbody");
    more.classList.remove("stopped");
    button.hidden = true;
    more.querySelector("[data-stop]").hidden = false;
    htmx.trigger(more, "on");
  }

  // Who pressed "Load more" by keyboard goes on at the first new row.
  let last = null;
  function focusNew() {
    if (!last) return;
    const next = last.isConnected && last.nextElementSibling?.querySelector("[data-opener]");
    last = null;
    if (next) next.focus();
  }

  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-query]");
    if (link) {
      event.preventDefault();
      fill(link);
      return;
    }
    const button = event.target.closest("button");
    if (!button) {
      const row = event.target.closest("tbody.event > tr:first-child");
      if (row && !event.target.closest("a") && !String(getSelection())) toggle(row.querySelector("[data-opener]"));
    } else if ("opener" in button.dataset) toggle(button);
    else if ("stop" in button.dataset) stop(button);
    else if ("on" in button.dataset) goOn(button);
    else if ("more" in button.dataset) last = button.closest("tbody").previousElementSibling;
  });
  document.addEventListener("htmx:after:swap", focusNew);

  // The address says what was asked for and nothing else.
  document.getElementById("search")?.addEventListener("formdata", ({ formData }) => {
    const range = formData.getAll("range").pop();
    if (range) formData.set("range", range);
    for (const [name, value] of [...formData]) {
      if (value === "" || (range !== "custom" && (name === "from" || name === "to"))) formData.delete(name);
    }
  });
})();
