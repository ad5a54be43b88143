// Conveniences only: every page works without this file.
"use strict";

/** Mark the check boxes of one table together: <input type="checkbox" data-check-all="name-of-the-boxes" hidden>. */
function wireCheckAll(all) {
  const boxes = () => [...all.closest("form").querySelectorAll(`input[name="${CSS.escape(all.dataset.checkAll)}"]:not(:disabled)`)];
  const reflect = () => {
    const checked = boxes().filter((box) => box.checked).length;
    all.checked = checked > 0 && checked === boxes().length;
    all.indeterminate = checked > 0 && !all.checked;
  };
  all.addEventListener("change", () => boxes().forEach((box) => (box.checked = all.checked)));
  all.closest("form").addEventListener("change", reflect);
  all.hidden = false;
  reflect();
}

/** Say on a button how many check boxes are ticked: <button data-count="name-of-the-boxes" data-count-none="…"
 *  data-count-one="…" data-count-many="… %s …">…<span>…</span></button>. Without any it is off. Elsewhere than on a
 *  button it only says so; with data-count-marked="restarts" it counts the boxes that have data-restarts. */
function wireCount(shown) {
  const form = shown.closest("form");
  const mark = shown.dataset.countMarked ? `[data-${CSS.escape(shown.dataset.countMarked)}]` : "";
  const reflect = () => {
    const count = form.querySelectorAll(`input[name="${CSS.escape(shown.dataset.count)}"]${mark}:checked`).length;
    const text = count > 1 ? shown.dataset.countMany : count ? shown.dataset.countOne : shown.dataset.countNone;
    shown.querySelector("span").textContent = text.replace("%s", count);
    if (shown.localName === "button") shown.disabled = !count;
  };
  form.addEventListener("change", reflect);
  document.addEventListener("htmx:afterSettle", reflect);
  reflect();
}

/** Copy a text: <button type="button" data-copy="id-of-the-element" data-copied="Copied" hidden>. */
function wireCopy(button) {
  const label = button.textContent;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent.trim());
    button.textContent = button.dataset.copied;
    setTimeout(() => (button.textContent = label), 2000);
  });
  button.hidden = !navigator.clipboard;
}

/** Close an open menu of the top bar by Escape or by a click elsewhere. */
function closeMenus(event) {
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (event.type === "keydown" ? event.key === "Escape" : !menu.contains(event.target)) {
      menu.open = false;
      if (event.type === "keydown") menu.querySelector("summary").focus();
    }
  }
}

/** Choose installations: the containers of an instance follow its box, an instance follows its containers, and
 *  the line counts what is ticked: <p data-choice data-choice-elsewhere="3" data-choice-none="…" …-one …-many>. */
function wireChoice(line) {
  const form = line.closest("form");
  const rows = [...form.querySelectorAll("tr")].filter((row) => row.querySelector('input[name="instance"]'));
  const containersOf = (row) => [...row.querySelectorAll('input[name="installation"]:not(:disabled)')];
  const follow = (row, changed) => {
    const instance = row.querySelector('input[name="instance"]');
    const containers = containersOf(row);
    const ticked = containers.filter((box) => box.checked).length;
    if (changed && changed.name === "installation" && row.contains(changed)) instance.checked = ticked > 0;
    else if (!instance.checked) containers.forEach((box) => (box.checked = false));
    else if (!ticked) containers.forEach((box) => (box.checked = true));
    return instance.checked && !instance.disabled ? containers.filter((box) => box.checked).length : 0;
  };
  const reflect = (event) => {
    const here = rows.map((row) => follow(row, event?.target)).reduce((sum, count) => sum + count, 0);
    const count = here + Number(line.dataset.choiceElsewhere);
    const text = count > 1 ? line.dataset.choiceMany : count ? line.dataset.choiceOne : line.dataset.choiceNone;
    line.textContent = text.replace("%s", count);
  };
  form.addEventListener("change", reflect);
  reflect();
}

/** Bring the keyboard to what the page wants read first: not every browser does so for what is no field. */
document.querySelector("[autofocus]")?.focus();

// before the boxes that tick all: these reflect what the choice made of a tick
document.querySelectorAll("[data-choice]").forEach(wireChoice);
document.querySelectorAll("[data-check-all]").forEach(wireCheckAll);
document.querySelectorAll("[data-count]").forEach(wireCount);
document.querySelectorAll("[data-copy]").forEach(wireCopy);
document.addEventListener("click", closeMenus);
document.addEventListener("keydown", closeMenus);
