// Lists answer the keyboard: / searches, j and k move, Enter opens. A click anywhere on a row that leads somewhere opens it.
"use strict";

function listRows() {
  return [...document.querySelectorAll("main tbody tr")].filter((row) => (row.dataset.href || row.querySelector("a[href]")) && row.checkVisibility());
}

function moveBy(step) {
  const rows = listRows();
  if (!rows.length) return;
  const at = rows.findIndex((row) => row.classList.contains("current"));
  const next = rows[Math.min(Math.max(at + step, 0), rows.length - 1)];
  for (const row of rows) row.classList.toggle("current", row === next);
  // The focus goes with the mark: the row is read out, and Tab goes on from it.
  next.querySelector("a[href]")?.focus({ preventScroll: true });
  next.scrollIntoView({ block: "nearest" });
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = event.target.closest("input:not([type=checkbox]), textarea, select, dialog");
  if (event.key === "Escape" && typing) typing.blur();
  if (typing) return;
  const search = event.key === "/" && (document.getElementById("search") || document.querySelector("main input[type=search]"));
  if (search) {
    event.preventDefault();
    search.focus();
  }
  if (event.key === "j") moveBy(1);
  if (event.key === "k") moveBy(-1);
  // A link that has the focus is followed by the browser.
  if (event.key === "Enter" && !event.target.closest("a, button, summary")) {
    const row = document.querySelector("tr.current[data-href]");
    if (row) location.assign(row.dataset.href);
  }
});

// Where the filters stand above the list, they wait folded; until here the stylesheet shows them so.
document.addEventListener("DOMContentLoaded", () => {
  if (matchMedia("(max-width: 1100px)").matches) for (const panel of document.querySelectorAll(".facets details")) panel.open = false;
  document.querySelector(".facets")?.classList.add("folded");
});

document.addEventListener("click", (event) => {
  const row = event.target.closest("tr[data-href]");
  if (!row || event.target.closest("a, button, .tick") || getSelection().toString()) return;
  if (event.ctrlKey || event.metaKey) open(row.dataset.href, "_blank", "noopener");
  else location.assign(row.dataset.href);
});
