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
  if (button.dataset.action === "keys") document.getElementById("keys").showModal();
  if (button.dataset.action === "copy") {
    navigator.clipboard.writeText(button.dataset.copy || document.getElementById(button.dataset.from).textContent);
    const label = button.querySelector(".label");
    if (label) label.textContent = "Copied";
  }
});

// g and a letter open a page; ? lists the keys. The browser itself closes the list with Escape.
let going = false;

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select")) return;
  if (going) document.querySelector(`.rail [data-key="${CSS.escape(event.key)}"]`)?.click();
  going = event.key === "g";
  if (event.key === "?") document.getElementById("keys")?.showModal();
});

// A click outside closes what floats.
document.addEventListener("click", (event) => {
  for (const open of document.querySelectorAll(".custom-range[open]")) if (!open.contains(event.target)) open.open = false;
  if (event.target.matches("dialog")) event.target.close();
});

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") for (const open of document.querySelectorAll(".custom-range[open]")) open.open = false;
});

// A fragment that does not come is said; one that is the sign-in page means that the session has ended.
function say(words) {
  document.getElementById("toast")?.remove();
  const toast = Object.assign(document.createElement("p"), { id: "toast", className: "notice bad", textContent: words });
  toast.setAttribute("role", "alert");
  document.body.append(toast);
  setTimeout(() => toast.remove(), 8000);
}

document.addEventListener("htmx:responseError", (event) => say(event.detail.xhr.status === 503 ? "The store could not answer. Try again in some seconds." : `This part could not be loaded (${event.detail.xhr.status}).`));
document.addEventListener("htmx:sendError", () => say("Heliograph cannot be reached. Is it still running?"));
document.addEventListener("htmx:beforeSwap", (event) => {
  if (!new URL(event.detail.xhr.responseURL, location).pathname.startsWith("/login")) return;
  event.detail.shouldSwap = false;
  location.reload();
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
