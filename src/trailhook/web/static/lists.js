// Dialogs that are swapped in, boxes to tick, and what a person has opened.
"use strict";

// -------------------------------------------------------------------------------------------------------- dialogs
// A dialog opens when it arrives and is gone when it closes: a step that was to follow is then never asked for.
function openDialog() {
  const dialog = document.querySelector("dialog[data-modal]:not([open])");
  if (!dialog) return;
  dialog.addEventListener("close", () => {
    dialog.remove();
    htmx.trigger(document.body, "changed");
  });
  dialog.showModal();
}

// ---------------------------------------------------------------------------------------------------------- boxes
function countPicks() {
  const form = document.querySelector("[data-picks]");
  if (!form) return;
  const boxes = [...form.querySelectorAll("[data-pick]")];
  const picked = boxes.filter((box) => box.checked).length;
  form.querySelectorAll("[data-needs-pick]").forEach((button) => { button.disabled = picked === 0; });
  const all = form.querySelector("[data-pick-all]");
  if (!all) return;
  all.checked = picked > 0 && picked === boxes.length;
  all.indeterminate = picked > 0 && picked < boxes.length;
  form.querySelector("[data-picked]").textContent = picked ? `${picked} chosen` : "";
}

document.addEventListener("change", (event) => {
  if (event.target.matches("[data-pick-all]")) {
    document.querySelectorAll("[data-pick]").forEach((box) => { box.checked = event.target.checked; });
  }
  if (event.target.matches("[data-pick-all], [data-pick]")) countPicks();
});
document.addEventListener("click", (event) => {
  if (event.target.closest("[data-close]")) event.target.closest("dialog").close();
});
document.addEventListener("htmx:after:swap", () => {
  openDialog();
  countPicks();
});
// What somebody has opened or closed stays so when its surroundings are refreshed.
document.addEventListener("htmx:before:morph:attr", (event) => {
  if (event.target.matches("details") && event.detail.attrName === "open") event.preventDefault();
});
