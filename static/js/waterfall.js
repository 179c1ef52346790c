// The waterfall of a trace of any length: all rows come packed (dashboards/waterfall.py), and only those in sight are
// elements. Folding, searching, the critical path and the time that is looked at change which rows there are and where
// their bars stand; the server's own first rows stay until the packed ones have come.
"use strict";

// Where a packed row holds what.
const [ID, DEPTH, BELOW, NAME, KIND, MODEL, START, DURATION, TTFT, FLAGS, INPUT, OUTPUT, COST, PATH, PATH_FROM, PATH_TO] = Array(16).keys();
const FAILED = 1;
const ORPHAN = 2;
// Rows beyond the edges of what is in sight, so that scrolling shows no gap.
const SPARE = 30;
const TICKS = 5;
// A drag over less is a slip of the hand (pixels).
const SLIP = 4;

const waterfall = {
  card: null, scroller: null, list: null, words: [], rows: [], parents: [], length: 1,
  folded: new Set(), shown: [], places: new Map(), elements: new Map(),
  found: [], foundAt: -1, foundSet: new Set(), onlyPath: false, view: [0, 1], rowHeight: 32,
};

function say_count(value) {
  return value === null ? "–" : UNITS.count(value);
}

// The time that is looked at, in ns after the trace's start.
function span_of_view() {
  return [waterfall.view[0] * waterfall.length, waterfall.view[1] * waterfall.length];
}

function place_bar(element, start, length) {
  const [from, to] = span_of_view();
  const left = (100 * (start - from)) / (to - from);
  const right = (100 * (start + length - from)) / (to - from);
  const inside = right >= 0 && left <= 100;
  element.hidden = !inside;
  if (!inside) return;
  const begin = Math.min(Math.max(left, 0), 99.65);
  element.style.setProperty("--left", `${begin}%`);
  element.style.setProperty("--width", `${Math.max(Math.min(right, 100) - begin, 0.35)}%`);
}

function place_bars(item, row) {
  place_bar(item.querySelector(".bar"), row[START], row[DURATION] || 0);
  const path = item.querySelector(".on-path");
  if (path) place_bar(path, row[PATH_FROM], row[PATH_TO] - row[PATH_FROM]);
  const token = item.querySelector(".first-token");
  if (token) place_bar(token, row[START] + row[TTFT], 0);
}

function make_row(at) {
  const row = waterfall.rows[at];
  const item = document.getElementById("row-template").content.firstElementChild.cloneNode(true);
  const [name, kind, model] = [waterfall.words[row[NAME]], waterfall.words[row[KIND]], waterfall.words[row[MODEL]]];
  item.dataset.depth = row[DEPTH];
  item.dataset.at = at;
  item.style.setProperty("--depth", row[DEPTH]);
  item.setAttribute("aria-setsize", waterfall.shown.length);
  const fold = item.querySelector(".fold");
  if (row[BELOW]) {
    fold.setAttribute("aria-label", `The ${row[BELOW]} span${row[BELOW] === 1 ? "" : "s"} under ${name}`);
    fold.setAttribute("aria-expanded", String(!waterfall.folded.has(at)));
  } else fold.remove();
  const link = item.querySelector(".span-row");
  const address = `${waterfall.card.dataset.trace}?${waterfall.card.dataset.list}span=${row[ID]}`;
  link.className = `span-row kind-${kind}${row[FLAGS] & FAILED ? " failed" : ""}`;
  link.href = address;
  link.setAttribute("hx-get", `${waterfall.card.dataset.trace}/spans/${row[ID]}`);
  link.setAttribute("hx-push-url", address);
  link.dataset.span = row[ID];
  const label = item.querySelector(".span-name");
  label.title = model ? `${name} (${model})` : name;
  const icon = label.querySelector(".kind-icon use");
  icon.setAttribute("href", icon.getAttribute("href").replace(/#.*/, `#${kind}`));
  label.querySelector(".visually-hidden").textContent = kind;
  label.querySelector("b").textContent = name;
  label.querySelector(".model").textContent = model;
  if (!(row[FLAGS] & ORPHAN)) label.querySelector(".orphan").remove();
  if (!(row[FLAGS] & FAILED)) label.querySelector(".failure").remove();
  const path = item.querySelector(".on-path");
  if (row[PATH]) path.title = `On the critical path, ${write("ns", row[PATH])} in itself`;
  else path.remove();
  const token = item.querySelector(".first-token");
  if (row[TTFT] === null) token.remove();
  else token.title = `First token after ${write("ns", row[TTFT])}`;
  if (row[INPUT] !== null || row[OUTPUT] !== null) {
    const cost = row[COST] === null ? "" : ` · ${UNITS.usd(row[COST])}`;
    item.querySelector(".span-usage").textContent = `${say_count(row[INPUT])} → ${say_count(row[OUTPUT])}${cost}`;
  }
  item.querySelector(".span-time").textContent = write("ns", row[DURATION]);
  return item;
}

function mark_row(item, at) {
  const link = item.querySelector(".span-row");
  const isChosen = waterfall.rows[at][ID] === chosen_span();
  if (isChosen) link.setAttribute("aria-current", "true");
  else link.removeAttribute("aria-current");
  item.classList.toggle("found", waterfall.foundSet.has(at));
  item.setAttribute("aria-posinset", waterfall.places.get(at) + 1);
}

// The chosen span's id: of the row that was last clicked, or the address, or the first that the server chose.
function chosen_span() {
  return waterfall.card.dataset.chosen;
}

// Make the rows in sight, drop the others, and keep those that stay: focus and listeners are theirs.
function draw_rows() {
  const { scroller, list, shown, elements, rowHeight } = waterfall;
  const first = Math.max(Math.floor(scroller.scrollTop / rowHeight) - SPARE, 0);
  const last = Math.min(Math.ceil((scroller.scrollTop + scroller.clientHeight) / rowHeight) + SPARE, shown.length);
  const wanted = new Set(shown.slice(first, last));
  for (const [at, item] of elements) {
    if (wanted.has(at)) continue;
    item.remove();
    elements.delete(at);
  }
  let before = null;
  for (let place = last - 1; place >= first; place -= 1) {
    const at = shown[place];
    let item = elements.get(at);
    if (!item) {
      item = make_row(at);
      elements.set(at, item);
      list.insertBefore(item, before);
      place_bars(item, waterfall.rows[at]);
      htmx.process(item);
    } else if (item.nextElementSibling !== before) list.insertBefore(item, before);
    mark_row(item, at);
    before = item;
  }
  list.style.paddingTop = `${first * rowHeight}px`;
  list.style.paddingBottom = `${(shown.length - last) * rowHeight}px`;
}

// Which rows there are, by what is folded and chosen. Rows stand depth first, so a fold skips the rows below.
function choose_rows() {
  const shown = [];
  for (let at = 0; at < waterfall.rows.length; at += 1) {
    const row = waterfall.rows[at];
    if (waterfall.onlyPath && !row[PATH]) continue;
    shown.push(at);
    if (!waterfall.onlyPath && waterfall.folded.has(at)) at += row[BELOW];
  }
  waterfall.shown = shown;
  waterfall.places = new Map(shown.map((at, place) => [at, place]));
  draw_rows();
}

function redraw_rows() {
  for (const item of waterfall.elements.values()) item.remove();
  waterfall.elements.clear();
  choose_rows();
}

function reveal_row(at) {
  let changed = false;
  for (let above = waterfall.parents[at]; above >= 0; above = waterfall.parents[above]) changed = waterfall.folded.delete(above) || changed;
  if (changed || !waterfall.places.has(at)) redraw_rows();
  const place = waterfall.places.get(at);
  if (place === undefined) return;
  const { scroller, rowHeight } = waterfall;
  const top = place * rowHeight;
  if (top < scroller.scrollTop || top + rowHeight > scroller.scrollTop + scroller.clientHeight) scroller.scrollTop = Math.max(top - scroller.clientHeight / 3, 0);
  draw_rows();
}

function fold_row(at) {
  if (at === undefined || !waterfall.rows[at]?.[BELOW]) return;
  if (!waterfall.folded.delete(at)) waterfall.folded.add(at);
  waterfall.elements.get(at)?.querySelector(".fold")?.setAttribute("aria-expanded", String(!waterfall.folded.has(at)));
  choose_rows();
}

function place_of_chosen() {
  return waterfall.places.get(waterfall.rows.findIndex((row) => row[ID] === chosen_span()));
}

// Choose the row so many places on, as a click on it would.
function step_rows(step) {
  const place = Math.min(Math.max((place_of_chosen() ?? -1) + step, 0), waterfall.shown.length - 1);
  const at = waterfall.shown[place];
  if (at === undefined) return;
  reveal_row(at);
  waterfall.elements.get(at)?.querySelector(".span-row").click();
}

// What changes without a request of its own stands in the address all the same.
function keep_in_address(name, value) {
  const address = new URL(location.href);
  if (value) address.searchParams.set(name, value);
  else address.searchParams.delete(name);
  history.replaceState(history.state, "", address);
}

// ---- Search ----

async function find_in_trace(text) {
  const count = document.getElementById("find-count");
  keep_in_address("find", text);
  let ids = [];
  if (text) {
    const answer = await fetch(`${waterfall.card.dataset.found}?find=${encodeURIComponent(text)}`);
    if (!answer.ok) return say("The trace could not be searched. Try again in some seconds.");
    ids = (await answer.json()).spans;
  }
  const places = new Map(waterfall.rows.map((row, at) => [row[ID], at]));
  waterfall.found = ids.map((id) => places.get(id)).filter((at) => at !== undefined).sort((one, other) => one - other);
  waterfall.foundSet = new Set(waterfall.found);
  waterfall.foundAt = -1;
  count.textContent = text && !waterfall.found.length ? "no span" : "";
  draw_map();
  if (waterfall.found.length) step_found(1);
  else draw_rows();
}

function step_found(step) {
  const many = waterfall.found.length;
  if (!many) return;
  waterfall.foundAt = (waterfall.foundAt + step + many) % many;
  document.getElementById("find-count").textContent = `${waterfall.foundAt + 1} of ${many}`;
  const at = waterfall.found[waterfall.foundAt];
  reveal_row(at);
  waterfall.elements.get(at)?.querySelector(".span-row").click();
}

// ---- The time that is looked at ----

function draw_axis() {
  const [from, to] = span_of_view();
  const ticks = Array.from({ length: TICKS }, (_, index) => {
    const tick = document.createElement("span");
    tick.style.setProperty("--left", `${(100 * index) / TICKS}%`);
    tick.textContent = write("ns", from + ((to - from) * index) / TICKS);
    return tick;
  });
  document.getElementById("axis").replaceChildren(...ticks);
}

function draw_map(dragged) {
  const canvas = document.getElementById("minimap");
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  const scale = devicePixelRatio || 1;
  canvas.width = width * scale;
  canvas.height = height * scale;
  const pen = canvas.getContext("2d");
  pen.scale(scale, scale);
  const deepest = waterfall.rows.reduce((most, row) => Math.max(most, row[DEPTH]), 0) + 1;
  const lane = height / Math.min(deepest, 12);
  const hues = new Map();
  const hue = (word) => {
    if (!hues.has(word)) hues.set(word, token(`--hue-${waterfall.words[word]}`) || token("--hue-other"));
    return hues.get(word);
  };
  const bad = token("--bad");
  const hits = token("--text");
  for (let at = 0; at < waterfall.rows.length; at += 1) {
    const row = waterfall.rows[at];
    const left = (row[START] / waterfall.length) * width;
    const long = Math.max(((row[DURATION] || 0) / waterfall.length) * width, 1);
    const top = Math.min(row[DEPTH], 11) * lane;
    pen.fillStyle = row[FLAGS] & FAILED ? bad : hue(row[KIND]);
    pen.fillRect(left, top, long, Math.max(lane - 1, 1));
    if (!waterfall.foundSet.has(at)) continue;
    pen.fillStyle = hits;
    pen.fillRect(left, 0, 2, height);
  }
  const [from, to] = dragged || waterfall.view;
  if (from === 0 && to === 1) return;
  pen.fillStyle = token("--bg");
  pen.globalAlpha = 0.75;
  pen.fillRect(0, 0, from * width, height);
  pen.fillRect(to * width, 0, (1 - to) * width, height);
}

function look_at(from, to) {
  waterfall.view = [from, to];
  document.getElementById("whole").hidden = from === 0 && to === 1;
  for (const [at, item] of waterfall.elements) place_bars(item, waterfall.rows[at]);
  draw_axis();
  draw_map();
  keep_in_address("view", from === 0 && to === 1 ? "" : `${from.toFixed(6)}-${to.toFixed(6)}`);
  zoom_lanes();
}

// The lanes of GPUs and engines stand on the same axis (charts.js draws them).
function zoom_lanes() {
  if (waterfall.view[0] === 0 && waterfall.view[1] === 1 && !waterfall.zoomed) return;
  waterfall.zoomed = true;
  for (const [figure, { chart, instance }] of DRAWN) {
    if (!("lane" in figure.dataset)) continue;
    const [start, end] = chart.window_ms;
    chart.range_ms = waterfall.view.map((share) => start + share * (end - start));
    instance.setOption(optionsOf(figure, chart), true);
  }
}

function drag_on_map() {
  const canvas = document.getElementById("minimap");
  let from = null;
  const share = (event) => Math.min(Math.max((event.clientX - canvas.getBoundingClientRect().left) / canvas.clientWidth, 0), 1);
  canvas.addEventListener("pointerdown", (event) => {
    from = share(event);
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (from !== null) draw_map([from, share(event)].sort((one, other) => one - other));
  });
  canvas.addEventListener("pointerup", (event) => {
    const ends = [from, share(event)].sort((one, other) => one - other);
    from = null;
    if ((ends[1] - ends[0]) * canvas.clientWidth > SLIP) look_at(...ends);
    else draw_map();
  });
  canvas.addEventListener("dblclick", () => look_at(0, 1));
}

// ---- Start ----

function open_rows({ words, rows, length_ns: length, long, open_depth: openDepth }) {
  Object.assign(waterfall, { words, rows, length });
  const above = [];
  waterfall.parents = rows.map((row, at) => {
    above.length = row[DEPTH];
    above.push(at);
    return row[DEPTH] ? above[row[DEPTH] - 1] : -1;
  });
  if (rows.length > long) rows.forEach((row, at) => row[DEPTH] >= openDepth && row[BELOW] && waterfall.folded.add(at));
  waterfall.list.replaceChildren();
  const given = new URL(location.href).searchParams;
  const [from, to] = (given.get("view") || "").split("-").map(Number);
  if (from >= 0 && to <= 1 && from < to) waterfall.view = [from, to];
  choose_rows();
  const chosen = rows.findIndex((row) => row[ID] === chosen_span());
  if (chosen >= 0) reveal_row(chosen);
  draw_map();
  if (waterfall.view[1] - waterfall.view[0] < 1) look_at(...waterfall.view);
  if (given.get("find")) find_in_trace(given.get("find"));
  waterfall.card.dataset.ready = "";
}

function fold_all(button) {
  const fold = waterfall.folded.size === 0;
  waterfall.folded = new Set(fold ? waterfall.rows.flatMap((row, at) => (row[BELOW] ? [at] : [])) : []);
  button.textContent = fold ? "Unfold all" : "Fold all";
  redraw_rows();
}

// Also after Back, when htmx has put an older copy of the page in place: the packed rows are here already then.
async function begin() {
  const card = document.getElementById("waterfall-card");
  if (!card) return;
  Object.assign(waterfall, { card, scroller: document.getElementById("rows"), list: document.getElementById("waterfall") });
  waterfall.elements.clear();
  waterfall.folded.clear();
  const inAddress = new URL(location.href).searchParams.get("span");
  card.dataset.chosen = inAddress || card.querySelector(".span-row[aria-current]")?.dataset.span || "";
  const height = card.querySelector(".span-row")?.offsetHeight;
  if (height) waterfall.rowHeight = height;
  waterfall.scroller.addEventListener("scroll", () => requestAnimationFrame(draw_rows), { passive: true });
  drag_on_map();
  if (waterfall.packed?.address !== card.dataset.rows) {
    const answer = await fetch(card.dataset.rows);
    if (!answer.ok) return say("The spans could not be loaded. Try again in some seconds.");
    waterfall.packed = { ...(await answer.json()), address: card.dataset.rows };
  }
  open_rows(waterfall.packed);
}

document.addEventListener("DOMContentLoaded", begin);
document.addEventListener("htmx:historyRestore", begin);
document.addEventListener("themechange", () => waterfall.rows.length && draw_map());
addEventListener("resize", () => {
  if (!waterfall.rows.length) return;
  draw_rows();
  draw_map();
});

document.addEventListener("click", (event) => {
  const fold = event.target.closest(".fold");
  if (fold) return fold_row(Number(fold.parentElement.dataset.at));
  if (event.target.closest("#fold-all")) return fold_all(event.target.closest("#fold-all"));
  if (event.target.closest("#whole")) return look_at(0, 1);
  const path = event.target.closest("#only-path");
  if (path) {
    waterfall.onlyPath = !waterfall.onlyPath;
    path.setAttribute("aria-pressed", String(waterfall.onlyPath));
    waterfall.scroller.scrollTop = 0;
    redraw_rows();
  }
});

let finding;
document.addEventListener("input", (event) => {
  if (event.target.id !== "search") return;
  clearTimeout(finding);
  finding = setTimeout(() => find_in_trace(event.target.value.trim()), 250);
});

document.addEventListener("submit", (event) => {
  if (event.target.id === "find-form") event.preventDefault();
});

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.id === "search") {
    if (event.key === "Enter") {
      event.preventDefault();
      step_found(event.shiftKey ? -1 : 1);
    }
    if (event.key === "Escape") event.target.blur();
    return;
  }
  if (event.target.closest("input, textarea, select")) return;
  if (event.key === "/") {
    event.preventDefault();
    document.getElementById("search")?.focus();
  }
  if (event.key === "f") fold_row(waterfall.shown[place_of_chosen()]);
  if (event.key === "j") step_rows(1);
  if (event.key === "k") step_rows(-1);
});
