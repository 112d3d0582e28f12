// Draws what a source read, sent and could not send over time. The data come as JSON, the colours from the tokens.
"use strict";

(() => {
  const place = document.querySelector("[data-timeline]");
  if (!place) return;
  const words = document.querySelector("[data-timeline-words]");
  let span = "1h";
  let data = null;
  let plot = null;

  const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const whole = (value) => (value == null ? "–" : Math.round(value).toLocaleString("en"));
  const moment = new Intl.DateTimeFormat("en", { dateStyle: "medium", timeStyle: "short", hourCycle: "h23" });
  const short = new Intl.NumberFormat("en", { notation: "compact" });

  function times(_, ticks) {
    const form = span === "1h" || span === "24h"
      ? { hour: "2-digit", minute: "2-digit", hourCycle: "h23" }
      : { month: "short", day: "numeric" };
    const format = new Intl.DateTimeFormat("en", form);
    return ticks.map((at) => format.format(at * 1000));
  }

  function axis(more) {
    const grid = { stroke: token("--line"), width: 1 };
    return { stroke: token("--muted"), font: `12px ${token("--font")}`, grid, ticks: grid, ...more };
  }

  function shape(series, index) {
    const color = token(series.color);
    const columns = index === 1;
    return {
      label: series.label,
      stroke: color,
      width: index === 0 || index === 3 ? 1.5 : 2,
      dash: index === 3 ? [5, 4] : undefined,
      fill: columns ? `${color}33` : undefined,
      paths: uPlot.paths.stepped({ align: 1 }),
      points: { show: false },
      value: (_, value) => whole(value),
    };
  }

  function draw() {
    if (!data) return;
    const options = {
      width: place.clientWidth,
      height: 240,
      legend: { live: true },
      cursor: { points: { size: 6 }, drag: { x: false, y: false } },
      scales: { x: { time: true }, y: { range: (_, low, high) => [0, Math.max(high * 1.08, 5)] } },
      axes: [axis({ space: 70, values: times }), axis({ size: 56, values: (_, ticks) => ticks.map((each) => short.format(each)) })],
      series: [{ label: "Time", value: (_, at) => (at == null ? "–" : moment.format(at * 1000)) }, ...data.series.map(shape)],
    };
    if (plot) plot.destroy();
    plot = new uPlot(options, drawn(), place);
  }

  function say() {
    const sums = data.series.slice(0, 3).map((each) => `${each.label} ${whole(each.values.reduce((a, b) => a + b, 0))}`);
    words.textContent = `In this time: ${sums.join(", ")}.`;
  }

  // The last column is as wide as the others: its value holds until the next one would begin.
  function drawn() {
    const last = data.times[data.times.length - 1];
    const held = (values) => [...values, values[values.length - 1]];
    return [[...data.times, last + data.stepSeconds], ...data.series.map((each) => held(each.values))];
  }

  async function load(again) {
    const answer = await fetch(`${place.dataset.timeline}?span=${span}`, { headers: { "hx-request": "true" } });
    if (!answer.ok) return;
    const before = data;
    data = await answer.json();
    say();
    if (again && plot && before.series.length === data.series.length) {
      plot.setData(drawn());
    } else {
      draw();
    }
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-span]");
    if (!button) return;
    span = button.dataset.span;
    document.querySelectorAll("[data-span]").forEach((each) => each.setAttribute("aria-pressed", String(each === button)));
    load(false);
  });
  document.addEventListener("themechange", draw);
  document.body.addEventListener("refresh", () => load(true));
  new ResizeObserver(() => { if (plot) plot.setSize({ width: place.clientWidth, height: 240 }); }).observe(place);
  load(false);
})();
