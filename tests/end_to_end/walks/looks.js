// What is wrong with a page that axe does not see, as sentences. Takes the language and the width that it is to have.
([language, width]) => {
  const found = [];
  const visible = (selector) => [...document.querySelectorAll(selector)].filter((each) => each.checkVisibility());
  const style = (each) => getComputedStyle(each);
  const note = (what, elements) => found.push(...elements.map((each) => `${what}: ${each.outerHTML.slice(0, 160)}`));

  const root = document.documentElement;
  if (root.lang !== language) found.push(`is in ${root.lang}`);
  if (root.scrollWidth > width) found.push(`scrolls sideways: ${root.scrollWidth}`);
  const lines = new Set(visible(".nav .nav-list li").map((each) => each.offsetTop)).size;
  if (lines > 1) found.push(`the navigation takes ${lines} lines`);

  const texts = (each) => [
    each.getAttribute("aria-label"), each.title, each.alt, each.innerText,
    ...[...(each.labels ?? [])].map((label) => label.innerText),
    ...(each.getAttribute("aria-labelledby") ?? "").split(" ").filter(Boolean)
      .map((id) => document.getElementById(id)?.innerText),
    ...[...each.querySelectorAll(".visually-hidden")].map((inner) => inner.textContent),
  ];
  const controls = visible("input:not([type=hidden]), select, textarea, button, a[href], summary");
  note("has no name", controls.filter((each) => !texts(each).some((text) => text?.trim())));

  const scrolling = visible("pre, .table-scroll").filter(
    (each) => each.scrollWidth > each.clientWidth || each.scrollHeight > each.clientHeight);
  note("scrolls, but not by the keyboard", scrolling.filter((each) => each.tabIndex < 0));

  const isTooWide = (each) =>
    each.clientWidth > 0 && each.scrollWidth > each.clientWidth + 1 && style(each).display !== "inline" &&
    !each.closest(".visually-hidden, svg, thead");
  note("is cut off", visible("main *, .topbar *, .footer *").filter(
    (each) => isTooWide(each) && style(each).overflowX === "hidden"));
  note("is wider than its box", visible(".status, .button, button, .figure, .cell, .card > *, .callout, h1").filter(
    (each) => isTooWide(each) && style(each).overflowX === "visible"));
  return found;
}
