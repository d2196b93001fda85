// The page at `/` of the admin port: it draws what `/api/v1/live` tells once a second, and changes nothing.
//
// What comes from the gateway becomes text nodes and numbers, never markup. Elements are made once and used
// again, and all that is kept has a limit, so that a page may stay open for days. A part of Landfall that has
// something to show adds its panel to `PANELS`.
"use strict";

// --- limits ---

/** Steps of history: half an hour of 5 s. */
const STEPS_MAX = 360;
const STEP_SECONDS = 5;
/** Steps of a table's row: a minute. */
const ROW_STEPS = 12;
/** One event of the feed, in characters. */
const EVENT_MAX = 4_000_000;
/** What a refusal says, in characters. */
const REASON_MAX = 500;
/** Without a word for so long, the gateway counts as lost. It says something each second. */
const SILENCE_MS = 5_000;
/** Pauses between tries to reach it again: the first, and the longest. */
const RETRY_FIRST_MS = 500;
const RETRY_MAX_MS = 5_000;
/** How long it is said that the gateway is back. */
const BACK_MS = 15_000;
/** Partitions of one topic, problems, rows of a table and messages that are drawn at most. */
const PARTITIONS_MAX = 300;
const PROBLEMS_MAX = 50;
const ROWS_MAX = 60;
const MESSAGES_MAX = 30;

// --- numbers as people read them ---

/** Between groups of digits, and between a number and its unit: neither may be torn apart. */
const THIN = "\u202f";
const FIXED = "\u00a0";
const NONE = "–";

const isNumber = (value) => typeof value === "number" && Number.isFinite(value);

/** With as many digits as help: 1.2, 12, 120. */
function digits(value) {
  return value < 10 ? String(Math.round(value * 10) / 10) : String(Math.round(value));
}

/** Every digit, so that it can be added up. */
function count(value) {
  return isNumber(value) ? String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, THIN) : NONE;
}

function short(value) {
  if (!isNumber(value)) return NONE;
  let [scaled, unit] = [value, ""];
  // What would be rounded to 1000 is 1 of the next.
  for (const next of ["k", "M", "G"]) {
    if (Math.abs(scaled) < 999.5) break;
    [scaled, unit] = [scaled / 1000, next];
  }
  return digits(scaled) + (unit && FIXED + unit);
}

function rate(value) {
  if (!isNumber(value)) return NONE;
  const text = value > 0 && value < 0.05 ? "<" + FIXED + "0.1" : short(value);
  return /[kMG]$/.test(text) ? text + "/s" : text + FIXED + "/s";
}

function bytes(value) {
  if (!isNumber(value)) return NONE;
  let [scaled, unit] = [value, "B"];
  for (const next of ["KiB", "MiB", "GiB", "TiB"]) {
    if (Math.abs(scaled) < 1023.5) break;
    [scaled, unit] = [scaled / 1024, next];
  }
  return (unit === "B" ? String(Math.round(scaled)) : digits(scaled)) + FIXED + unit;
}

function duration(seconds) {
  if (!isNumber(seconds)) return NONE;
  if (seconds === 0) return "0" + FIXED + "s";
  if (seconds < 0.001) return "<" + FIXED + "1" + FIXED + "ms";
  if (seconds < 0.9995) return digits(seconds * 1000) + FIXED + "ms";
  if (seconds < 59.5) return digits(seconds) + FIXED + "s";
  return long(seconds);
}

/** In whole seconds, the two largest units. */
function long(seconds) {
  if (!isNumber(seconds)) return NONE;
  const whole = Math.max(0, Math.round(seconds));
  const units = [
    ["d", Math.floor(whole / 86_400)],
    ["h", Math.floor(whole / 3600) % 24],
    ["min", Math.floor(whole / 60) % 60],
    ["s", whole % 60],
  ];
  const first = units.findIndex(([, value]) => value > 0);
  if (first < 0) return "0" + FIXED + "s";
  const told = units.slice(first, first + 2).filter(([, value], at) => at === 0 || value > 0);
  return told.map(([unit, value]) => value + FIXED + unit).join(" ");
}

/** Of a time in milliseconds since 1970. The gateway's log says UTC too. */
function clock(time) {
  return Number.isFinite(time) ? new Date(time).toISOString().slice(11, 19) + " UTC" : NONE;
}

const plural = (value, one, many) => count(value) + FIXED + (value === 1 ? one : many);

/** The next number of 1, 2 or 5 and zeros: the top of a plot, which then does not move all the time. */
function roundUp(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  const factor = [1, 2, 5, 10].find((factor) => value <= factor * power * 1.000001);
  return factor * power;
}

// --- elements, made once ---

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

// --- the last half hour ---

/** How the samples of a step become one value, by figure. */
const MEAN = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
const LARGEST = (values) => Math.max(...values);
const LANE_FIGURES = {
  received_per_second: MEAN,
  landed_per_second: MEAN,
  shed_per_second: MEAN,
  acknowledgement_p50_seconds: LARGEST,
  acknowledgement_p99_seconds: LARGEST,
  held_bytes: LARGEST,
  oldest_seconds: LARGEST,
};

/** One value of some; null where there is none. */
function together(values, how) {
  const known = values.filter(isNumber);
  return known.length === 0 ? null : how(known);
}

/** What was, in steps of 5 s: the gateway's own history, and what the page saw since then. */
class History {
  constructor() {
    this.begin(null);
  }

  /** Of another process, nothing is known yet. */
  begin(process) {
    /** By series: its values from the oldest step to the newest, all equally many. */
    this.series = new Map();
    this.length = 0;
    this.process = process;
    /** The last sample of the last whole step. */
    this.end = 0;
    /** The samples since then. */
    this.samples = [];
  }

  /** Takes over what the gateway kept. */
  take(kept) {
    if (kept.process !== this.process) this.begin(kept.process);
    const values = new Map();
    for (const [lane, figures] of Object.entries(kept.lanes ?? {})) {
      for (const figure of Object.keys(LANE_FIGURES)) {
        values.set(`${lane}/${figure}`, figures[figure] ?? []);
      }
    }
    for (const figure of ["connections", "problems"]) values.set(`/${figure}`, kept[figure] ?? []);
    const steps = Math.min(STEPS_MAX, Math.max(...[...values.values()].map((list) => list.length)));
    if (kept.last_sequence <= this.end) return;
    // What happened while the page heard nothing, longer ago than the gateway remembers.
    const known = this.length > 0 ? Math.round((kept.last_sequence - this.end) / STEP_SECONDS) : steps;
    for (let gap = Math.min(STEPS_MAX, known - steps); gap > 0; gap--) this.push(() => null);
    for (let left = steps; left > 0; left--) {
      this.push((name) => values.get(name)?.at(-left), values.keys());
    }
    this.end = kept.last_sequence;
    this.samples = [];
  }

  /** One more second. */
  add(now) {
    if (now.process !== this.process) {
      this.begin(now.process);
      this.end = now.sequence - 1;
    }
    if (now.sequence <= this.end) return;
    this.samples.push(now);
    if (now.sequence - this.end < STEP_SECONDS) return;
    const names = ["/connections", "/problems"];
    for (const { lane } of now.lanes ?? []) {
      names.push(...Object.keys(LANE_FIGURES).map((figure) => `${lane}/${figure}`));
    }
    this.push((name) => this.running(name), names);
    this.end = now.sequence;
    this.samples = [];
  }

  /** One more step of every series. */
  push(value, names = []) {
    for (const name of names) {
      if (!this.series.has(name)) this.series.set(name, new Array(this.length).fill(null));
    }
    for (const [name, list] of this.series) {
      list.push(value(name) ?? null);
      if (list.length > STEPS_MAX) list.shift();
    }
    this.length = Math.min(STEPS_MAX, this.length + 1);
  }

  /** Of the step that is not over. */
  running(name) {
    const at = name.lastIndexOf("/");
    const [lane, figure] = [name.slice(0, at), name.slice(at + 1)];
    if (figure === "connections") {
      return together(this.samples.map((now) => now.connections?.open), LARGEST);
    }
    if (figure === "problems") {
      return together(this.samples.map((now) => now.problems?.length), LARGEST);
    }
    const lanes = this.samples.map((now) => now.lanes?.find((one) => one.lane === lane));
    return together(lanes.map((one) => one?.[figure]), LANE_FIGURES[figure]);
  }

  /** From the oldest step to the one that is not over. */
  values(name) {
    const values = this.series.get(name) ?? [];
    return this.samples.length > 0 ? [...values, this.running(name)] : values;
  }
}

// --- plots ---

const PLOT_WIDTH = STEPS_MAX;
const PLOT_HEIGHT = 100;
/** Left of the top line, so that what is at the limit is seen. */
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
    this.grid = drawing("path", { class: "grid", d: "M120 0V100M240 0V100" });
    this.paths = lines.map(({ tone }) => drawing("path", { "data-tone": tone }));
    this.cursor = drawing("path", { class: "cursor" });
    this.picture = drawing(
      "svg",
      {
        viewBox: `0 0 ${PLOT_WIDTH} ${PLOT_HEIGHT}`,
        preserveAspectRatio: "none",
        role: "img",
        "aria-label": `${title}${whose && `, ${whose}`}: plot of the last 30 minutes, of which the table has the values`,
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
      page.point(Math.round((1 - (event.clientX - left) / width) * STEPS_MAX));
    });
    this.picture.addEventListener("pointerleave", () => page.point(null));
  }

  /** One list for each line, of which the last value is now. With a limit, that is the top. */
  show(lists, back, limit = null) {
    const largest = lists.flat().reduce((most, value) => (value > most ? value : most), this.least);
    const top = Math.max(limit ?? 0, limit === null ? roundUp(largest) : largest);
    say(this.top, limit === null ? `to ${this.unit(top)}` : `of ${this.unit(limit)}`);
    lists.forEach((list, at) => {
      const { tone, raised } = this.lines[at];
      const filled = tone === "came" || tone === "warn";
      // What has to stand out has no line where there is nothing.
      const drawn = raised ? list.map((value) => value || null) : list;
      mark(this.paths[at], "d", outline(drawn, top, filled));
      const value = list[list.length - 1 - back] ?? null;
      say(this.values[at], this.unit(value));
      mark(this.values[at], "data-raised", Boolean(raised && value > 0));
    });
    mark(this.cursor, "d", back > 0 && `M${PLOT_WIDTH - back} 0V${PLOT_HEIGHT}`);
  }
}

/** A path along the values; where there is none it is interrupted. */
function outline(list, top, filled) {
  const parts = [];
  let begin = null;
  list.forEach((value, at) => {
    // The newest stands at the right.
    const x = PLOT_WIDTH - (list.length - 1 - at);
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

// --- panels ---

/** What was refused before it had a lane is counted there. */
const NO_LANE = "none";

/**
 * Each panel has a title, a hint for who sees it for the first time, and `make`: it puts its elements into the
 * panel's node, once, and returns what draws them, which is called each second with
 * `{ now, history, time, back, latest }`. Where `when` is not true there is nothing to show. Half a panel stands
 * beside another one on a wide screen.
 */
const PANELS = [
  { title: "Is it well?", make: wellPanel },
  {
    title: "Latest messages",
    hint: "What landed last, as landfall tail shows it.",
    when: ({ latest }) => latest !== null,
    make: latestPanel,
  },
  {
    title: "Lanes",
    hint: "A lane is a way into Kafka with a queue and memory of its own. Received came from devices, landed is confirmed by Kafka and only then acknowledged, shed was left out for lack of room (QoS 0 only).",
    when: ({ now }) => now.lanes?.length > 0,
    make: lanesPanel,
  },
  {
    title: "No message without an outcome",
    hint: "Everything that was received since the start has landed, or is in one of the other places: add it up.",
    when: ({ now }) => isNumber(now.sum?.received) && now.lanes?.length > 0,
    half: true,
    make: sumPanel,
  },
  {
    title: "Connections",
    hint: "By listener and version of MQTT, and why connections ended since the start.",
    when: ({ now }) => now.connections?.listeners?.length > 0,
    half: true,
    make: connectionsPanel,
  },
  {
    title: "Kafka",
    hint: "Each lane has a producer of its own. A partition is well, slow, or away: then what belongs there waits.",
    when: ({ now }) => now.kafka?.length > 0,
    half: true,
    make: kafkaPanel,
  },
  {
    title: "Large messages",
    hint: "What is larger than its lane takes goes to the object store, and a reference to it through Kafka.",
    when: ({ now }) => isNumber(now.sum?.received) && now.lanes?.length > 0,
    half: true,
    make: largePanel,
  },
  {
    title: "Refused",
    hint: "What was not let in or not taken since the start, and why.",
    when: ({ now }) => Array.isArray(now.refused),
    half: true,
    make: refusedPanel,
  },
  {
    title: "Making events",
    hint: "The pools of the parse role: how far each is behind what landed.",
    when: ({ now }) => now.pools?.length > 0,
    half: true,
    make: poolsPanel,
  },
];

function wellPanel(body) {
  const sign = element("span", { class: "sign", "aria-hidden": "true" });
  const words = element("span");
  const verdict = element("p", { class: "verdict", role: "status" }, sign, words);
  const vitals = new Figures(
    ["received", "landed", "PUBACK p99", "in flight", "oldest not landed", "connections"],
    { class: "vitals" },
  );
  const list = element("ol", { class: "problems", "aria-label": "What is wrong" });
  const more = element("p", { class: "quiet" });
  const columns = [{ name: "problems", unit: count, how: LARGEST }];
  const before = new Plot("Problems, the last 30 minutes", "", count, [{ name: "problems", tone: "warn" }], 1, true);
  const minutes = new Minutes("Problems of the last 30 minutes", columns);
  const beside = element("div", { class: "beside" }, vitals.node, element("div", {}, before.node, minutes.node));
  body.append(verdict, list, more, beside);
  const problems = new Repeat(list, () => {
    const [text, about, toDo] = [element("p", { class: "text" }), element("p"), element("p")];
    const [told, link] = [element("span"), element("a", { target: "_blank" }, "Runbook")];
    toDo.append(told, " ", link);
    const node = element("li", { class: "problem" }, text, about, toDo);
    const show = (problem) => {
      say(text, problem.text);
      const keeps = problem.keeps_from_ready ? "; keeps the gateway from being ready" : "";
      const since = page.time - problem.since_seconds * 1000;
      say(about, `for ${long(problem.since_seconds)}, since ${clock(since)}${keeps}`);
      mark(node, "data-keeps", Boolean(problem.keeps_from_ready));
      say(told, problem.to_do);
      // Only to the gateway's own pages.
      const leads = /^\/runbook(#[\w-]*)?$/.test(problem.runbook ?? "");
      mark(link, "href", leads && problem.runbook.slice(1));
      mark(link, "hidden", !leads);
      mark(link, "aria-label", `Runbook: ${problem.text}`);
      mark(toDo, "hidden", !problem.to_do && !leads);
    };
    return [node, show];
  });
  return ({ now, history, time, back }) => {
    const [state, text, glyph] = verdictOf(now);
    mark(verdict, "data-state", state);
    say(sign, glyph);
    say(words, text);
    problems.show((now.problems ?? []).slice(0, PROBLEMS_MAX));
    const left = (now.problems?.length ?? 0) - PROBLEMS_MAX;
    say(more, left > 0 ? `and ${count(left)} more` : "");
    const lanes = now.lanes ?? [];
    const all = (figure) => lanes.reduce((sum, lane) => sum + (lane[figure] ?? 0), 0);
    const worst = (figure) => together(lanes.map((lane) => lane[figure]), LARGEST);
    mark(vitals.node, "hidden", lanes.length === 0);
    vitals.show("received", rate(all("received_per_second")));
    vitals.show("landed", rate(all("landed_per_second")));
    vitals.show("PUBACK p99", duration(worst("acknowledgement_p99_seconds")));
    vitals.show("in flight", count(now.sum?.in_flight));
    vitals.show("oldest not landed", duration(worst("oldest_seconds")));
    vitals.show("connections", count(now.connections?.open));
    const list = history.values("/problems");
    before.show([list], back);
    minutes.show([list], time);
  };
}

/** State, sentence and sign. */
function verdictOf(now) {
  const problems = now.problems?.length ?? 0;
  const wrong = problems === 1 ? "1 thing is wrong" : `${problems} things are wrong`;
  if (now.draining) return ["bad", "It drains: it takes no new work, and ends when all is acknowledged", "■"];
  if (!now.ready) return ["bad", problems > 0 ? `Not ready: ${wrong}` : "Not ready yet", "■"];
  return problems > 0 ? ["warn", `Ready, but ${wrong}`, "▲"] : ["well", "Well", "●"];
}

function latestPanel(body) {
  const line = element("code");
  const copied = element("span", { role: "status" });
  const button = element("button", { type: "button" }, "Copy");
  const publish = element("div", { class: "publish" }, element("pre", {}, line), button, copied);
  const list = element("ol", { class: "messages" });
  const messages = new Repeat(list, () => {
    const node = element("li");
    const show = ({ time, lane, text }) => say(node, `${clock(Date.parse(time))}  ${lane}  ${text}`);
    return [node, show];
  });
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(line.textContent);
      say(copied, "copied");
    } catch {
      // Browsers let pages of this machine and of TLS write there, and others not.
      getSelection().selectAllChildren(line);
      say(copied, "marked: press Ctrl+C");
    }
    setTimeout(() => say(copied, ""), 3000);
  });
  body.append(publish, list);
  return ({ latest }) => {
    mark(publish, "hidden", !latest.publish);
    say(line, latest.publish);
    messages.show((latest.messages ?? []).slice(0, MESSAGES_MAX));
  };
}

function lanesPanel(body) {
  const slider = element("input", {
    id: "back",
    type: "range",
    min: 0,
    max: STEPS_MAX,
    step: 1,
    value: STEPS_MAX,
  });
  const told = element("output", { for: "back" });
  slider.addEventListener("input", () => page.lookBack(STEPS_MAX - Number(slider.value)));
  body.append(element("div", { class: "back" }, element("label", { for: "back" }, "Figures of"), slider, told));
  const lanes = new Repeat(body, laneRow);
  return (data) => {
    const { now, back, time } = data;
    const ago = back * STEP_SECONDS;
    say(told, back === 0 ? "now" : `${long(ago)} ago, ${clock(time - ago * 1000)}`);
    mark(slider, "aria-valuetext", back === 0 ? "now" : `${long(ago)} ago`);
    const shown = now.lanes.filter(({ lane }) => lane !== NO_LANE);
    lanes.show(shown.map((lane) => ({ ...data, lane })));
  };
}

/** One lane: its name, four plots, and the table behind them. */
function laneRow() {
  const [name, facts] = [element("h3", { class: "name" }), element("p", { class: "facts" })];
  const [waiting, backlog] = [element("span", { "data-raised": true }), element("span")];
  facts.append(waiting, backlog);
  const plots = element("div", { class: "plots" });
  const node = element("section", { class: "lane" }, element("div", {}, name, facts), plots);
  let [drawn, minutes, lane] = [[], null, null];
  // A lane's plots carry its name for those who hear them, so they are made when it is known.
  const begin = (named) => {
    lane = named;
    say(name, lane);
    const whose = `lane ${lane}`;
    drawn = [
      new Plot("Messages", whose, rate, [
        { name: "received", tone: "came" },
        { name: "landed", tone: "good" },
        { name: "shed", tone: "bad", raised: true },
      ], 1),
      new Plot("Until PUBACK", whose, duration, [
        { name: "p50", tone: "quiet" },
        { name: "p99", tone: "other" },
      ], 0.01),
      new Plot("Memory held", whose, bytes, [{ name: "held", tone: "came" }], 1),
      new Plot("Oldest not landed", whose, duration, [{ name: "waits for", tone: "warn" }], 1),
    ];
    minutes = new Minutes(`The last 30 minutes of ${whose}`, [
      { name: "received", unit: rate, how: MEAN },
      { name: "landed", unit: rate, how: MEAN },
      { name: "shed", unit: rate, how: MEAN },
      { name: "PUBACK p50", unit: duration, how: LARGEST },
      { name: "PUBACK p99", unit: duration, how: LARGEST },
      { name: "held", unit: bytes, how: LARGEST },
      { name: "oldest", unit: duration, how: LARGEST },
    ]);
    plots.replaceChildren(...drawn.map((plot) => plot.node));
    node.querySelector("details")?.remove();
    node.append(minutes.node);
  };
  const show = ({ lane: figures, history, time, back }) => {
    if (figures.lane !== lane) begin(figures.lane);
    const waits = figures.waiting_connections;
    say(waiting, waits > 0 ? `${plural(waits, "connection waits", "connections wait")} for memory; ` : "");
    const inFlight = `${count(figures.in_flight)}${FIXED}in flight`;
    say(backlog, figures.backlog_records > 0 ? `${inFlight}, ${count(figures.backlog_records)}${FIXED}tried again` : inFlight);
    const lists = Object.keys(LANE_FIGURES).map((figure) => history.values(`${lane}/${figure}`));
    drawn[0].show(lists.slice(0, 3), back);
    drawn[1].show(lists.slice(3, 5), back);
    drawn[2].show(lists.slice(5, 6), back, figures.limit_bytes);
    drawn[3].show(lists.slice(6, 7), back);
    minutes.show(lists, time);
  };
  return [node, show];
}

const TERMS = [
  ["landed", "landed", "="],
  ["dead_lettered", "dead-lettered", "+"],
  ["refused", "refused", "+"],
  ["failed", "failed", "+"],
  ["in_flight", "in flight", "+"],
];

function sumPanel(body) {
  const list = element("dl", { class: "terms" });
  const term = (name, sign) => {
    const value = element("span");
    const number = element("dd", {}, value);
    if (sign) number.prepend(element("span", { class: "sign" }, sign));
    const node = element("div", {}, element("dt", {}, name), number);
    list.append(node);
    return [node, value];
  };
  const [, received] = term("received", "");
  const values = TERMS.map(([, name, sign]) => term(name, sign)[1]);
  const [box, difference] = term("difference", "");
  mark(box, "class", "difference");
  const columns = ["lane", "received", ...TERMS.map(([, name]) => name), "difference"];
  const table = new Table("The sum by lane", columns.map((name) => ({ name })));
  body.append(list, table.node);
  const marked = (value) => ({ text: count(value), mark: value === 0 ? "good" : "bad" });
  return ({ now }) => {
    say(received, count(now.sum.received));
    TERMS.forEach(([key], at) => say(values[at], count(now.sum[key])));
    say(difference, count(now.sum.difference));
    mark(box, "data-mark", marked(now.sum.difference).mark);
    const row = (lane) => {
      const name = lane.lane === NO_LANE ? "none: before it had one" : lane.lane;
      const terms = TERMS.map(([key]) => count(lane[key]));
      return [name, count(lane.received), ...terms, marked(lane.difference)];
    };
    table.show(now.lanes.map(row));
  };
}

function connectionsPanel(body) {
  const facts = element("p");
  const plot = new Plot("Open", "", count, [{ name: "open", tone: "came" }], 10, true);
  const minutes = new Minutes("Open connections of the last 30 minutes", [
    { name: "open", unit: count, how: LARGEST },
  ]);
  const columns = ["listener", "open", "limit", "MQTT 3.1", "3.1.1", "5"];
  const listeners = new Table("By listener", columns.map((name) => ({ name })));
  const reasons = new Table("Why they ended", [
    { name: "reason" },
    { name: "since the start" },
    { name: "now" },
  ]);
  const none = element("p", { class: "quiet" }, "None has ended.");
  body.append(facts, plot.node, minutes.node, listeners.node, reasons.node, none);
  return ({ now, history, time, back }) => {
    const { open, limit, silent, ended = [] } = now.connections;
    const quiet = silent > 0 ? `, and ${plural(silent, "socket", "sockets")} that said nothing yet` : "";
    say(facts, `${count(open)} open of at most ${count(limit)}${quiet}`);
    const list = history.values("/connections");
    plot.show([list], back);
    minutes.show([list], time);
    listeners.show(
      now.connections.listeners.map(({ listener, open, limit, versions = {} }) => {
        const byVersion = ["3.1", "3.1.1", "5"].map((version) => count(versions[version] ?? 0));
        return [listener, count(open), count(limit), ...byVersion];
      }),
    );
    const some = ended.filter((one) => one.count > 0).sort(mostFirst);
    reasons.show(some.map((one) => [one.reason, count(one.count), rate(one.per_second)]));
    mark(reasons.node, "hidden", some.length === 0);
    mark(none, "hidden", some.length > 0);
  };
}

/** What happens now stands first, then what happened most. */
const mostFirst = (one, other) => other.per_second - one.per_second || other.count - one.count;

function kafkaPanel(body) {
  const blocks = element("div", { class: "blocks" });
  body.append(blocks);
  const lanes = new Repeat(blocks, () => {
    const name = element("h3", { class: "name" });
    const [facts, error] = [element("p", { class: "facts" }), element("p", { class: "error" })];
    const [ready, rest] = [element("span"), element("span")];
    facts.append(ready, rest);
    const topics = element("div");
    const drawn = new Repeat(topics, topicRow);
    const show = (lane) => {
      say(name, lane.lane);
      say(ready, lane.producer_ready ? "producer ready" : "producer not ready");
      mark(ready, "data-raised", !lane.producer_ready);
      const trip = lane.round_trip_p99_seconds;
      const brokers = plural(lane.brokers_up ?? 0, "broker", "brokers");
      say(rest, `, ${brokers}` + (isNumber(trip) ? `, round trip p99 ${duration(trip)}` : ""));
      say(error, lane.error);
      mark(error, "hidden", !lane.error);
      const byTopic = new Map();
      for (const partition of lane.partitions ?? []) {
        if (!byTopic.has(partition.topic)) byTopic.set(partition.topic, []);
        byTopic.get(partition.topic).push(partition);
      }
      drawn.show([...byTopic].slice(0, ROWS_MAX));
    };
    return [element("section", {}, name, facts, error, topics), show];
  });
  return ({ now }) => lanes.show(now.kafka);
}

/** One topic: how many of its partitions are well, and each of them. */
function topicRow() {
  const [name, told] = [element("span", { class: "name" }), element("span", { class: "quiet" })];
  const list = element("ul", { class: "partitions" });
  const more = element("p", { class: "quiet" });
  const partitions = new Repeat(list, () => {
    const [number, words] = [element("span"), element("span")];
    const node = element("li", {}, number, words);
    const show = ({ partition, state, leader, waiting_records: waits }) => {
      mark(node, "data-state", state);
      say(number, partition);
      mark(words, "class", state === "well" && "heard");
      say(words, ` ${state}`);
      const records = waits > 0 ? `, ${plural(waits, "record waits", "records wait")}` : "";
      mark(node, "title", `partition ${partition}: ${state}, leader ${leader ?? "none"}${records}`);
    };
    return [node, show];
  });
  const show = ([topic, all]) => {
    say(name, topic);
    const states = ["away", "slow", "well"].map((state) => [state, all.filter((one) => one.state === state).length]);
    say(told, ": " + states.filter(([, many]) => many > 0).map(([state, many]) => `${count(many)} ${state}`).join(", "));
    mark(told, "data-mark", states[0][1] > 0 ? "bad" : states[1][1] > 0 && "warn");
    // What is not well is not left out.
    const order = { away: 0, slow: 1, well: 2 };
    const shown = [...all].sort((one, other) => order[one.state] - order[other.state] || one.partition - other.partition);
    partitions.show(shown.slice(0, PARTITIONS_MAX));
    say(more, all.length > PARTITIONS_MAX ? `and ${count(all.length - PARTITIONS_MAX)} more` : "");
  };
  return [element("div", {}, element("p", {}, name, told), list, more), show];
}

function largePanel(body) {
  const state = element("p");
  const figures = new Figures(
    ["open", "oldest open", "request p50", "request p99", "requests done", "requests failed", "tries failed"],
    { class: "vitals" },
  );
  body.append(state, figures.node);
  return ({ now: { large } }) => {
    mark(figures.node, "hidden", !large);
    if (!large) {
      say(state, "There is no object store.");
      mark(state, "class", "quiet");
      return;
    }
    say(state, large.well ? "The store is well." : `The store is not well${large.problem ? `: ${large.problem}` : "."}`);
    mark(state, "class", large.well ? "text" : "error");
    figures.show("open", count(large.open));
    figures.show("oldest open", duration(large.oldest_seconds));
    figures.show("request p50", duration(large.p50_seconds));
    figures.show("request p99", duration(large.p99_seconds));
    figures.show("requests done", count(large.requests_ok));
    figures.show("requests failed", count(large.requests_failed), large.requests_failed > 0 && "bad");
    figures.show("tries failed", count(large.attempts_failed), large.attempts_failed > 0 && "warn");
  };
}

function refusedPanel(body) {
  const table = new Table("What was refused, and why", [
    { name: "what" },
    { name: "lane", words: true },
    { name: "reason", words: true },
    { name: "since the start" },
    { name: "now" },
  ]);
  const none = element("p", { class: "quiet" }, "Nothing was refused.");
  body.append(table.node, none);
  return ({ now }) => {
    const some = now.refused.filter((one) => one.count > 0).sort(mostFirst);
    table.show(
      some.map(({ what, lane, reason, count: many, per_second: now }) => [
        what,
        lane && lane !== NO_LANE ? lane : NONE,
        reason,
        count(many),
        { text: rate(now), mark: now > 0 && "warn" },
      ]),
    );
    mark(table.node, "hidden", some.length === 0);
    mark(none, "hidden", some.length > 0);
  };
}

function poolsPanel(body) {
  const columns = ["pool", "behind", "oldest", "wanted within", "running", "held", "stopped", "events", "failures"];
  const table = new Table("Pools", columns.map((name) => ({ name })));
  body.append(table.node);
  return ({ now }) => {
    const row = (pool) => {
      const { running = 0, held = 0, stopped = 0 } = pool.partitions ?? {};
      const late = pool.lag_seconds > pool.freshness_target_seconds;
      return [
        pool.pool,
        count(pool.lag),
        { text: duration(pool.lag_seconds), mark: late && "warn" },
        duration(pool.freshness_target_seconds),
        count(running),
        { text: count(held), mark: held > 0 && "warn" },
        { text: count(stopped), mark: stopped > 0 && "bad" },
        rate(pool.events_per_second),
        { text: rate(pool.failures_per_second), mark: pool.failures_per_second > 0 && "warn" },
      ];
    };
    table.show(now.pools.map(row));
  };
}

// --- the page ---

const page = {
  now: null,
  latest: null,
  history: new History(),
  /** When `now` came, by a clock that does not jump, and what the gateway's clock said then. */
  heardAt: null,
  time: NaN,
  /** Steps back in time that the slider says, and that a pointer says in its place. */
  back: 0,
  pointed: null,
  drawn: [],
  waits: false,

  build() {
    const [panels, contents] = [byId("panels"), byId("contents")];
    for (const { title, hint, half, when = () => true, make } of PANELS) {
      const id = title.toLowerCase().replace(/[^a-z]+/g, "-").replace(/-$/, "");
      const heading = element("h2", { id: `${id}-title` }, title);
      const node = element("section", {
        id,
        class: "panel",
        "data-width": half && "half",
        "aria-labelledby": `${id}-title`,
        hidden: true,
      });
      node.append(heading);
      if (hint) node.append(element("p", { class: "hint" }, hint));
      const entry = element("li", { hidden: true }, element("a", { href: `#${id}` }, title));
      panels.append(node);
      contents.append(entry);
      this.drawn.push({ node, entry, when, draw: make(node) });
    }
    document.addEventListener("visibilitychange", () => this.drawSoon());
  },

  lookBack(steps) {
    this.back = Math.min(STEPS_MAX, Math.max(0, steps));
    this.drawSoon();
  },

  /** A pointer over a plot; null when it leaves. */
  point(steps) {
    this.pointed = steps === null ? null : Math.min(STEPS_MAX, Math.max(0, steps));
    this.drawSoon();
  },

  /** At most once for each picture that the browser shows, and not at all while nobody looks. */
  drawSoon() {
    if (this.waits || document.hidden) return;
    this.waits = true;
    requestAnimationFrame(() => {
      this.waits = false;
      this.draw();
    });
  },

  draw() {
    const { now, history, time, latest } = this;
    if (now === null) return;
    const data = { now, history, time, latest, back: this.pointed ?? this.back };
    say(byId("who"), now.gateway_id ?? "");
    say(byId("about"), `${now.role ?? ""} ${now.version ?? ""}, runs for ${long(now.uptime_seconds)}`);
    const kept = now.history ?? {};
    say(
      byId("kept"),
      isNumber(kept.oldest_seconds)
        ? `The gateway keeps the last ${long(kept.oldest_seconds)} in ${bytes(kept.memory_bytes)} of its memory.`
        : "",
    );
    for (const panel of this.drawn) {
      const shown = panel.when(data);
      mark(panel.node, "hidden", !shown);
      mark(panel.entry, "hidden", !shown);
      if (!shown) continue;
      try {
        panel.draw(data);
      } catch (error) {
        // One panel that cannot be drawn hides no other.
        console.error("a panel cannot be drawn", error);
      }
    }
  },
};

/** What the browser's tab says, which is there while others are looked at. */
function entitle(state, sentence, sign) {
  const title = `${sign} ${sentence} – ${page.now?.gateway_id ?? "Landfall"}`;
  if (document.title !== title) document.title = title;
  const colour = { well: "%230d7a5f", warn: "%23c98a00", bad: "%23b3261e" }[state];
  const shape = {
    well: `%3Ccircle cx='8' cy='8' r='7' fill='${colour}'/%3E`,
    warn: `%3Cpath d='M8 1l7 14H1z' fill='${colour}'/%3E`,
    bad: `%3Cpath d='M1 1h14v14H1z' fill='${colour}'/%3E`,
  }[state];
  const frame = "%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E";
  mark(byId("icon"), "href", `data:image/svg+xml,${frame}${shape}%3C/svg%3E`);
}

// --- the feed ---

const TOKEN_KEY = "landfall.token";

const feed = {
  /** connecting, live, lost or refused. */
  state: "connecting",
  token: null,
  /** Since when nothing is heard, by both clocks; null while all is well. */
  lostAt: null,
  backUntil: 0,
  wake: null,

  async run() {
    try {
      this.token = sessionStorage.getItem(TOKEN_KEY);
    } catch {
      // A browser that lets no page store anything asks again after a reload.
    }
    let pause = 0;
    for (;;) {
      let ended;
      try {
        ended = await this.listen();
      } catch (error) {
        ended = { why: error.name === "AbortError" ? "nothing came" : "it does not answer" };
      }
      if (ended.again) {
        pause = 0;
      } else if (ended.refused) {
        this.tell("refused", ended.refused);
        pause = ended.wait;
      } else {
        this.lost(ended.why);
        pause = Math.min(RETRY_MAX_MS, Math.max(RETRY_FIRST_MS, 2 * pause));
      }
      if (pause !== 0) await this.rest(pause);
    }
  },

  /** Until the time is over or somebody wakes it; null waits for that alone. */
  rest(time) {
    return new Promise((resolve) => {
      const timer = time === null ? null : setTimeout(resolve, time);
      this.wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  },

  /** Listens to one stream to its end, and says how it ended. */
  async listen() {
    const { history } = page;
    const known = new URLSearchParams({ after: history.end, process: history.process ?? "" });
    const after = history.end > 0 ? `?${known}` : "";
    const headers = this.token ? { Authorization: `Bearer ${this.token}` } : {};
    const silence = new AbortController();
    let timer = setTimeout(() => silence.abort(), SILENCE_MS);
    try {
      const options = { headers, cache: "no-store", signal: silence.signal };
      const answer = await fetch(`api/v1/live${after}`, options);
      if (!answer.ok) return await this.refusal(answer);
      this.asksForToken(false);
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      let [text, heard] = ["", false];
      for (;;) {
        const { value, done } = await reader.read();
        clearTimeout(timer);
        if (done) return heard ? { again: true } : { why: "it answers without figures" };
        timer = setTimeout(() => silence.abort(), SILENCE_MS);
        const events = (text + value).split("\n\n");
        text = events.pop();
        if (text.length > EVENT_MAX) return { why: "it says more at once than can be taken" };
        for (const event of events) {
          heard = true;
          if (!this.take(event, after !== "")) return { again: true };
        }
      }
    } finally {
      clearTimeout(timer);
      silence.abort();
    }
  },

  /** What an answer without figures means. */
  async refusal(answer) {
    const text = (await answer.text()).slice(0, EVENT_MAX);
    let why = text.trim();
    try {
      why = JSON.parse(text).error ?? why;
    } catch {
      // Not every answer is JSON.
    }
    why = String(why).slice(0, REASON_MAX) || `it answers ${answer.status}`;
    const wait = Math.max(1, Number(answer.headers.get("retry-after")) || 10) * 1000;
    if ([401, 403, 429].includes(answer.status)) {
      this.asksForToken(true, this.token ? why : "");
      const told = this.token ? "the gateway does not take this token" : "the gateway asks for a token";
      // Another try with the same would be counted as guessing.
      return { refused: told, wait: null };
    }
    return { refused: why, wait };
  },

  /** One event of the stream; false where it is to be asked for anew. */
  take(event, continued) {
    let [kind, data] = ["message", ""];
    for (const line of event.split("\n")) {
      if (line.startsWith("event:")) kind = line.slice(6).trim();
      if (line.startsWith("data:")) data += line.slice(5).trimStart();
    }
    if (data === "") return true;
    const value = JSON.parse(data);
    if (kind === "history") {
      // Another process answers, and left out what is older than the page knows of the one before.
      if (continued && value.process !== page.history.process) {
        page.history.begin(null);
        return false;
      }
      page.history.take(value);
    } else if (kind === "latest") {
      page.latest = value;
    } else if (kind === "now") {
      this.heard(value);
    }
    page.drawSoon();
    return true;
  },

  heard(now) {
    const anew = page.now !== null && page.now.process !== now.process;
    page.history.add(now);
    page.now = now;
    page.time = Date.parse(now.time);
    page.heardAt = performance.now();
    say(byId("clock"), clock(page.time));
    entitle(...verdictOf(now));
    if (anew) page.latest = null;
    if (this.lostAt !== null) {
      const away = long((performance.now() - this.lostAt) / 1000);
      const text = anew ? `the gateway was started anew, it was away for ${away}` : `the gateway is back, it was away for ${away}`;
      this.backUntil = performance.now() + BACK_MS;
      this.lostAt = null;
      this.tell("live", text);
    } else if (this.state !== "live" || performance.now() > this.backUntil) {
      this.tell("live", "live");
    }
  },

  /** The gateway is lost; what it said last stays, and says so. */
  lost(why) {
    if (this.lostAt === null) this.lostAt = page.heardAt ?? performance.now();
    const since = Date.now() - (performance.now() - this.lostAt);
    this.tell("lost", `the gateway is lost since ${clock(since)}: ${why}`);
    entitle("bad", "Lost", "■");
  },

  tell(state, text) {
    this.state = state;
    mark(byId("link"), "data-link", state);
    mark(document.body, "data-stale", state !== "live" && page.now !== null);
    say(byId("said"), text);
  },

  asksForToken(asks, why) {
    const form = byId("token");
    if (!asks) {
      mark(form, "hidden", true);
      return;
    }
    const isNew = form.hidden;
    mark(form, "hidden", false);
    say(byId("token-why"), why ? `${why}.` : "It stays in this tab, and goes with it.");
    if (isNew) byId("token-text").focus();
  },

  build() {
    byId("token").addEventListener("submit", (event) => {
      event.preventDefault();
      const field = byId("token-text");
      this.token = field.value.trim() || null;
      field.value = "";
      try {
        if (this.token) sessionStorage.setItem(TOKEN_KEY, this.token);
        else sessionStorage.removeItem(TOKEN_KEY);
      } catch {
        // It is known until the next reload.
      }
      this.tell("connecting", "connecting to the gateway …");
      this.wake?.();
    });
  },
};

page.build();
feed.build();
feed.run();
