// How many events there are over time. Counts come in parts, newest first; pressing or dragging narrows the time.
"use strict";

(() => {
  const place = document.querySelector("[data-histogram]");
  if (!place) return;
  const words = document.querySelector("[data-histogram-words]");
  const HEIGHT = 130;
  let starts = [];
  let counts = [];
  let widthS = 0;
  let plot = null;

  const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const short = new Intl.NumberFormat("en", { notation: "compact" });
  const clock = (more) => new Intl.DateTimeFormat("en", { timeZone: "UTC", hourCycle: "h23", ...more });
  const moment = clock({ dateStyle: "medium", timeStyle: "medium" });
  const axisTimes = {
    second: clock({ hour: "2-digit", minute: "2-digit", second: "2-digit" }),
    minute: clock({ hour: "2-digit", minute: "2-digit" }),
    day: clock({ month: "short", day: "numeric" }),
  };

  function times(_, ticks) {
    const step = ticks.length > 1 ? ticks[1] - ticks[0] : 60;
    const midnight = (at) => at % 86400 === 0;
    const fine = axisTimes[step < 60 ? "second" : "minute"];
    return ticks.map((at) => (step >= 86400 || midnight(at) ? axisTimes.day : fine).format(at * 1000));
  }

  function axis(more) {
    const grid = { stroke: token("--line"), width: 1 };
    return { stroke: token("--muted"), font: `12px ${token("--font")}`, grid, ticks: { show: false }, ...more };
  }

  function draw() {
    const end = starts[0] + widthS * starts.length;
    const color = token("--series-2");
    const options = {
      width: place.clientWidth,
      height: HEIGHT,
      padding: [8, 20, 0, 0],
      tzDate: (at) => uPlot.tzDate(new Date(at * 1000), "UTC"),
      legend: { show: false },
      cursor: { y: false, points: { show: false }, drag: { x: true, y: false, setScale: false } },
      scales: { x: { time: true, range: () => [starts[0], end] }, y: { range: (_, low, high) => [0, Math.max(high * 1.08, 4)] } },
      axes: [axis({ space: 80, size: 28, values: times, grid: { show: false } }), axis({ size: 44, space: 34, values: (_, ticks) => ticks.map((each) => (each % 1 ? "" : short.format(each))) })],
      series: [{}, { stroke: color, fill: color, width: 0, paths: uPlot.paths.bars({ size: [1, Infinity], align: 1, gap: 1 }), points: { show: false } }],
      hooks: {
        setSelect: [(drawn) => { if (drawn.select.width > 0) narrow(drawn.posToVal(drawn.select.left, "x"), drawn.posToVal(drawn.select.left + drawn.select.width, "x")); }],
        setCursor: [(drawn) => say(drawn.cursor.left >= 0 ? columnAt(drawn.posToVal(drawn.cursor.left, "x")) : null)],
      },
    };
    if (plot) plot.destroy();
    plot = new uPlot(options, [starts, counts], place);
    plot.over.addEventListener("click", () => {
      const at = plot.posToVal(plot.cursor.left, "x");
      if (plot.select.width === 0 && counts[columnAt(at)]) narrow(at, at);
    });
  }

  function columnAt(at) {
    return Math.min(starts.length - 1, Math.max(0, Math.floor((at - starts[0]) / widthS)));
  }

  // Whole columns, from the one that holds `low` to the one that holds `high`.
  function narrow(low, high) {
    const written = (at) => new Date(at * 1000).toISOString().slice(0, 19);
    const from = starts[columnAt(low)];
    const to = starts[columnAt(high)] + widthS;
    if (widthS <= 1 && to - from <= 1) return;
    location.assign(`${place.dataset.narrow}&from=${written(Math.floor(from))}&to=${written(Math.ceil(to))}`);
  }

  let standing = "";
  function say(column) {
    const text = column === null ? standing : `${moment.format(starts[column] * 1000)} UTC: ${counts[column].toLocaleString("en")} events`;
    if (words.textContent !== text) words.textContent = text;
  }

  function summary(answer) {
    const total = counts.reduce((sum, each) => sum + each, 0);
    const text = `${total.toLocaleString("en")} ${total === 1 ? "event" : "events"}`;
    if (!answer.complete) return `${text} so far, counted back to ${moment.format(new Date(answer.searchedBackTo))} UTC …`;
    return total ? `${text}. Press or drag over columns to look closer; by keyboard, set From and to.` : "No events in this time.";
  }

  function add(answer) {
    widthS = answer.bucketSeconds;
    starts = answer.buckets.map((each) => new Date(each.start) / 1000);
    counts = answer.buckets.map((each, column) => each.count + (counts[column] ?? 0));
    standing = summary(answer);
    if (plot) plot.setData([starts, counts]);
    else draw();
    say(null);
  }

  async function load() {
    let next = "";
    do {
      const answer = await fetch(place.dataset.histogram + (next && `&cursor=${next}`));
      if (!answer.ok) throw new Error(String(answer.status));
      const part = await answer.json();
      add(part);
      next = part.next;
    } while (next);
  }

  document.addEventListener("themechange", () => { if (plot) draw(); });
  new ResizeObserver(() => { if (plot) plot.setSize({ width: place.clientWidth, height: HEIGHT }); }).observe(place);
  load().catch(() => { words.textContent = "The counts could not be had just now."; });
})();
