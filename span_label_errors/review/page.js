"use strict";
const form = document.getElementById("controls");
const list = document.getElementById("rows");
const count = document.getElementById("count");
const nothing = document.getElementById("nothing");

// Accents, case and spacing do not matter in a search.
const plain = text => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase().replace(/\s+/g, " ");
const rows = Array.from(list.children, element => ({
  element,
  ...element.dataset,
  id: element.querySelector(".id").textContent,
  checks: Array.from(element.querySelectorAll(".checks li"), item => item.textContent),
  classes: Array.from(element.querySelectorAll("dl .class"), item => item.textContent),
}));
const textOf = row => row.text ??= plain(
  Array.from(row.element.querySelectorAll(".text"), piece => piece.textContent).join(" "));

// A context of many pages stands once on the page; what is folded is taken from there.
const contexts = Array.from(document.getElementById("contexts").content.children, element => element.textContent);
const plainContexts = [];
const plainContext = number => plainContexts[number] ??= plain(contexts[number]);
for (const folded of list.querySelectorAll("details[data-start]")) {
  folded.addEventListener("toggle", () => {
    const text = document.createElement("div");
    text.className = "text";
    text.textContent = contexts[folded.closest("article").dataset.context]
      .slice(folded.dataset.start, folded.dataset.end);
    folded.append(text);
  }, { once: true });
}

const collator = new Intl.Collator("en", { numeric: true });
const orders = {
  "rank": (a, b) => 0,
  "quality": (a, b) => a.quality - b.quality,
  "-quality": (a, b) => b.quality - a.quality,
  "-confidence": (a, b) => b.confidence - a.confidence,
  "id": (a, b) => collator.compare(a.id, b.id),
  "fold": (a, b) => a.fold - b.fold,
  "example": (a, b) => a.example - b.example || collator.compare(a.id, b.id),
};
let order = "rank";

function apply() {
  const wanted = Object.fromEntries(new FormData(form));
  const query = plain(wanted.q).trim();
  const min = wanted.min === "" ? 0 : Number(wanted.min);
  const max = wanted.max === "" ? 1 : Number(wanted.max);
  let shown = 0;
  for (const row of rows) {
    const matches = (!wanted.only || row.issue === "1") && (!wanted.fold || row.fold === wanted.fold)
      && (!wanted.check || row.checks.includes(wanted.check))
      && (!wanted.class || row.classes.includes(wanted.class)) && (!wanted.mistake || row.mistake === wanted.mistake)
      && min <= row.quality && row.quality <= max
      && (!query || textOf(row).includes(query) || (row.context !== undefined && plainContext(row.context).includes(query)));
    row.element.hidden = !matches;
    shown += matches;
  }
  if (order !== wanted.sort) {
    order = wanted.sort;
    rows.sort((a, b) => orders[order](a, b) || a.rank - b.rank);
    for (const row of rows) list.append(row.element);
  }
  count.textContent = `${shown.toLocaleString("en")} of ${rows.length.toLocaleString("en")} rows`;
  nothing.hidden = shown > 0;
}

// The address carries the filters, so that a view can be linked: #q=paris&only=issues&sort=-confidence
function readAddress() {
  form.reset();
  for (const [name, value] of new URLSearchParams(location.hash.slice(1))) {
    const field = form.elements.namedItem(name);
    if (field?.type === "checkbox") field.checked = field.value === value;
    else if (field) field.value = value;
    // A link to a fold or check that has no row here: all of them.
    if (field?.selectedIndex === -1) field.selectedIndex = 0;
  }
  apply();
}
function writeAddress() {
  const changed = Array.from(new FormData(form)).filter(([name, value]) => value !== "" && value !== defaults[name]);
  history.replaceState(null, "", "#" + new URLSearchParams(changed));
}

form.reset();  // browsers restore what was typed before a reload
const defaults = Object.fromEntries(new FormData(form));
form.addEventListener("submit", event => event.preventDefault());
form.addEventListener("input", () => { apply(); scrollTo(0, 0); });
form.addEventListener("change", writeAddress);
document.getElementById("clear").addEventListener("click", () => { form.reset(); apply(); writeAddress(); });
addEventListener("hashchange", readAddress);
readAddress();
form.hidden = false;
