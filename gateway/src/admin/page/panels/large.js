// Large messages and the store that they go to.

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
    say(
      state,
      large.well
        ? "The store is well."
        : `The store is not well${large.problem ? `: ${large.problem}` : "."}`,
    );
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
