// What the pages need beyond htmx. No inline handlers: everything hangs on data attributes.
"use strict";

// ---------------------------------------------------------------------------------------------- dark and light
const root = document.documentElement;
const dark = matchMedia("(prefers-color-scheme: dark)");

function isDark() {
  return root.dataset.theme === "dark" || (root.dataset.theme === "auto" && dark.matches);
}

function switchTheme() {
  root.dataset.theme = isDark() ? "light" : "dark";
  document.cookie = `theme=${root.dataset.theme}; path=/; max-age=31536000; samesite=lax`;
  document.dispatchEvent(new Event("themechange"));
}

dark.addEventListener("change", () => document.dispatchEvent(new Event("themechange")));

// ------------------------------------------------------------------------------------------------------- times
const SPANS = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
const relative = new Intl.RelativeTimeFormat("en", { numeric: "always", style: "narrow" });

function sayAgo(element) {
  const seconds = (new Date(element.dateTime) - Date.now()) / 1000;
  const [unit, length] = SPANS.find(([, each]) => Math.abs(seconds) >= each) || ["second", 1];
  const due = "due" in element.dataset && seconds < 1;
  const text = due || Math.abs(seconds) < 1 ? "now" : relative.format(Math.trunc(seconds / length), unit);
  if (element.textContent !== text) element.textContent = text;
}

function sayTimes(within) {
  within.querySelectorAll("time[data-ago]").forEach(sayAgo);
}

// --------------------------------------------------------------------------------------------------- refreshing
// Parts with hx-trigger="refresh from:body" are asked for again every few seconds while somebody can see them.
const REFRESH_MS = 4000;

function refresh() {
  if (!document.hidden) htmx.trigger(document.body, "refresh");
}

// ------------------------------------------------------------------------------------------------------ copying
async function copy(button) {
  const text = button.parentElement.querySelector("code, input, output");
  await navigator.clipboard.writeText(text.value ?? text.textContent);
  announce("Copied");
  const before = button.textContent;
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = before; }, 1500);
}

function announce(text) {
  document.getElementById("announcer").textContent = text;
}

// ------------------------------------------------------------------------------------------------- signing in
// A link that signs in has its code behind the #, where it is sent to nobody before it is used.
function signInByLink() {
  const form = document.querySelector("form[data-sign-in]");
  if (!form || !location.hash.startsWith("#once_")) return;
  form.elements.token.value = location.hash.slice(1);
  history.replaceState(null, "", location.pathname + location.search);
  form.requestSubmit();
}

document.addEventListener("click", (event) => {
  if (event.target.closest("[data-theme-toggle]")) switchTheme();
  const button = event.target.closest("[data-copy]");
  if (button) copy(button);
});
document.addEventListener("htmx:after:swap", () => sayTimes(document));
document.addEventListener("htmx:error", () => announce("Trailhook does not answer just now."));
document.addEventListener("visibilitychange", refresh);
document.addEventListener("DOMContentLoaded", () => {
  sayTimes(document);
  signInByLink();
  setInterval(() => sayTimes(document), 1000);
  setInterval(refresh, REFRESH_MS);
});

// On a narrow screen the sections do not fit: show the one we are in.
document.querySelector("nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
