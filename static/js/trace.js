// The trace page beside its waterfall: the chosen span stays marked, Back shows the span of the address, copies are made.
"use strict";

function markSpan(spanId) {
  const card = document.getElementById("waterfall-card");
  if (!card) return;
  if (spanId) card.dataset.chosen = spanId;
  for (const row of card.querySelectorAll(".span-row")) {
    if (row.dataset.span === card.dataset.chosen) row.setAttribute("aria-current", "true");
    else row.removeAttribute("aria-current");
  }
}

document.addEventListener("click", async (event) => {
  const row = event.target.closest(".span-row");
  if (row) markSpan(row.dataset.span);
  const copy = event.target.closest("[data-copy-json]");
  if (!copy) return;
  const answer = await fetch(copy.dataset.copyJson);
  if (!answer.ok) return say("The trace could not be read. Try again in some seconds.");
  await navigator.clipboard.writeText(JSON.stringify(await answer.json(), null, 2));
  copy.querySelector(".label").textContent = "Copied";
});

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select")) return;
  document.querySelector(`[data-trace-key="${CSS.escape(event.key)}"]`)?.click();
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
