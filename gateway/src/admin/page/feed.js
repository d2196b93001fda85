// The feed: it asks for `/api/v1/live`, reads what comes once a second, and says when nothing does.

/** One event of the feed, in characters. */
const EVENT_MAX = 4_000_000;
/** What a refusal says, in characters. */
const REASON_MAX = 500;
/** Without a word for so long, the gateway counts as lost. It says something each second. */
const SILENCE_MS = 5_000;
/** Pauses between tries to reach it again: the first, and the longest. */
const RETRY_FIRST_MS = 500;
const RETRY_MAX_MS = 5_000;
/** When to ask again whoever refuses and does not say when. */
const REFUSED_MS = 10_000;
/** How long it is said that the gateway is back. */
const BACK_MS = 15_000;
const TOKEN_KEY = "landfall.token";
/** What a stream that broke off means, by the name of what was thrown. */
const FAULTS = {
  AbortError: "it says nothing",
  SyntaxError: "it says what this page does not understand",
  TypeError: "it does not answer",
};

const feed = {
  /** connecting, live, lost or refused. */
  state: "connecting",
  token: null,
  /** Since when nothing is heard, by a clock that does not jump; null while all is well. */
  lostAt: null,
  lostSince: "",
  /** Before the next try, in milliseconds; null waits for a person. */
  pause: 0,
  backUntil: 0,
  wake: null,

  async run() {
    try {
      this.token = sessionStorage.getItem(TOKEN_KEY);
    } catch {
      // A browser that lets no page store anything asks again after a reload.
    }
    for (;;) {
      const ended = await this.listen().catch((error) => ({ why: FAULTS[error.name] ?? FAULTS.TypeError }));
      if (ended.again) {
        this.pause = 0;
      } else if (ended.refused) {
        this.tell("refused", ended.refused);
        this.pause = ended.wait;
      } else {
        this.lost(ended.why);
        this.pause = Math.min(RETRY_MAX_MS, Math.max(RETRY_FIRST_MS, 2 * this.pause));
      }
      if (this.pause !== 0) await this.rest(this.pause);
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
    const known = new URLSearchParams({ after: history.sequence, process: history.process ?? "" });
    const after = history.sequence > 0 ? `?${known}` : "";
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
        heard ||= events.length > 0;
        events.forEach((event) => this.take(event));
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
    const wait = Math.max(1, Number(answer.headers.get("retry-after")) || REFUSED_MS / 1000) * 1000;
    if ([401, 403, 429].includes(answer.status)) {
      this.asksForToken(true, this.token ? why : "");
      const told = this.token ? "the gateway does not take this token" : "the gateway asks for a token";
      // Another try with the same would be counted as guessing.
      this.keep(null);
      return { refused: told, wait: null };
    }
    return { refused: `${why}; asked again every ${long(wait / 1000)}`, wait };
  },

  /** One event of the stream. */
  take(event) {
    let [kind, data] = ["message", ""];
    for (const line of event.split("\n")) {
      if (line.startsWith("event:")) kind = line.slice(6).trim();
      if (line.startsWith("data:")) data += line.slice(5).trimStart();
    }
    if (data === "") return;
    const value = JSON.parse(data);
    if (kind === "history") {
      page.history.take(value);
    } else if (kind === "now") {
      this.heard(value);
    }
    page.drawSoon();
  },

  heard(now) {
    const anew = page.now !== null && page.now.process !== now.process;
    page.history.add(now);
    page.now = now;
    page.time = Date.parse(now.time);
    page.heardAt = performance.now();
    this.pause = 0;
    say(byId("clock"), clock(page.time));
    entitle(...verdictOf(now));
    if (this.lostAt !== null) {
      const away = long((performance.now() - this.lostAt) / 1000);
      const text = anew
        ? `the gateway was started anew, it was away for ${away}`
        : `the gateway is back, it was away for ${away}`;
      this.backUntil = performance.now() + BACK_MS;
      this.lostAt = null;
      this.tell("live", text);
    } else if (this.state !== "live" || performance.now() > this.backUntil) {
      this.tell("live", "live");
    }
  },

  /** The gateway is lost; what it said last stays, and says so. */
  lost(why) {
    if (this.lostAt === null) {
      this.lostAt = page.heardAt ?? performance.now();
      this.lostSince = clock(Date.now() - (performance.now() - this.lostAt));
    }
    this.tell("lost", `the gateway is lost since ${this.lostSince}: ${why}`);
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

  keep(token) {
    this.token = token;
    try {
      if (token) sessionStorage.setItem(TOKEN_KEY, token);
      else sessionStorage.removeItem(TOKEN_KEY);
    } catch {
      // It is known until the next reload.
    }
  },

  build() {
    byId("token").addEventListener("submit", (event) => {
      event.preventDefault();
      const field = byId("token-text");
      this.keep(field.value.trim() || null);
      field.value = "";
      this.tell("connecting", "connecting to the gateway …");
      this.wake?.();
    });
  },
};
