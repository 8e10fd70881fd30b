"""What a review page looks like and does: the one style and the one script that its security policy lets run."""

STYLE = """
:root { color-scheme: light dark; --page: #f3f4f6; --card: #fff; --text: #1b1f24; --quiet: #57606a; --line: #d0d5db;
  --given: #a34a00; --given-tint: #ffe6c4; --suggested: #0b57a8; --suggested-tint: #d5e7fd; --alarm: #a3182b; }
@media (prefers-color-scheme: dark) { :root { --page: #13161a; --card: #1c2026; --text: #e6e8eb; --quiet: #a5afba;
  --line: #3a414a; --given: #ffb357; --given-tint: #4b3414; --suggested: #84c1ff; --suggested-tint: #17395d;
  --alarm: #ff9aa5; } }
[hidden] { display: none !important; }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 62rem; background: var(--page); color: var(--text);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { margin: 0; font-size: 1.5rem; line-height: 1.25; }
body > header p { margin: .4rem 0; }
mark { color: inherit; background: none; padding: .12em 0; }
.given { background: var(--given-tint); border-bottom: 3px solid var(--given); }
.also { text-decoration: underline dotted 2px var(--given); text-underline-offset: .2em; }
.suggested { background: var(--suggested-tint); border-top: 2px dashed var(--suggested); }
.given.suggested { background: linear-gradient(var(--suggested-tint) 50%, var(--given-tint) 50%); }
.starts { border-inline-start: 1px solid; }
.ends { border-inline-end: 1px solid; }
form { display: flex; flex-wrap: wrap; gap: .5rem .9rem; align-items: end; margin: .8rem 0; padding: .6rem .8rem;
  background: var(--card); border: 1px solid var(--line); border-radius: .5rem; }
label { font-size: .8rem; color: var(--quiet); }
label > input:not([type=checkbox]), select { display: block; }
label:has([type=checkbox]) { padding-bottom: .4rem; }
input, select, button { font: 1rem/1.4 system-ui, sans-serif; color: var(--text); background: var(--page);
  border: 1px solid var(--quiet); border-radius: .3rem; padding: .2rem .4rem; max-width: 100%; }
[name=q] { width: 16rem; } [type=number] { width: 5.2rem; } select { max-width: 14rem; }
:focus-visible { outline: 3px solid var(--suggested); outline-offset: 1px; }
#count { margin: 0 0 0 auto; padding-bottom: .2rem; font-weight: 600; }
article { margin: 0 0 .8rem; padding: .7rem 1rem .8rem; background: var(--card); border: 1px solid var(--line);
  border-radius: .5rem; content-visibility: auto; contain-intrinsic-size: auto 19rem; }
.facts { display: flex; flex-wrap: wrap; gap: .2rem .8rem; align-items: center; font-size: .85rem;
  color: var(--quiet); }
.facts > .last { margin-inline-start: auto; }
.rank { color: var(--text); font-size: 1.1rem; }
.bar { width: 5rem; height: .6rem; vertical-align: baseline; fill: var(--line); }
.bar rect + rect { fill: var(--text); }
.badge { padding: 0 .5rem; border: 1px solid; border-radius: 1rem; }
[data-issue="1"] .badge { color: var(--alarm); font-weight: 700; }
.checks { display: flex; flex-wrap: wrap; gap: .2rem .4rem; margin: 0; padding: 0; list-style: none; }
.checks li { padding: 0 .4rem; border: 1px solid var(--line); border-radius: .25rem; color: var(--text); }
h2 { margin: .5rem 0 .3rem; font-size: 1.08rem; line-height: 1.35; }
.context { line-height: 1.85; }
.context .text { white-space: pre-wrap; }
summary { color: var(--quiet); font-size: .85rem; cursor: pointer; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .5rem .8rem; margin: .6rem 0 0; }
dt, .note { color: var(--quiet); } dd { margin: 0; }
@media (min-width: 45rem) and (min-height: 30rem) { form { position: sticky; top: 0; z-index: 1; }
  html { scroll-padding-top: 10rem; } }
@media (max-width: 30rem) { body { padding: .5rem; } article { padding: .6rem .7rem; }
  label:has([name=q]), [name=q] { width: 100%; } .facts > .last { margin-inline-start: 0; } }
@media print { :root { --page: #fff; --card: #fff; --text: #000; --quiet: #444; --line: #999; --given: #a34a00;
  --given-tint: #ffe6c4; --suggested: #0b57a8; --suggested-tint: #d5e7fd; --alarm: #a3182b; }
  form, #nothing { display: none; } html { font-size: 80%; } body { max-width: none; padding: 0; }
  mark { print-color-adjust: exact; } article { content-visibility: visible; break-inside: avoid; } }
"""

SCRIPT = r"""
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
}));
const textOf = row => row.text ??= plain(
  Array.from(row.element.querySelectorAll(".text"), piece => piece.textContent).join(" "));

const collator = new Intl.Collator("en", { numeric: true });
const orders = {
  "rank": (a, b) => 0,
  "quality": (a, b) => a.quality - b.quality,
  "-quality": (a, b) => b.quality - a.quality,
  "-confidence": (a, b) => b.confidence - a.confidence,
  "id": (a, b) => collator.compare(a.id, b.id),
  "fold": (a, b) => a.fold - b.fold,
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
      && (!wanted.check || row.checks.includes(wanted.check)) && min <= row.quality && row.quality <= max
      && (!query || textOf(row).includes(query));
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
"""
