// Plots of the last half hour as SVG, and the tables behind them.

const PLOT_HEIGHT = 100;
/** What is at the limit stands so far below the edge, and is seen. */
const PLOT_TOP = 4;

/** Lines over the last half hour, and beside each what it says now, or then. */
class Plot {
  /**
   * `lines` are `{ name, tone, raised }`, of which the tone is a colour and a shape, and a raised one stands out
   * when it is not 0. `least` is the smallest top of the scale: what is tiny does not look like a mountain.
   */
  constructor(title, whose, unit, lines, least, low = false) {
    Object.assign(this, { unit, lines, least });
    this.top = element("span");
    this.grid = drawing("path", { class: "grid" });
    this.paths = lines.map(({ tone }) => drawing("path", { "data-tone": tone }));
    this.cursor = drawing("path", { class: "cursor" });
    this.picture = drawing(
      "svg",
      {
        preserveAspectRatio: "none",
        role: "img",
        "aria-label": `${title}${whose && `, ${whose}`}: plot of what was, of which the table has the values`,
      },
      this.grid,
      ...this.paths,
      this.cursor,
    );
    const legend = element("dl", { class: "legend" });
    this.values = lines.map(({ name, tone }) => {
      const value = element("dd");
      legend.append(element("div", { "data-tone": tone }, element("dt", {}, name), value));
      return value;
    });
    const caption = element("figcaption", {}, element("span", {}, title), this.top);
    this.node = element("figure", { class: low ? "plot low" : "plot" }, caption, this.picture, legend);
    this.picture.addEventListener("pointermove", (event) => {
      const { left, width } = this.picture.getBoundingClientRect();
      page.point(Math.round((1 - (event.clientX - left) / width) * page.history.span));
    });
    this.picture.addEventListener("pointerleave", () => page.point(null));
  }

  /**
   * One list for each line, of which the last value is that of the step that is not over. With a limit, that is
   * the top. What is current is told in place of the last values.
   */
  show(lists, { history: { span }, back }, { limit = null, current = [] } = {}) {
    mark(this.picture, "viewBox", `0 0 ${span} ${PLOT_HEIGHT}`);
    mark(this.grid, "d", `M${span / 3} 0V${PLOT_HEIGHT}M${(2 * span) / 3} 0V${PLOT_HEIGHT}`);
    const largest = lists.flat().reduce((most, value) => (value > most ? value : most), this.least);
    const top = Math.max(limit ?? 0, limit === null ? roundUp(largest) : largest);
    say(this.top, limit === null ? `to ${this.unit(top)}` : `of ${this.unit(limit)}`);
    lists.forEach((list, at) => {
      const { tone, raised } = this.lines[at];
      const filled = tone === "came" || tone === "warn";
      // What has to stand out has no line where there is nothing.
      const drawn = raised ? list.map((value) => value || null) : list;
      mark(this.paths[at], "d", (tone === "warn" ? bars : outline)(drawn, span, top, filled));
      const value = (back === 0 ? current[at] : null) ?? list[list.length - 1 - back];
      say(this.values[at], this.unit(value));
      mark(this.values[at], "data-raised", Boolean(raised && value > 0));
    });
    mark(this.cursor, "d", back > 0 && `M${span - back} 0V${PLOT_HEIGHT}`);
  }
}

/** A path along the values; where there is none it is interrupted. */
function outline(list, span, top, filled) {
  const parts = [];
  let begin = null;
  list.forEach((value, at) => {
    // The newest stands at the right.
    const x = span - (list.length - 1 - at);
    if (x < 0 || !isNumber(value)) return;
    const y = PLOT_HEIGHT - (value / top) * (PLOT_HEIGHT - PLOT_TOP);
    const place = `${x} ${Math.round(y * 10) / 10}`;
    const goesOn = at + 1 < list.length && isNumber(list[at + 1]);
    if (begin === null) {
      begin = x;
      // A value alone is a dot.
      parts.push(filled ? `M${x} ${PLOT_HEIGHT}L${place}` : `M${place}`, goesOn ? "" : "h0.1");
    } else {
      parts.push(`L${place}`);
    }
    if (!goesOn) {
      if (filled) parts.push(`V${PLOT_HEIGHT}H${begin}Z`);
      begin = null;
    }
  });
  return parts.join("") || false;
}

/** A bar for each value that is not nothing, joined to those beside it: what was for a step, and then no more. */
function bars(list, span, top) {
  const parts = [];
  list.forEach((value, at) => {
    const x = span - (list.length - 1 - at);
    if (x <= 0 || !(value > 0)) return;
    const y = PLOT_HEIGHT - (value / top) * (PLOT_HEIGHT - PLOT_TOP);
    parts.push(`M${x - 1} ${PLOT_HEIGHT}V${Math.round(y * 10) / 10}h1V${PLOT_HEIGHT}Z`);
  });
  return parts.join("") || false;
}

/** Steps of a table's row: a minute. */
const ROW_STEPS = 12;

/** The table behind plots: a row for each minute, the newest first. It is drawn while it is open. */
class Minutes {
  /** `columns` are `{ name, unit, how }`. */
  constructor(caption, columns) {
    this.columns = columns;
    const names = ["minute to", ...columns.map(({ name }) => name)].map((name) => ({ name }));
    this.table = new Table(`${caption}; rates are means, the rest is the largest of the minute`, names);
    this.node = element("details", {}, element("summary", {}, "As a table"), this.table.node);
    this.node.addEventListener("toggle", () => page.drawSoon());
  }

  /** One list for each column, of which the last value is of that time. */
  show(lists, time) {
    if (!this.node.open) return;
    const length = Math.max(...lists.map((list) => list.length));
    const rows = [];
    for (let back = 0; back < Math.min(length, STEPS_MAX); back += ROW_STEPS) {
      const cells = lists.map((list, at) => {
        const end = list.length - back;
        const values = list.slice(Math.max(0, end - ROW_STEPS), Math.max(0, end));
        return this.columns[at].unit(together(values, this.columns[at].how));
      });
      rows.push([clock(time - back * STEP_SECONDS * 1000), ...cells]);
    }
    this.table.show(rows);
  }
}
