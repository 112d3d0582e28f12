// Marks fields with an error as such for those who do not see the red line, and opens what hides a field.
"use strict";

function markErrors() {
  document.querySelectorAll("[data-error-for]").forEach((error) => {
    const field = document.getElementById(error.dataset.errorFor);
    const wrong = error.textContent.trim() !== "";
    if (field) field.setAttribute("aria-invalid", String(wrong));
    if (wrong && error.closest("details")) error.closest("details").open = true;
  });
}

document.addEventListener("htmx:after:swap", markErrors);
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-open]");
  if (!link) return;
  event.preventDefault();
  const field = document.getElementById(link.hash.slice(1));
  for (let fold = field?.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
  field?.focus();
});
