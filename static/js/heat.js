// Draws counts by time and band as cells, and leads from cells to the traces in them: by mouse, by key and in the table.
"use strict";

// The cells with something in them, in the order of time and then of the band: [start, end, band, count, log of it].
function cellsOf(chart) {
  const { step_ms: step, ends_ms: [first, last] } = chart.heat;
  return chart.times_ms.flatMap((time, at) =>
    chart.series.flatMap(({ values }, band) => (values[at] ? [[Math.max(time, first), Math.min(time + step, last), band, values[at], Math.log(values[at])]] : []))
  );
}

// The list of traces from the start of one cell to the end of another, from one band to another.
function addressOf(chart, [start, end], [low, high]) {
  const { url, terms } = chart.heat;
  const address = new URL(url, location);
  const text = [address.searchParams.get("q"), terms[low][0], terms[high][1]].filter(Boolean).join(" ");
  address.searchParams.set("q", text);
  address.searchParams.set("from", new Date(start).toISOString());
  address.searchParams.set("to", new Date(end).toISOString());
  return `${address.pathname}${address.search}`;
}

function addressOfCell(chart, [start, end, band]) {
  return addressOf(chart, [start, end], [band, band]);
}

function wordsOfCell(chart, [start, end, band, count]) {
  const [first, last] = chart.heat.ends_ms;
  const day = last - first > 864e5 ? { month: "short", day: "numeric" } : {};
  const clock = (time) => new Date(time).toLocaleString([], { ...day, hour: "2-digit", minute: "2-digit" });
  return `${clock(start)} – ${clock(end)}, ${chart.series[band].name}: ${countOfCell(chart, [start, end, band, count])} request${count === 1 ? "" : "s"}`;
}

// A digest of many durations is an estimate.
function countOfCell(chart, [start, , , count]) {
  const at = chart.times_ms.findLastIndex((time) => time <= start);
  const isExact = chart.series.reduce((sum, { values }) => sum + values[at], 0) <= chart.heat.exact;
  return `${isExact ? "" : "~"}${write(chart.unit, count)}`;
}

// `base` are the options of a chart of lines, whose axis of time and whose looks are kept.
function heatOptions(chart, base, width) {
  const { edges, unit } = chart.heat;
  const cells = cellsOf(chart);
  const most = Math.max(...cells.map((cell) => cell[3]));
  const text = base.yAxis.axisLabel;
  const drawCell = ({ coordSys }, api) => {
    const [left, bottom] = api.coord([api.value(0), api.value(2)]);
    const [right, top] = api.coord([api.value(1), api.value(2) + 1]);
    const shape = echarts.graphic.clipRectByRect({ x: left, y: top, width: Math.max(right - left - 0.5, 1), height: Math.max(bottom - top - 0.5, 1) }, coordSys);
    return shape && { type: "rect", shape, style: { fill: api.visual("color") }, emphasis: { style: { stroke: token("--text"), lineWidth: 1.5 } } };
  };
  const drawn = { type: "custom", renderItem: drawCell, data: cells, encode: { x: [0, 1], y: 2, tooltip: 3 }, animation: false };
  if (chart.marks.length) drawn.markLine = marked(chart, width);
  return {
    ...base,
    grid: { ...base.grid, top: base.grid.top + 18 },
    legend: undefined,
    visualMap: { type: "continuous", dimension: 4, min: 0, max: Math.max(Math.log(most), 0.1), inRange: { color: [token("--series-1")], colorAlpha: [0.22, 1] }, orient: "horizontal", right: 8, top: -6, itemWidth: 8, itemHeight: 72, textStyle: text, text: [write(chart.unit, most), "1"], textGap: 6, hoverLink: false },
    tooltip: { ...base.tooltip, trigger: "item", formatter: ({ data }) => (Array.isArray(data) ? wordsOfCell(chart, data) : "") },
    yAxis: { type: "value", min: 0, max: edges.length - 1, interval: Math.max(1, Math.ceil((edges.length - 1) / 5)), axisLabel: { ...text, showMaxLabel: false, formatter: (at) => write(unit, edges[at] ?? null) }, splitLine: base.yAxis.splitLine },
    series: [drawn],
  };
}

function leadFromCells(instance, canvas, chart) {
  const area = instance.getZr();
  const cells = cellsOf(chart);
  const { edges, ends_ms: [first, last], step_ms: step } = chart.heat;
  const starts = chart.times_ms;
  const cellAt = ({ offsetX, offsetY }) => {
    const [time, row] = instance.convertFromPixel({ gridIndex: 0 }, [offsetX, offsetY]);
    const column = Math.min(Math.max(Math.floor((time - starts[0]) / step), 0), starts.length - 1);
    return { column, band: Math.min(Math.max(Math.floor(row), 0), edges.length - 2) };
  };
  let from = null;
  area.on("mousedown", (event) => {
    if (instance.containPixel("grid", [event.offsetX, event.offsetY])) from = event;
  });
  area.on("mousemove", (event) => {
    if (from === null) return;
    const [x, y] = [Math.min(from.offsetX, event.offsetX), Math.min(from.offsetY, event.offsetY)];
    const shape = { x, y, width: Math.abs(event.offsetX - from.offsetX), height: Math.abs(event.offsetY - from.offsetY) };
    instance.setOption({ graphic: [{ id: "chosen", type: "rect", silent: true, z: 100, shape, style: { fill: token("--accent"), opacity: 0.18, stroke: token("--accent"), lineWidth: 1 } }] });
  });
  area.on("mouseup", (event) => {
    if (from === null) return;
    const [one, other] = [cellAt(from), cellAt(event)];
    from = null;
    const columns = [Math.min(one.column, other.column), Math.max(one.column, other.column)];
    const bands = [Math.min(one.band, other.band), Math.max(one.band, other.band)];
    const inside = cells.some(([start, , band]) => start >= Math.max(starts[columns[0]], first) && start <= starts[columns[1]] && band >= bands[0] && band <= bands[1]);
    if (inside) location.assign(addressOf(chart, [Math.max(starts[columns[0]], first), Math.min(starts[columns[1]] + step, last)], bands));
    else instance.setOption({ graphic: [{ id: "chosen", $action: "remove" }] });
  });
  leadByKeys(instance, canvas, chart, cells);
}

// Left and right go to the nearest cell of another column, up and down stay in the column; the words are read out.
function leadByKeys(instance, canvas, chart, cells) {
  let at = -1;
  const next = {
    ArrowRight: ([start, , band]) => nearest(cells.filter((cell) => cell[0] > start), band, 1),
    ArrowLeft: ([start, , band]) => nearest(cells.filter((cell) => cell[0] < start), band, -1),
    ArrowUp: ([start, , band]) => cells.find((cell) => cell[0] === start && cell[2] > band),
    ArrowDown: ([start, , band]) => cells.findLast((cell) => cell[0] === start && cell[2] < band),
  };
  const nearest = (those, band, way) => {
    if (!those.length) return undefined;
    const column = those.at(way > 0 ? 0 : -1)[0];
    return those.filter((cell) => cell[0] === column).sort((one, other) => Math.abs(one[2] - band) - Math.abs(other[2] - band))[0];
  };
  canvas.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && at >= 0) return location.assign(addressOfCell(chart, cells[at]));
    if (!next[event.key]) return;
    event.preventDefault();
    instance.dispatchAction({ type: "downplay", seriesIndex: 0 });
    // The latest column's slowest first: that is what somebody on call looks for.
    const chosen = at < 0 ? cells.at(-1) : next[event.key](cells[at]);
    if (chosen) at = cells.indexOf(chosen);
    instance.dispatchAction({ type: "highlight", seriesIndex: 0, dataIndex: at });
    instance.dispatchAction({ type: "showTip", seriesIndex: 0, dataIndex: at });
    canvas.closest("figure").querySelector("[data-said]").textContent = wordsOfCell(chart, cells[at]);
  });
}

// The counts of a table become links to the traces that they count.
function linkCells(element, chart) {
  const columns = new Map(chart.times_ms.map((time, at) => [Math.max(time, chart.heat.ends_ms[0]), at]));
  for (const cell of cellsOf(chart)) {
    const place = element.rows[columns.get(cell[0]) + 1].cells[cell[2] + 1];
    const link = document.createElement("a");
    link.href = addressOfCell(chart, cell);
    link.textContent = countOfCell(chart, cell);
    link.setAttribute("aria-label", `Traces of ${wordsOfCell(chart, cell)}`);
    place.replaceChildren(link);
  }
}
