// Events as they come: newest on top, a bounded number, and always a word on whether it is still connected.
"use strict";

(() => {
  const card = document.querySelector("[data-live]");
  if (!card) return;
  const part = (name) => card.querySelector(`[data-live-${name}]`);
  const template = document.querySelector("template[data-live-line]");
  const [state, words, rate, total, lines, empty, pause] = ["state", "words", "rate", "total", "lines", "empty", "pause"].map(part);
  const rowsMax = Number(card.dataset.rowsMax);
  const MINUTE_MS = 60000;
  const WAIT_MS = [1000, 2000, 5000, 10000, 30000];
  const number = (value) => value.toLocaleString("en");
  let source = null;
  let lastId = "";
  let failures = 0;
  let seen = 0;
  let recent = [];
  let held = [];
  let paused = false;
  let fresh = [];

  // ------------------------------------------------------------------------------------------------- the lines
  function line(event) {
    const item = template.content.firstElementChild.cloneNode(true);
    const put = (name, text, title) => {
      const cell = item.querySelector(`.${name}`);
      cell.textContent = text ?? "";
      if (title) cell.title = title;
    };
    put("at", event.time ? event.time.slice(11, 19) : "no time", event.time);
    put("name", event.eventName ?? "–");
    put("service", (event.eventSource ?? "").replace(/\.amazonaws\.com$/, ""), event.eventSource);
    put("user", (event.user ?? "").replace(/^.*:/, "") || event.user, event.user);
    put("ip", event.ip);
    put("error", event.errorCode);
    item.dataset.record = `/ui/events/${encodeURIComponent(event.batch)}/${event.position}/record`;
    return item;
  }

  function show(events) {
    if (!events.length) return;
    empty.hidden = true;
    lines.prepend(...events.slice(-rowsMax).map(line).reverse());
    while (lines.children.length > rowsMax) lines.lastElementChild.remove();
  }

  // Many may come at once: they are drawn together, once a frame.
  function come(event) {
    seen += 1;
    recent.push(Date.now());
    if (paused) {
      held.push(event);
      if (held.length > rowsMax) held.shift();
    } else {
      if (!fresh.length) setTimeout(() => { show(fresh); fresh = []; }, 100);
      fresh.push(event);
    }
  }

  function setPaused(yes) {
    paused = yes;
    pause.setAttribute("aria-pressed", String(yes));
    if (!yes) {
      show(held);
      held = [];
    }
    tell();
  }

  async function open(button) {
    const opened = button.nextElementSibling;
    const yes = opened.hidden;
    opened.hidden = !yes;
    button.setAttribute("aria-expanded", String(yes));
    if (!yes) return;
    if (!paused) setPaused(true);
    if (opened.dataset.asked) return;
    opened.dataset.asked = "yes";
    const query = card.dataset.search;
    await htmx.ajax("GET", button.parentElement.dataset.record + (query && `?${query}`), { target: opened, swap: "innerHTML" });
  }

  // -------------------------------------------------------------------------------------------- the connection
  function tell() {
    recent = recent.filter((at) => at > Date.now() - MINUTE_MS);
    rate.textContent = number(recent.length);
    total.textContent = number(seen);
    pause.textContent = paused ? `Resume${held.length ? ` (${number(held.length)} new)` : ""}` : "Pause";
  }

  function be(name, text) {
    const changed = state.dataset.liveState !== name;
    state.dataset.liveState = name;
    words.textContent = text;
    if (changed) announce(text);
  }

  function connect() {
    const address = card.dataset.live + (lastId && `${card.dataset.live.endsWith("?") ? "" : "&"}lastEventId=${lastId}`);
    source = new EventSource(address);
    source.onopen = () => {
      failures = 0;
      be("connected", "Connected");
    };
    source.onmessage = (message) => {
      lastId = message.lastEventId || lastId;
      come(JSON.parse(message.data));
    };
    source.onerror = () => (source.readyState === EventSource.CLOSED ? again() : be("waiting", "Disconnected; connecting again …"));
  }

  // A browser gives up by itself when it is answered with an error. Then the answer says why, and we go on.
  async function again() {
    const waitMs = WAIT_MS[Math.min(failures, WAIT_MS.length - 1)];
    failures += 1;
    be("waiting", await reason(waitMs));
    setTimeout(connect, waitMs);
  }

  async function reason(waitMs) {
    const soon = `trying again in ${waitMs / 1000} s`;
    const asked = new AbortController();
    try {
      const answer = await fetch(card.dataset.live, { signal: asked.signal });
      if (answer.status === 401) return `Disconnected: your session has ended. Sign in again; ${soon}.`;
      if (answer.status === 503) return `Disconnected: as many as may are watching already; ${soon}.`;
      if (answer.status === 404) return `Disconnected: the source is no longer there; ${soon}.`;
    } catch {
      // No answer at all: what follows says so.
    } finally {
      asked.abort();
    }
    return `Disconnected; ${soon}.`;
  }

  pause.addEventListener("click", () => setPaused(!paused));
  part("clear").addEventListener("click", () => {
    lines.replaceChildren();
    held = [];
    empty.hidden = false;
    tell();
  });
  lines.addEventListener("click", (event) => {
    const button = event.target.closest("button.line");
    if (button) open(button);
  });
  addEventListener("pagehide", () => source.close());
  addEventListener("pageshow", (event) => { if (event.persisted) connect(); });
  setInterval(tell, 1000);
  connect();
})();
