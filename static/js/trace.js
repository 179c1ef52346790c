// The trace page: the chosen span stays marked, j and k walk the spans, f folds, and Back shows the span of the address.
"use strict";

// Longer traces open with what lies deeper than this folded.
const LONG = 200;
const OPEN_DEPTH = 2;

function items() {
  return [...document.querySelectorAll("#waterfall > li")];
}

function depthOf(item) {
  return Number(item.dataset.depth);
}

// Hide every row under a folded one. Rows stand depth first, so one pass is enough.
function applyFolds() {
  let foldedAt = Infinity;
  for (const item of items()) {
    if (depthOf(item) <= foldedAt) foldedAt = Infinity;
    item.hidden = foldedAt !== Infinity;
    if (!item.hidden && item.querySelector(".fold")?.ariaExpanded === "false") foldedAt = depthOf(item);
  }
}

function toggleFold(button) {
  if (!button) return;
  button.ariaExpanded = button.ariaExpanded === "true" ? "false" : "true";
  applyFolds();
}

function reveal(item) {
  let depth = depthOf(item);
  for (let above = item.previousElementSibling; above && depth > 0; above = above.previousElementSibling) {
    if (depthOf(above) >= depth) continue;
    depth = depthOf(above);
    const button = above.querySelector(".fold");
    if (button) button.ariaExpanded = "true";
  }
  applyFolds();
}

function markSpan(spanId) {
  for (const row of document.querySelectorAll(".span-row")) {
    if (row.dataset.span === spanId) row.setAttribute("aria-current", "true");
    else row.removeAttribute("aria-current");
  }
}

document.addEventListener("click", (event) => {
  const fold = event.target.closest(".fold");
  if (fold) return toggleFold(fold);
  const row = event.target.closest(".span-row");
  if (row) markSpan(row.dataset.span);
});

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select")) return;
  const rows = [...document.querySelectorAll("#waterfall > li:not([hidden]) .span-row")];
  const at = rows.findIndex((row) => row.hasAttribute("aria-current"));
  if (event.key === "f") toggleFold(rows[at]?.parentElement.querySelector(".fold"));
  if (event.key !== "j" && event.key !== "k") return;
  const next = rows[Math.min(Math.max(at + (event.key === "j" ? 1 : -1), 0), rows.length - 1)];
  next?.scrollIntoView({ block: "nearest" });
  next?.click();
});

document.addEventListener("DOMContentLoaded", () => {
  if (items().length <= LONG) return;
  for (const item of items()) if (depthOf(item) >= OPEN_DEPTH) item.querySelector(".fold")?.setAttribute("aria-expanded", "false");
  applyFolds();
  const chosen = document.querySelector(".span-row[aria-current]");
  if (chosen) reveal(chosen.parentElement);
});

// The evidence comes after the page; a sentence that was opened meanwhile stays open.
let opened = [];

document.addEventListener("htmx:beforeSwap", ({ target }) => {
  if (target.matches(".sentences")) opened = [...target.querySelectorAll("details")].map((one) => one.open);
});

document.addEventListener("htmx:load", ({ target }) => {
  if (!target.matches(".sentences.complete")) return;
  for (const [number, one] of target.querySelectorAll("details").entries()) one.open = Boolean(opened[number]);
  opened = [];
});

// htmx keeps snapshots for Back; the mark has to follow them.
document.addEventListener("htmx:historyRestore", () => markSpan(new URL(location.href).searchParams.get("span")));
