// Keeps a live part of a page up to date without taking anything away from the person who is reading it.
//
//   <div id="some-id" hx-get="…" hx-trigger="every 2s" hx-swap="update">…</div>
//
// The answer must contain an element with the same id. Only what differs is changed, in place: keyboard focus,
// selected text, open <details>, scroll positions and what somebody has typed stay. Rows of lists need an id of
// their own, so that they are recognized after others came or went. Polling ends when an answer has no hx-trigger.
//
// Live regions, such as <p role="status" data-news>…</p>, are filled and never replaced: a screen reader says what
// is new, and says nothing when nothing is. Those with data-news speak at most every ten seconds while polling goes on.
"use strict";

const NEWS_PAUSE = 10_000; // milliseconds
const lastNews = new WeakMap();

/** Make `old` look like `fresh`; both are elements of the same name. */
function updateElement(old, fresh, isLast) {
  if (old.isEqualNode(fresh)) return;
  if (old.hasAttribute("data-news") && !mayTell(old, isLast)) return;
  updateAttributes(old, fresh);
  updateChildren(old, fresh, isLast);
}

function mayTell(region, isLast) {
  const isTooSoon = performance.now() - (lastNews.get(region) ?? -NEWS_PAUSE) < NEWS_PAUSE;
  if (isTooSoon && !isLast) return false;
  lastNews.set(region, performance.now());
  return true;
}

/** What a person opened, and what portal.js made visible, is not for the server to say. */
function isOwn(element, name) {
  return (name === "open" && element.localName === "details") || (name === "hidden" && element.matches("[data-copy], [data-check-all]"));
}

function updateAttributes(old, fresh) {
  for (const { name } of [...old.attributes]) {
    if (!fresh.hasAttribute(name) && !isOwn(old, name)) old.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value && !isOwn(old, name)) old.setAttribute(name, value);
  }
}

/** Whether two nodes may be the same one, before and after. */
function fits(old, fresh) {
  return old.nodeName === fresh.nodeName && (old.id ?? "") === (fresh.id ?? "");
}

const isBlank = (node) => node.nodeType === Node.TEXT_NODE && !node.data.trim();

function updateChildren(parent, freshParent, isLast) {
  const wanted = [...freshParent.childNodes];
  const wantedIds = new Set(wanted.map((node) => node.id).filter(Boolean));
  for (const child of [...parent.children]) {
    if (child.id && !wantedIds.has(child.id)) child.remove();
  }
  const byId = new Map([...parent.children].filter((child) => child.id).map((child) => [child.id, child]));
  let cursor = parent.firstChild;
  const drop = () => {
    const next = cursor.nextSibling;
    cursor.remove();
    cursor = next;
  };
  wanted.forEach((fresh, index) => {
    let found = fresh.id ? byId.get(fresh.id) : undefined;
    if (found && !fits(found, fresh)) {
      if (found === cursor) drop();
      else found.remove();
      found = undefined;
    } else if (found) {
      while (cursor && cursor !== found && isBlank(cursor)) drop();
    } else if (!fresh.id) {
      const comesLater = (old) => wanted.slice(index + 1).some((later) => fits(old, later));
      while (cursor && !fits(cursor, fresh) && !comesLater(cursor)) drop();
      if (cursor && fits(cursor, fresh)) found = cursor;
    }
    if (!found) {
      parent.insertBefore(fresh, cursor);
      return;
    }
    if (found === cursor) cursor = cursor.nextSibling;
    else if (parent.moveBefore) parent.moveBefore(found, cursor); // keeps the focus inside
    else parent.insertBefore(found, cursor);
    if (found.nodeType === Node.ELEMENT_NODE) updateElement(found, fresh, isLast);
    else if (found.data !== fresh.data) found.data = fresh.data;
  });
  while (cursor) drop();
}

/** Return a function that gives keyboard focus and selection back, as far as they were lost since. */
function remember(part) {
  const focused = part.contains(document.activeElement) ? document.activeElement : null;
  const around = [];
  for (let each = focused; each && each !== part; each = each.parentElement) around.push(each);
  const { anchorNode, anchorOffset, focusNode, focusOffset } = document.getSelection();
  const within = (node, offset) => Math.min(offset, node.data?.length ?? node.childNodes.length);
  return () => {
    const selection = document.getSelection();
    const isThere = anchorNode?.isConnected && focusNode?.isConnected && part.contains(anchorNode);
    if (isThere && (selection.anchorNode !== anchorNode || selection.anchorOffset !== anchorOffset || selection.focusOffset !== focusOffset)) {
      selection.setBaseAndExtent(anchorNode, within(anchorNode, anchorOffset), focusNode, within(focusNode, focusOffset));
    }
    if (!focused || document.activeElement === focused) return;
    // What had the focus is gone: its neighbourhood gets it, so that the next Tab does not begin at the top of the page.
    const next = around.find((each) => each.isConnected && (each === focused || each.hasAttribute("tabindex"))) ?? part;
    if (next === part && !part.hasAttribute("tabindex")) part.tabIndex = -1;
    next.focus({ preventScroll: true });
  };
}

htmx.defineExtension("live", {
  isInlineSwap: (style) => style === "update",
  handleSwap(style, target, fragment) {
    if (style !== "update") return false;
    const fresh = fragment.querySelector(`#${CSS.escape(target.id)}`);
    if (!fresh) {
      location.reload(); // no longer this page: signed out, say
      return [target];
    }
    const giveBack = remember(target);
    updateElement(target, fresh, !fresh.hasAttribute("hx-trigger"));
    giveBack();
    return [target];
  },
});
