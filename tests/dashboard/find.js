// Finds what a person would: by what it is, what it is called, and what it stands next to.

const [role, name, near] = arguments;

const ROLES = {
  button: "button, [role=button], input[type=submit], summary",
  link: "a[href]",
  field: "input:not([type=checkbox]):not([type=radio]), textarea, select",
  checkbox: "input[type=checkbox], input[type=radio]",
  heading: "h1, h2, h3, h4",
  item: "li, tr, section, article",
  dialog: "dialog[open], [role=dialog]",
};

const plain = (text) => (text ?? "").replace(/\s+/g, " ").trim();

function nameOf(node) {
  const by = (node.getAttribute("aria-labelledby") ?? "").split(" ").filter(Boolean);
  const labels = by.length ? by.map((id) => document.getElementById(id)) : [...(node.labels ?? [])];
  const label = plain(node.getAttribute("aria-label")) || plain(labels.map((one) => one?.textContent).join(" "));
  return label || plain(node.textContent) || plain(node.title) || plain(node.placeholder);
}

function isSeen(node) {
  const box = node.getBoundingClientRect();
  return box.width > 0 && box.height > 0 && node.checkVisibility({ visibilityProperty: true });
}

/** How many steps up there is something that says it; none if nothing does. */
function distance(node) {
  if (!near) return 0;
  let steps = 0;
  for (let at = node; at && at.tagName !== "MAIN" && at.tagName !== "BODY"; at = at.parentElement, steps += 1) {
    if (plain(at.textContent).includes(near) || plain(at.getAttribute("aria-label")).includes(near)) return steps;
  }
  return undefined;
}

// What is behind a dialog cannot be used.
const dialogs = [...document.querySelectorAll("dialog:modal")];
const all = [...(dialogs.at(-1) ?? document).querySelectorAll(ROLES[role])]
  .filter(isSeen)
  .map((node) => ({ node, steps: distance(node) }))
  .filter(({ steps }) => steps !== undefined);
const wanted = name.toLowerCase();
const called = (test) => all.filter(({ node }) => test(nameOf(node).toLowerCase())).sort((a, b) => a.steps - b.steps)[0]?.node;
return called((own) => own === wanted) ?? called((own) => own.startsWith(wanted)) ?? called((own) => own.includes(wanted)) ?? null;
