// The lanes: what comes, what lands, how long it takes, what it holds, and how that was.

function lanesPanel(body) {
  const slider = element("input", { id: "back", type: "range", min: 0, max: 0, step: 1 });
  const [label, told] = [element("label", { for: "back" }), element("span", { class: "quiet" })];
  slider.addEventListener("input", () => page.lookBack(Number(slider.max) - Number(slider.value)));
  body.append(element("div", { class: "back" }, label, slider, told));
  const lanes = new Repeat(body, laneRow);
  return (data) => {
    const { now, back, time, history } = data;
    say(label, `Plots of the last ${long(history.span * STEP_SECONDS)}, figures of`);
    mark(slider, "max", history.span);
    // Not while a pointer says another time.
    slider.value = history.span - page.back;
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
      new Plot(
        "Messages",
        whose,
        rate,
        [
          { name: "received", tone: "came" },
          { name: "landed", tone: "good" },
          { name: "shed", tone: "bad", raised: true },
        ],
        1,
      ),
      new Plot(
        "Until PUBACK",
        whose,
        duration,
        [
          { name: "p50", tone: "quiet" },
          { name: "p99", tone: "other" },
        ],
        0.01,
      ),
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
  const show = (data) => {
    const { lane: figures, history, time } = data;
    if (figures.lane !== lane) begin(figures.lane);
    const waits = figures.waiting_connections;
    say(waiting, waits > 0 ? `${plural(waits, "connection waits", "connections wait")} for memory; ` : "");
    const inFlight = `${count(figures.in_flight)}${FIXED}in flight`;
    say(
      backlog,
      figures.backlog_records > 0
        ? `${inFlight}, ${count(figures.backlog_records)}${FIXED}tried again`
        : inFlight,
    );
    const lists = Object.keys(LANE_FIGURES).map((figure) => history.values(seriesOf(lane, figure)));
    const current = Object.keys(LANE_FIGURES).map((figure) => figures[figure]);
    const part = (begin, end, limit) => [
      lists.slice(begin, end),
      data,
      { limit, current: current.slice(begin, end) },
    ];
    drawn[0].show(...part(0, 3));
    drawn[1].show(...part(3, 5));
    drawn[2].show(...part(5, 6, figures.limit_bytes));
    drawn[3].show(...part(6, 7));
    minutes.show(lists, time);
  };
  return [node, show];
}
