// The trace page: the chosen span stays marked, j and k walk the spans, and Back shows the span of the address.
"use strict";

function markSpan(spanId) {
  for (const row of document.querySelectorAll(".span-row")) {
    if (row.dataset.span === spanId) row.setAttribute("aria-current", "true");
    else row.removeAttribute("aria-current");
  }
}

document.addEventListener("click", (event) => {
  const row = event.target.closest(".span-row");
  if (row) markSpan(row.dataset.span);
});

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select")) return;
  if (event.key !== "j" && event.key !== "k") return;
  const rows = [...document.querySelectorAll(".span-row")];
  const at = rows.findIndex((row) => row.hasAttribute("aria-current"));
  const next = rows[Math.min(Math.max(at + (event.key === "j" ? 1 : -1), 0), rows.length - 1)];
  next?.scrollIntoView({ block: "nearest" });
  next?.click();
});

// htmx keeps snapshots for Back; the mark has to follow them.
document.addEventListener("htmx:historyRestore", () => markSpan(new URL(location.href).searchParams.get("span")));
