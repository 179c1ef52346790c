// The filter box completes, chosen rows get what is done with many, and new traces arrive at the top.
"use strict";

const box = document.getElementById("search");
const choices = document.getElementById("completions");
let asked = 0;
let chosenAt = -1;

function closeChoices() {
  choices.hidden = true;
  choices.replaceChildren();
  chosenAt = -1;
  box.setAttribute("aria-expanded", "false");
  box.removeAttribute("aria-activedescendant");
}

function mark(at) {
  const options = [...choices.children];
  chosenAt = (at + options.length) % options.length;
  options.forEach((option, place) => option.setAttribute("aria-selected", String(place === chosenAt)));
  options[chosenAt].scrollIntoView({ block: "nearest" });
  box.setAttribute("aria-activedescendant", options[chosenAt].id);
}

function accept(option) {
  const { text, start, end } = option.dataset;
  box.setRangeText(text, Number(start), Number(end), "end");
  closeChoices();
  box.focus();
  if (!text.endsWith(" ")) ask();
}

async function ask() {
  const turn = ++asked;
  const address = new URL(box.dataset.complete, location);
  const here = new URLSearchParams(location.search);
  for (const name of ["range", "from", "to"]) if (here.get(name)) address.searchParams.set(name, here.get(name));
  address.searchParams.set("q", box.value);
  address.searchParams.set("at", box.selectionStart);
  const answer = await fetch(address, { headers: { "HX-Request": "true" } }).catch(() => null);
  // A later letter asked anew, or the reader went on.
  if (turn !== asked || document.activeElement !== box || !answer?.ok || answer.redirected) return;
  choices.innerHTML = await answer.text();
  chosenAt = -1;
  choices.hidden = !choices.children.length;
  box.setAttribute("aria-expanded", String(!choices.hidden));
}

let soon;
if (box) {
  box.addEventListener("input", () => {
    clearTimeout(soon);
    soon = setTimeout(ask, 120);
  });
  box.addEventListener("keydown", (event) => {
    if (event.key === " " && event.ctrlKey) {
      event.preventDefault();
      return ask();
    }
    if (choices.hidden) return;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      mark(event.key === "ArrowDown" ? chosenAt + 1 : Math.max(chosenAt, 0) - 1);
    } else if ((event.key === "Enter" && chosenAt >= 0) || (event.key === "Tab" && (chosenAt >= 0 || choices.children[0].dataset.start !== choices.children[0].dataset.end))) {
      event.preventDefault();
      accept(choices.children[Math.max(chosenAt, 0)]);
    } else if (event.key === "Escape") {
      event.stopPropagation();
      closeChoices();
    }
  });
  box.addEventListener("blur", () => setTimeout(closeChoices, 150));
  choices.addEventListener("mousedown", (event) => {
    event.preventDefault();
    const option = event.target.closest("[role=option]");
    if (option) accept(option);
  });
}

// Rows that are ticked.
const bulk = document.getElementById("bulk-bar");

function ticks() {
  return [...document.querySelectorAll("#traces input[name=item]")];
}

function showBulk() {
  const count = ticks().filter((tick) => tick.checked).length;
  bulk.hidden = !count;
  bulk.querySelector("[data-count]").textContent = `${count} selected`;
}

document.addEventListener("change", (event) => {
  if (event.target.matches("[data-all]")) for (const tick of ticks()) tick.checked = event.target.checked;
  if (event.target.closest("#traces")) showBulk();
});
// Of two forms, the boxes belong to the one that exports; the other takes the ticked ones along as it is sent.
document.addEventListener("submit", (event) => {
  if (!event.target.matches("[data-with-ticks]")) return;
  for (const tick of ticks()) if (tick.checked) event.target.append(Object.assign(document.createElement("input"), { type: "hidden", name: "item", value: tick.value }));
});
document.addEventListener("click", (event) => {
  if (!event.target.closest("[data-clear]")) return;
  for (const tick of document.querySelectorAll("#traces input[type=checkbox]")) tick.checked = false;
  showBulk();
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "x" || event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input:not([type=checkbox]), textarea, select")) return;
  const tick = document.querySelector("tr.current input[name=item]");
  if (!tick) return;
  tick.checked = !tick.checked;
  showBulk();
});

// The tail: asks every two seconds while it is on, the page is seen and no pointer is over the list.
const LIVE_MS = 2000;
// A page that is left on for a night shows the latest and forgets the others.
const MOST_ROWS = 300;
const switch_ = document.getElementById("live");
const rows = document.getElementById("trace-rows");
let since = "0";
let timer;
let isOver = false;

async function look() {
  if (!document.hidden && !isOver) {
    const address = new URL(switch_.dataset.url, location);
    for (const [name, value] of new URLSearchParams(location.search)) if (!["range", "from", "to", "cursor"].includes(name)) address.searchParams.append(name, value);
    address.searchParams.set("since", since);
    await htmx.ajax("GET", `${address.pathname}${address.search}`, { target: "#trace-rows", swap: "afterbegin" }).catch(() => null);
  }
  if (switch_.getAttribute("aria-pressed") === "true") timer = setTimeout(look, LIVE_MS);
}

function tidy() {
  const seen = new Set();
  for (const row of [...rows.querySelectorAll("tr[data-trace]")]) {
    const { trace } = row.dataset;
    if (seen.has(trace) || seen.size >= MOST_ROWS) row.remove();
    seen.add(trace);
  }
  showBulk();
}

// Ticks stay with their traces when a row comes again.
let ticked = new Set();
document.addEventListener("htmx:beforeSwap", (event) => {
  if (event.detail.target === rows) ticked = new Set(ticks().filter((tick) => tick.checked).map((tick) => tick.value));
});
document.addEventListener("heliograph:live", (event) => {
  since = event.detail.since;
  for (const tick of ticks()) if (ticked.has(tick.value)) tick.checked = true;
  tidy();
});

switch_?.addEventListener("click", () => {
  const isOn = switch_.getAttribute("aria-pressed") !== "true";
  switch_.setAttribute("aria-pressed", String(isOn));
  switch_.textContent = isOn ? "Live · pause" : "Live";
  clearTimeout(timer);
  // Nothing was listed yet: the page has no table to put rows into until one has come.
  if (isOn && !rows) return location.reload();
  if (isOn) {
    since = "0";
    look();
  }
});
rows?.addEventListener("pointerenter", () => (isOver = true));
rows?.addEventListener("pointerleave", () => (isOver = false));
