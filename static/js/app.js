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
  if (event.key === "k" && (event.ctrlKey || event.metaKey) && !event.altKey && document.getElementById("palette")) {
    event.preventDefault();
    return openDialog("palette");
  }
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input:not([type=checkbox]), textarea, select, dialog")) return;
  if (going) document.querySelector(`.rail [data-key="${CSS.escape(event.key)}"]`)?.click();
  going = event.key === "g";
  if (event.key === "?") document.getElementById("keys")?.showModal();
});

function openDialog(id) {
  const dialog = document.getElementById(id);
  if (!dialog || dialog.open) return;
  dialog.showModal();
  if (id === "palette") filterPalette("");
}

document.addEventListener("click", (event) => {
  const opener = event.target.closest("[data-dialog]");
  if (opener) openDialog(opener.dataset.dialog);
});

// The command palette: pages and projects by their words; a trace id opens the trace, other words filter the traces.
function paletteOptions() {
  return [...document.querySelectorAll("#palette-list [role=option]")].filter((option) => !option.hidden);
}

function markPalette(at) {
  const options = paletteOptions();
  const chosen = options.length ? options[(at + options.length) % options.length] : null;
  const field = document.querySelector("#palette input");
  document.querySelectorAll("#palette-list [role=option]").forEach((option, place) => {
    option.id = `palette-${place}`;
    option.tabIndex = -1;
    option.setAttribute("aria-selected", String(option === chosen));
  });
  if (chosen) field.setAttribute("aria-activedescendant", chosen.id);
  else field.removeAttribute("aria-activedescendant");
  chosen?.scrollIntoView({ block: "nearest" });
}

function filterPalette(text) {
  const palette = document.getElementById("palette");
  const field = palette.querySelector("input");
  field.value = text;
  const words = text.trim().toLowerCase();
  document.getElementById("palette-made")?.remove();
  for (const option of document.querySelectorAll("#palette-list [role=option]")) option.hidden = !option.textContent.toLowerCase().includes(words);
  if (words && palette.dataset.traces) {
    const made = document.createElement("a");
    made.setAttribute("role", "option");
    made.dataset.made = "";
    const isTrace = /^[0-9a-f]{32}$/.test(words);
    made.href = isTrace ? `${palette.dataset.traces}/${words}` : `${palette.dataset.traces}?q=${encodeURIComponent(text.trim())}`;
    made.textContent = isTrace ? `Trace ${words}` : `Traces: ${text.trim()}`;
    const wrap = document.createElement("div");
    wrap.id = "palette-made";
    wrap.setAttribute("role", "presentation");
    wrap.append(made);
    const list = document.getElementById("palette-list");
    if (isTrace) list.prepend(wrap);
    else list.append(wrap);
  }
  markPalette(0);
}

document.addEventListener("input", (event) => {
  if (event.target.closest("#palette")) filterPalette(event.target.value);
});
document.addEventListener("keydown", (event) => {
  if (!event.target.closest?.("#palette input")) return;
  const options = paletteOptions();
  const at = options.findIndex((option) => option.getAttribute("aria-selected") === "true");
  if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    event.preventDefault();
    markPalette(at + (event.key === "ArrowDown" ? 1 : -1));
  }
  if (event.key === "Enter" && options[at]) location.assign(options[at].href);
});

// A click outside closes what floats.
document.addEventListener("click", (event) => {
  for (const open of document.querySelectorAll(".custom-range[open], .drop[open]")) if (!open.contains(event.target)) open.open = false;
  if (event.target.matches("dialog")) event.target.close();
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const open of document.querySelectorAll(".custom-range[open], .drop[open]")) {
    // What is closed takes the focus with it; it goes on from the button that opened it.
    if (open.contains(document.activeElement)) open.querySelector("summary").focus();
    open.open = false;
  }
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

// Of a row of tabs that is wider than a phone, the one that is open is in sight.
function showOpenTabs() {
  for (const tab of document.querySelectorAll(".segmented [aria-current]")) {
    const row = tab.parentElement;
    row.scrollLeft = tab.offsetLeft - row.offsetLeft - (row.clientWidth - tab.offsetWidth) / 2;
  }
}

document.addEventListener("DOMContentLoaded", () => localTimes(document));
document.addEventListener("DOMContentLoaded", showOpenTabs);
document.addEventListener("htmx:load", (event) => localTimes(event.target));
