// Judging with the keyboard: digits choose in the marked score, j and k move, Enter saves, s skips, u goes back.
"use strict";

const rubric = document.getElementById("rubric");
const asked = rubric ? [...rubric.querySelectorAll("[data-score]")] : [];
let at = 0;
let afterG = false;

function markScore(place) {
  at = Math.min(Math.max(place, 0), asked.length - 1);
  asked.forEach((score, number) => score.classList.toggle("current", number === at));
  asked[at]?.scrollIntoView({ block: "nearest" });
}

// The next score without an answer that has choices; where all have one, the mark stays.
function onwards() {
  const next = asked.findIndex((score, place) => place > at && score.querySelector("input[type=radio]") && !score.querySelector("input:checked"));
  if (next >= 0) markScore(next);
}

function choose(key) {
  const choice = asked[at]?.querySelector(`input[data-key="${CSS.escape(key)}"]`);
  if (!choice) return;
  // The digit again takes back what may be left out.
  choice.checked = !(choice.checked && asked[at].matches("[data-optional]"));
  if (choice.checked) onwards();
}

if (rubric) {
  const open = asked.findIndex((score) => !score.querySelector("input:checked"));
  markScore(open < 0 ? 0 : open);
  rubric.addEventListener("focusin", (event) => {
    const place = asked.indexOf(event.target.closest("[data-score]"));
    if (place >= 0) markScore(place);
  });
  rubric.addEventListener("click", (event) => {
    const filler = event.target.closest("[data-fill]");
    if (!filler) return;
    const text = filler.parentElement.querySelector("textarea");
    if (!text.value) text.value = filler.dataset.fill;
    text.focus();
  });
  // A second click or key on the way would judge the next answer with this one's words.
  rubric.addEventListener("submit", (event) => {
    if (rubric.dataset.sent) event.preventDefault();
    rubric.dataset.sent = "1";
  });
  addEventListener("pageshow", () => delete rubric.dataset.sent);
}

document.addEventListener("click", (event) => {
  if (event.target.closest("[data-close]")) event.target.closest("dialog").close();
});

document.addEventListener("keydown", (event) => {
  if (!rubric || event.altKey || event.target.closest("dialog")) return;
  const typing = event.target.closest("input:not([type=radio]), textarea, select");
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) return rubric.requestSubmit();
  if (event.ctrlKey || event.metaKey) return;
  if (typing) {
    if (event.key === "Escape") typing.blur();
    return;
  }
  // The letter after g opens a page.
  const opensPage = afterG;
  afterG = event.key === "g";
  if (opensPage) return;
  if (/^[0-9]$/.test(event.key)) choose(event.key);
  if (event.key === "j") markScore(at + 1);
  if (event.key === "k") markScore(at - 1);
  if (event.key === "c") {
    event.preventDefault();
    asked[at]?.querySelector("textarea, input[type=number]")?.focus();
  }
  if (event.key === "u") document.getElementById("before")?.click();
  if (event.key === "s") {
    // Else the letter would stand in the field that the dialog opens with.
    event.preventDefault();
    document.querySelector("[data-dialog=skip]")?.click();
  }
  if (event.key === "Enter" && !event.target.closest("a, button, summary")) {
    event.preventDefault();
    rubric.requestSubmit();
  }
});
