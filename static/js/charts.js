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

function colour(series, index, chart) {
  if (series.strength === "bad") return token("--bad");
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

// What happened, as lines with words: of marks that crowd, the first carries the words of all.
function marked(chart) {
  const [from, to] = chart.range_ms || [chart.times_ms[0], chart.times_ms[chart.times_ms.length - 1]];
  const near = (to - from) * 0.12;
  const groups = [];
  for (const mark of chart.marks) {
    const last = groups[groups.length - 1];
    if (last && mark.at_ms - last[0].at_ms < near) last.push(mark);
    else groups.push([mark]);
  }
  const words = new Map(groups.map((group) => [group[0], [...new Set(group.map((mark) => mark.words))].slice(0, 3).join(", ")]));
  const line = (mark) => {
    const hue = token(mark.is_bad ? "--bad" : "--line-strong");
    const label = { show: words.has(mark), formatter: words.get(mark), position: "end", distance: 3, fontSize: 12, color: token(mark.is_bad ? "--bad" : "--muted") };
    return { xAxis: mark.at_ms, name: mark.words, lineStyle: { color: hue, type: mark.is_bad ? "solid" : "dashed", width: 1 }, label };
  };
  return { symbol: "none", animation: false, data: chart.marks.map(line), tooltip: { show: true, formatter: (one) => one.name } };
}

function options(chart) {
  const text = { color: token("--muted"), fontFamily: getComputedStyle(document.body).fontFamily, fontSize: 12 };
  const window_ = chart.window_ms && { silent: true, itemStyle: { color: token("--accent"), opacity: 0.14 }, data: [[{ xAxis: chart.window_ms[0] }, { xAxis: chart.window_ms[1] }]] };
  const series = chart.series.flatMap((one, index) => drawn(chart, one, index));
  if (window_ && series.length) series[0].markArea = window_;
  if (chart.marks.length && series.length) series[0].markLine = marked(chart);
  const named = chart.series.length > 1 || chart.is_named;
  return {
    grid: { left: 8, right: chart.range_ms ? 12 : 28, top: (named ? 28 : 12) + (chart.marks.length ? 14 : 0), bottom: 4, containLabel: true },
    legend: named ? { type: "scroll", top: 0, left: 0, itemWidth: 12, itemHeight: 8, icon: "roundRect", textStyle: text, selectedMode: true, data: chart.series.map((one) => one.name) } : undefined,
    tooltip: {
      trigger: "axis",
      backgroundColor: token("--raised"),
      borderColor: token("--line"),
      textStyle: { color: token("--text"), fontSize: 12 },
      valueFormatter: (value) => write(chart.unit, value),
      axisPointer: { type: "line", lineStyle: { color: token("--line-strong") } },
    },
    xAxis: { type: "time", min: chart.range_ms?.[0], max: chart.range_ms?.[1], splitNumber: 4, axisLabel: { ...text, hideOverlap: true, showMinLabel: false, showMaxLabel: false, formatter: { day: "{MMM} {d}", hour: "{HH}:{mm}", minute: "{HH}:{mm}", second: "{HH}:{mm}:{ss}" } }, axisLine: { lineStyle: { color: token("--line") } }, splitLine: { show: false } },
    yAxis: { type: "value", min: 0, max: chart.maximum ?? undefined, interval: chart.maximum ? chart.maximum / 2 : undefined, splitNumber: 3, axisLabel: { ...text, formatter: (value) => write(chart.unit, value) }, splitLine: { lineStyle: { color: token("--line") } } },
    series,
  };
}

// A lane has no axes of its own: it stands under the waterfall's, with its name on the left and its highest value on the right.
function laneOptions(chart, isWide) {
  const full = options({ ...chart, window_ms: isWide ? chart.window_ms : null });
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
  return "lane" in figure.dataset ? laneOptions(chart, "wide" in figure.dataset) : options(chart);
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
    place.replaceChildren(element);
  }
  place.hidden = !place.hidden;
  canvas.hidden = !place.hidden;
  if (!canvas.hidden) DRAWN.get(figure)?.instance.resize();
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
    if (chart.can_narrow) narrowByDragging(instance, figure.querySelector(".canvas"), chart);
    DRAWN.set(figure, { chart, instance });
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

addEventListener("resize", () => DRAWN.forEach(({ instance }) => instance.resize()));
document.addEventListener("themechange", redraw);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
document.addEventListener("DOMContentLoaded", () => drawAll(document));
// A fragment that comes later brings charts of its own.
document.addEventListener("htmx:load", ({ target }) => {
  if (window.echarts && target !== document.body) drawAll(target.parentElement || document);
});
