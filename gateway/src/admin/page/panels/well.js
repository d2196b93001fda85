// Is it well? What is wrong, since when, and what to do.

/** Problems that are drawn at most. */
const PROBLEMS_MAX = 50;

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
  const before = new Plot("Problems", "", count, [{ name: "at a time", tone: "warn" }], 1, true);
  const minutes = new Minutes("Problems of the last 30 minutes", columns);
  const beside = element(
    "div",
    { class: "beside" },
    vitals.node,
    element("div", {}, before.node, minutes.node),
  );
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
  return (data) => {
    const { now, history, time } = data;
    const [state, text, glyph] = verdictOf(now);
    mark(verdict, "data-state", state);
    say(sign, glyph);
    say(words, text);
    problems.show((now.problems ?? []).slice(0, PROBLEMS_MAX));
    const left = (now.problems?.length ?? 0) - PROBLEMS_MAX;
    say(more, left > 0 ? `and ${count(left)} more` : "");
    const lanes = now.lanes ?? [];
    const all = (figure) => lanes.reduce((sum, lane) => sum + (lane[figure] ?? 0), 0);
    const worst = (figure) =>
      together(
        lanes.map((lane) => lane[figure]),
        LARGEST,
      );
    mark(vitals.node, "hidden", lanes.length === 0);
    vitals.show("received", rate(all("received_per_second")));
    vitals.show("landed", rate(all("landed_per_second")));
    vitals.show("PUBACK p99", duration(worst("acknowledgement_p99_seconds")));
    vitals.show("in flight", count(now.sum?.in_flight));
    vitals.show("oldest not landed", duration(worst("oldest_seconds")));
    vitals.show("connections", count(now.connections?.open));
    const list = history.values(PROBLEMS);
    before.show([list], data, { current: [now.problems?.length] });
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
