// Elements that are made once and used again, so that a page that stays open for days does not grow. What comes from
// outside becomes text and never markup.

/** Rows of a table that are drawn at most. */
const ROWS_MAX = 60;

/** An element with attributes and children; strings become text. */
function element(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) mark(node, key, value);
  node.append(...children);
  return node;
}

function drawing(name, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) mark(node, key, value);
  node.append(...children);
  return node;
}

/** Sets an attribute where it changes; false takes it away. */
function mark(node, key, value) {
  if (value === false || value === null || value === undefined) {
    if (node.hasAttribute(key)) node.removeAttribute(key);
  } else {
    const text = value === true ? "" : String(value);
    if (node.getAttribute(key) !== text) node.setAttribute(key, text);
  }
}

/** Sets a text where it changes: what stays is not told again to those who hear the page. */
function say(node, text) {
  const value = text === null || text === undefined ? "" : String(text);
  if (node.textContent !== value) node.textContent = value;
}

const byId = (id) => document.getElementById(id);

/** As many children as there are items. Each is made once, and shows another item when the list changes. */
class Repeat {
  /** `make` returns an element and what shows an item in it: `[node, show]`. */
  constructor(parent, make) {
    Object.assign(this, { parent, make, parts: [] });
  }

  show(items) {
    while (this.parts.length > items.length) this.parts.pop()[0].remove();
    items.forEach((item, at) => {
      if (at === this.parts.length) {
        this.parts.push(this.make());
        this.parent.append(this.parts[at][0]);
      }
      this.parts[at][1](item, at);
    });
  }
}

/** A table in a frame that scrolls by itself where the screen is narrow. */
class Table {
  /** Of a column: its heading, and whether it holds words. The first column names the row. */
  constructor(caption, columns) {
    const head = element("tr");
    for (const { name, words } of columns) {
      const first = head.childElementCount === 0;
      head.append(element("th", { scope: "col", class: (words || first) && "words" }, name));
    }
    const body = element("tbody");
    const title = element("caption", {}, caption);
    this.node = element("div", { class: "scroll", role: "group", "aria-label": caption, tabindex: 0 });
    this.node.append(element("table", {}, title, element("thead", {}, head), body));
    this.rows = new Repeat(body, () => {
      const cells = columns.map(({ words }, at) =>
        at === 0
          ? element("th", { scope: "row", class: "words" })
          : element("td", { class: words && "words" }),
      );
      const show = (texts) =>
        cells.forEach((cell, at) => {
          const text = texts[at];
          const marked = text !== null && typeof text === "object";
          say(cell, marked ? text.text : text);
          mark(cell, "data-mark", marked && text.mark);
        });
      return [element("tr", {}, ...cells), show];
    });
  }

  /** A row is a text for each column, or `{ text, mark }` where it stands out. */
  show(rows) {
    this.rows.show(rows.slice(0, ROWS_MAX));
  }
}

/** Names and figures beside each other. */
class Figures {
  constructor(names, attributes) {
    this.values = new Map();
    this.node = element("dl", attributes);
    for (const name of names) {
      const value = element("dd");
      this.values.set(name, value);
      this.node.append(element("div", {}, element("dt", {}, name), value));
    }
  }

  show(name, text, state = false) {
    const value = this.values.get(name);
    say(value, text);
    mark(value, "data-mark", state);
  }
}
