// The page itself: it holds what was told last, has the panels draw it, and changes nothing of the gateway.

const page = {
  now: null,
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
      const id = title
        .toLowerCase()
        .replace(/[^a-z]+/g, "-")
        .replace(/-$/, "");
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
    this.back = Math.max(0, steps);
    this.drawSoon();
  },

  /** A pointer over a plot; null when it leaves. */
  point(steps) {
    this.pointed = steps === null ? null : Math.min(this.history.span, Math.max(0, steps));
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
    const { now, history, time } = this;
    if (now === null) return;
    this.back = Math.min(this.back, history.span);
    const data = { now, history, time, back: this.pointed ?? this.back };
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
        // One panel that cannot be drawn hides no other, and says so once.
        if (!panel.failed) console.error(`the panel ${panel.node.id} cannot be drawn`, error);
        panel.failed = true;
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

page.build();
feed.build();
feed.run();
