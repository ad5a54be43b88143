// The key / goes to the search: to its field, or on a narrow screen to its page. Without this file one clicks.
"use strict";

/** Whether what has the focus takes letters itself. */
function isTyping(element) {
  return element.isContentEditable || element.closest("input, textarea, select, [role=textbox]") !== null;
}

/** Go to the last place of the search that is shown: the page of the search has a field of its own below the header's. */
function goToSearch(event) {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
  const place = [...document.querySelectorAll("[data-search]")].filter((each) => each.checkVisibility()).pop();
  if (!place) return;
  event.preventDefault();
  if (place.matches("a")) place.click();
  else {
    place.focus(); // brings it into view, which selecting alone does not
    place.select();
  }
}

document.addEventListener("keydown", goToSearch);
