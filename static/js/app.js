// The theme switch, and times in the reader's own zone. Everything else is the server's.
"use strict";

const root = document.documentElement;

function applyTheme(theme) {
  if (theme) root.dataset.theme = theme;
  else delete root.dataset.theme;
}

applyTheme(localStorage.getItem("theme"));

function currentTheme() {
  return root.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-action]");
  if (!button) return;
  if (button.dataset.action === "theme") {
    const theme = currentTheme() === "dark" ? "light" : "dark";
    localStorage.setItem("theme", theme);
    applyTheme(theme);
    document.dispatchEvent(new CustomEvent("themechange"));
  }
  if (button.dataset.action === "copy") {
    navigator.clipboard.writeText(button.dataset.copy || document.getElementById(button.dataset.from).textContent);
    const label = button.querySelector(".label");
    if (label) label.textContent = "Copied";
  }
});

document.addEventListener("change", (event) => {
  const select = event.target.closest("select[data-navigate]");
  if (select) location.assign(select.value);
});

const TIME = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit" });

function localTimes(scope) {
  for (const element of scope.querySelectorAll("time[datetime]:not([data-local])")) {
    const at = new Date(element.dateTime);
    if (Number.isNaN(at.getTime())) continue;
    element.title = element.title || `${element.dateTime} (UTC)`;
    element.textContent = TIME.format(at);
    element.dataset.local = "";
  }
}

document.addEventListener("DOMContentLoaded", () => localTimes(document));
document.addEventListener("htmx:load", (event) => localTimes(event.target));
