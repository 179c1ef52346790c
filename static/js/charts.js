// Draws the charts that the server describes as JSON. One theme from the CSS properties, one crosshair over a page.
"use strict";

const DRAWN = new Map();

function token(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function figures(value) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 100) return Math.round(value).toLocaleString("en");
  return Number(value.toPrecision(3)).toString();
}

function inSteps(value, steps) {
  const size = Math.abs(value);
  if (size === 0) return "0";
  for (const [step, unit] of steps) if (size >= step * 0.9995) return `${figures(value / step)} ${unit}`.trim();
  const [step, unit] = steps[steps.length - 1];
  return `${figures(value / step)} ${unit}`.trim();
}

const UNITS = {
  ns: (value) => inSteps(value, [[3.6e12, "h"], [6e10, "min"], [1e9, "s"], [1e6, "ms"], [1e3, "µs"], [1, "ns"]]),
  count: (value) => inSteps(value, [[1e9, "G"], [1e6, "M"], [1e3, "k"], [1, ""]]),
  bytes_per_s: (value) => `${UNITS.bytes(value)}/s`,
  per_s: (value) => `${inSteps(value, [[1e9, "G"], [1e6, "M"], [1e3, "k"], [1, ""]])}/s`,
  bytes: (value) => inSteps(value, [[1e12, "TB"], [1e9, "GB"], [1e6, "MB"], [1e3, "kB"], [1, "B"]]),
  hertz: (value) => inSteps(value, [[1e9, "GHz"], [1e6, "MHz"], [1, "Hz"]]),
  usd: (value) => `$${figures(value)}`,
  share: (value) => `${figures(value * 100)} %`,
  number: figures,
  celsius: (value) => `${figures(value)} °C`,
  watt: (value) => `${figures(value)} W`,
};

function write(unit, value) {
  return value === null || value === undefined ? "–" : UNITS[unit](value);
}

// A colour of a name alone: of two names that meet at one colour, the later in the alphabet takes the next that is free.
function coloursOfNames(names) {
  const taken = new Map();
  for (const name of [...names].sort()) {
    let hash = 0;
    for (const letter of name) hash = (hash * 31 + letter.codePointAt(0)) % 4294967291;
    let place = hash % 8;
    for (let step = 0; step < 8 && [...taken.values()].includes(place); step += 1) place = (place + 1) % 8;
    taken.set(name, place);
  }
  return taken;
}

function colour(series, index, chart) {
  if (series.strength === "bad") return token("--bad");
  if (chart.by_name) return token(`--series-${coloursOfNames(chart.series.map((one) => one.name)).get(series.name) + 1}`);
  if (chart.series.length > 1 && chart.series.every((other) => other.strength === "strong")) return token(`--series-${(index % 8) + 1}`);
  return token({ light: chart.kind === "line" ? "--series-light" : "--series-5", faint: "--line-strong" }[series.strength] || "--series-1");
}

function drawn(chart, series, index) {
  const points = chart.times_ms.map((time, at) => [time, series.values[at]]);
  const hue = colour(series, index, chart);
  const common = { name: series.name, data: points, itemStyle: { color: hue }, animation: false };
  if (chart.kind === "bar") return [{ ...common, type: "bar", stack: "all", barCategoryGap: "15%" }];
  const single = points.filter(([, value]) => value !== null).length < 2;
  const lines = [{ ...common, type: "line", showSymbol: single, symbolSize: 5, connectNulls: false, lineStyle: { width: series.strength === "strong" ? 2 : 1.3, type: series.strength === "faint" ? "dashed" : "solid", color: hue } }];
  if (series.low.length) {
    const band = { type: "line", stack: `band-${series.name}`, symbol: "none", lineStyle: { opacity: 0 }, silent: true, animation: false, tooltip: { show: false } };
    lines.push({ ...band, name: `${series.name} low`, data: chart.times_ms.map((time, at) => [time, series.low[at]]) });
    lines.push({ ...band, name: `${series.name} high`, areaStyle: { color: hue, opacity: 0.15 }, data: chart.times_ms.map((time, at) => [time, series.low[at] === null ? null : series.high[at] - series.low[at]]) });
  }
  return lines;
}

// What happened, as lines with words: of marks that crowd, the first carries the words of all, and words that would
// stand upon the ones before them are left to the list of marks.
const WORDS_WIDE = 180;

function marked(chart, width) {
  const [from, to] = chart.range_ms || [chart.times_ms[0], chart.times_ms[chart.times_ms.length - 1]];
  const room = (to - from) * Math.min(1, WORDS_WIDE / width);
  const groups = [];
  for (const mark of chart.marks) {
    const last = groups[groups.length - 1];
    if (last && mark.at_ms - last[0].at_ms < (to - from) * 0.12) last.push(mark);
    else groups.push([mark]);
  }
  const { fontFamily } = getComputedStyle(document.body);
  const labels = new Map();
  let free = -Infinity;
  for (const [first, ...rest] of groups) {
    const isLast = first.at_ms + room > to;
    const start = isLast ? first.at_ms - room : first.at_ms;
    if (start < free) continue;
    free = start + room;
    const words = [...new Set([first, ...rest].map((mark) => mark.words))].slice(0, 3).join(", ");
    labels.set(first, { formatter: words, align: isLast ? "right" : "left" });
  }
  const line = (mark) => {
    const hue = token(mark.is_bad ? "--bad" : "--line-strong");
    const label = { show: labels.has(mark), ...labels.get(mark), width: WORDS_WIDE, overflow: "truncate", position: "end", distance: 3, fontSize: 12, fontFamily, color: token(mark.is_bad ? "--bad" : "--muted") };
    return { xAxis: mark.at_ms, name: mark.words, url: mark.url, lineStyle: { color: hue, type: mark.is_bad ? "solid" : "dashed", width: 1 }, label };
  };
  return { symbol: "none", animation: false, data: chart.marks.map(line), tooltip: { show: true, formatter: (one) => one.name } };
}

// Steps of a time axis that begin with minutes: a third of a day is no number that anybody reads.
const MINUTES = [1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440, 2880, 7200, 14400];

function intervalOf(chart) {
  if (chart.maximum) return chart.maximum / 2;
  const highest = chart.unit === "ns" ? Math.max(0, ...chart.series.flatMap((one) => [...one.values, ...one.high])) : 0;
  if (highest < 120e9) return undefined;
  return (MINUTES.find((minutes) => highest <= minutes * 4 * 60e9) || MINUTES[MINUTES.length - 1]) * 60e9;
}

function options(chart, width) {
  const text = { color: token("--muted"), fontFamily: getComputedStyle(document.body).fontFamily, fontSize: 12 };
  const window_ = chart.window_ms && { silent: true, itemStyle: { color: token("--accent"), opacity: 0.14 }, data: [[{ xAxis: chart.window_ms[0] }, { xAxis: chart.window_ms[1] }]] };
  const series = chart.series.flatMap((one, index) => drawn(chart, one, index));
  if (window_ && series.length) series[0].markArea = window_;
  if (chart.marks.length && series.length) series[0].markLine = marked(chart, width);
  const named = chart.series.length > 1 || chart.is_named;
  return {
    grid: { left: 8, right: chart.range_ms ? 12 : 28, top: (named ? 32 : 12) + (chart.marks.length ? 14 : 0), bottom: 4, containLabel: true },
    legend: named ? { type: "scroll", top: 0, left: 0, padding: [2, 0], itemWidth: 12, itemHeight: 12, icon: "roundRect", textStyle: text, selectedMode: true, data: chart.series.map((one) => one.name) } : undefined,
    tooltip: {
      trigger: "axis",
      confine: true,
      backgroundColor: token("--raised"),
      borderColor: token("--line"),
      textStyle: { color: token("--text"), fontSize: 12 },
      valueFormatter: (value) => write(chart.unit, value),
      axisPointer: { type: "line", lineStyle: { color: token("--line-strong") } },
    },
    xAxis: { type: "time", min: chart.range_ms?.[0], max: chart.range_ms?.[1], splitNumber: 4, axisLabel: { ...text, hideOverlap: true, alignMaxLabel: "right", formatter: { day: "{MMM} {d}", hour: "{HH}:{mm}", minute: "{HH}:{mm}", second: "{HH}:{mm}:{ss}" } }, axisLine: { lineStyle: { color: token("--line") } }, splitLine: { show: false } },
    yAxis: { type: "value", min: 0, max: chart.maximum ?? undefined, interval: intervalOf(chart), splitNumber: 3, axisLabel: { ...text, formatter: (value) => write(chart.unit, value) }, splitLine: { lineStyle: { color: token("--line") } } },
    series,
  };
}

// A lane has no axes of its own: it stands under the waterfall's, with its name on the left and its highest value on the right.
function laneOptions(chart, isWide) {
  const full = options({ ...chart, window_ms: isWide ? chart.window_ms : null }, WORDS_WIDE);
  const times = chart.times_ms;
  const ends = isWide ? [Math.min(times[0], chart.range_ms[0]), Math.max(times[times.length - 1], chart.range_ms[1])] : chart.range_ms;
  return {
    ...full,
    legend: undefined,
    grid: { left: 0, right: 0, top: 4, bottom: 4 },
    tooltip: { ...full.tooltip, confine: false, appendTo: "body" },
    xAxis: { ...full.xAxis, type: "value", min: ends[0], max: ends[1], show: false, axisPointer: { label: { formatter: ({ value }) => new Date(value).toLocaleTimeString() } } },
    yAxis: { ...full.yAxis, show: true, axisLine: { show: false }, axisTick: { show: false }, axisLabel: { show: false }, splitNumber: 1, interval: undefined },
  };
}

function optionsOf(figure, chart) {
  if ("lane" in figure.dataset) return laneOptions(chart, "wide" in figure.dataset);
  const width = figure.querySelector(".canvas").clientWidth || 560;
  return chart.heat ? heatOptions(chart, options({ ...chart, series: [] }, width), width) : options(chart, width);
}

function table(chart) {
  const names = chart.series.flatMap((one) => (one.low.length ? [one.name, `${one.name} low`, `${one.name} high`] : [one.name]));
  const rows = chart.times_ms.map((time, at) => [
    new Date(time).toISOString(),
    ...chart.series.flatMap((one) => (one.low.length ? [one.values[at], one.low[at], one.high[at]] : [one.values[at]])),
  ]);
  return { head: ["time", ...names], rows };
}

function csv(chart) {
  const { head, rows } = table(chart);
  return [head, ...rows].map((row) => row.map((cell) => (cell === null || cell === undefined ? "" : `${cell}`.includes(",") ? `"${cell}"` : cell)).join(",")).join("\n");
}

function toggleTable(figure, chart) {
  const place = figure.querySelector(".chart-table");
  const canvas = figure.querySelector(".canvas");
  if (place.hidden) {
    const { head, rows } = table(chart);
    const element = document.createElement("table");
    const line = (cells, tag) => {
      const row = element.insertRow();
      for (const cell of cells) {
        const one = document.createElement(tag);
        one.textContent = cell;
        row.append(one);
      }
    };
    line(head, "th");
    for (const [time, ...values] of rows) line([time, ...values.map((value) => write(chart.unit, value))], "td");
    if (chart.heat) linkCells(element, chart);
    place.replaceChildren(element);
  }
  place.hidden = !place.hidden;
  canvas.hidden = !place.hidden;
}

// A click on a moment asks what was slow then: the bucket under the pointer and one on either side.
function askForSlow(chart, time) {
  const place = document.getElementById("slow");
  if (!chart.slow_url || !place) return;
  const step = Math.max(chart.times_ms.length > 1 ? chart.times_ms[1] - chart.times_ms[0] : 60_000, 10_000);
  const address = new URL(chart.slow_url, location);
  address.searchParams.set("from", new Date(time - 1.5 * step).toISOString());
  address.searchParams.set("to", new Date(time + 1.5 * step).toISOString());
  htmx.ajax("GET", `${address.pathname}${address.search}`, { target: "#slow", swap: "innerHTML" }).then(() => place.scrollIntoView({ block: "nearest" }));
}

// Dragging over a chart chooses a new time range for the whole page; the address carries it.
function narrowByDragging(instance, canvas, chart) {
  const area = instance.getZr();
  canvas.classList.add("narrowing");
  let from = null;
  const timeAt = (x) => instance.convertFromPixel({ xAxisIndex: 0 }, x);
  const mark = (to) => {
    const [left, right] = [Math.min(from, to), Math.max(from, to)];
    instance.setOption({ graphic: [{ id: "chosen", type: "rect", silent: true, shape: { x: left, y: 0, width: right - left, height: canvas.clientHeight }, style: { fill: token("--accent"), opacity: 0.18 } }] });
  };
  area.on("mousedown", (event) => {
    if (instance.containPixel("grid", [event.offsetX, event.offsetY])) from = event.offsetX;
  });
  area.on("mousemove", (event) => {
    if (from !== null) mark(event.offsetX);
  });
  area.on("mouseup", (event) => {
    const to = event.offsetX;
    const start = from;
    if (start === null) return;
    mark(start);
    from = null;
    // Less is a click on a moment, not a stretch of time.
    if (Math.abs(to - start) < 8) return askForSlow(chart, timeAt(to));
    const address = new URL(location.href);
    for (const name of ["range", "cursor"]) address.searchParams.delete(name);
    address.searchParams.set("from", new Date(timeAt(Math.min(start, to))).toISOString());
    address.searchParams.set("to", new Date(timeAt(Math.max(start, to))).toISOString());
    location.assign(address);
  });
}

function drawAll(scope) {
  for (const figure of scope.querySelectorAll("figure[data-chart]")) {
    const source = figure.querySelector("script[type='application/json']");
    if (!source || DRAWN.has(figure)) continue;
    const chart = JSON.parse(source.textContent);
    const instance = echarts.init(figure.querySelector(".canvas"));
    instance.group = "page";
    instance.setOption(optionsOf(figure, chart));
    instance.on("click", { componentType: "markLine" }, ({ data }) => data.url && location.assign(data.url));
    if (chart.heat) leadFromCells(instance, figure.querySelector(".canvas"), chart);
    else if (chart.can_narrow) narrowByDragging(instance, figure.querySelector(".canvas"), chart);
    DRAWN.set(figure, { chart, instance });
    PLACES.observe(figure.querySelector(".canvas"));
  }
  echarts.connect("page");
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-chart-action]");
  if (!button) return;
  if (button.dataset.chartAction === "wide") return widen(button);
  const figure = button.closest("figure");
  const { chart } = DRAWN.get(figure);
  if (button.dataset.chartAction === "table") toggleTable(figure, chart);
  if (button.dataset.chartAction === "csv") {
    await navigator.clipboard.writeText(csv(chart));
    button.querySelector(".label").textContent = "Copied";
  }
});

// Lanes show the trace's own time, or half a minute more on both sides with that time shaded.
function widen(button) {
  const isWide = button.getAttribute("aria-pressed") !== "true";
  button.setAttribute("aria-pressed", String(isWide));
  for (const figure of button.closest(".gpu-strip").querySelectorAll("[data-lane]")) {
    figure.toggleAttribute("data-wide", isWide);
    const { chart, instance } = DRAWN.get(figure);
    instance.setOption(laneOptions(chart, isWide), true);
  }
}

function redraw() {
  for (const [figure, { chart, instance }] of DRAWN) instance.setOption(optionsOf(figure, chart), true);
}

// A chart follows its place, whether the window or what stands beside it changed.
const PLACES = new ResizeObserver((changes) => {
  for (const { target, contentRect } of changes) if (contentRect.width) DRAWN.get(target.closest("figure"))?.instance.resize();
});
document.addEventListener("themechange", redraw);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
document.addEventListener("DOMContentLoaded", () => drawAll(document));
// A fragment that comes later brings charts of its own.
document.addEventListener("htmx:load", ({ target }) => {
  if (window.echarts && target !== document.body) drawAll(target.parentElement || document);
});
