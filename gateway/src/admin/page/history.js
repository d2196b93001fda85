// The last half hour: what the gateway kept of it, and what the page heard since then.

/** What is drawn of the past: half an hour in steps of 5 s, as the gateway keeps it. */
const STEPS_MAX = 360;
const STEP_SECONDS = 5;
/** How much of it plots show, in steps: the least that has all that is known, so that a start is seen too. */
const SPANS = [24, 60, 120, STEPS_MAX];
/** Samples of a step, which has one each second unless a clock is odd. */
const SAMPLES_MAX = 2 * STEP_SECONDS;

/** How the samples of a step become one value. */
const MEAN = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
const LARGEST = (values) => values.reduce((most, value) => Math.max(most, value));

/** One value of some; null where there is none. */
function together(values, how) {
  const known = values.filter(isNumber);
  return known.length === 0 ? null : how(known);
}

/** The figures of a lane that have a past, and how those of a step become one. */
const LANE_FIGURES = {
  received_per_second: MEAN,
  landed_per_second: MEAN,
  shed_per_second: MEAN,
  acknowledgement_p50_seconds: LARGEST,
  acknowledgement_p99_seconds: LARGEST,
  held_bytes: LARGEST,
  oldest_seconds: LARGEST,
};

/** By its name, where a series is in a sample: the whole process has two, each lane has all of its figures. */
const CONNECTIONS = "connections";
const PROBLEMS = "problems";
const seriesOf = (lane, figure) => `lane ${lane} ${figure}`;

class History {
  constructor() {
    this.begin(null);
  }

  /** Of another process nothing is known yet. */
  begin(process) {
    this.process = process;
    /** Of each series the values of its steps, from the oldest to the one that is not over; all equally long. */
    this.series = new Map();
    this.length = 0;
    /** The number of the newest step, and what was told of it. */
    this.step = null;
    this.samples = [];
    /** The last sample that is in it. */
    this.sequence = 0;
  }

  /** The past as the gateway kept it: steps that the page missed, or knows in part. */
  take(kept) {
    if (kept.process !== this.process) this.begin(kept.process);
    const lists = new Map([
      [CONNECTIONS, kept.connections],
      [PROBLEMS, kept.problems],
    ]);
    for (const [lane, figures] of Object.entries(kept.lanes ?? {})) {
      for (const figure of Object.keys(LANE_FIGURES)) {
        lists.set(seriesOf(lane, figure), figures[figure]);
      }
    }
    const steps = kept.problems?.length ?? 0;
    for (let at = Math.max(0, steps - STEPS_MAX); at < steps; at++) {
      const values = new Map();
      for (const [name, list] of lists) values.set(name, list?.[at] ?? null);
      this.put(kept.first_step + at, values);
    }
    this.sequence = Math.max(this.sequence, kept.last_sequence);
    // What the gateway says of the step that is not over counts as a sample of it.
    const told = new Map();
    for (const [name, list] of this.series) told.set(name, { value: list[list.length - 1] });
    this.samples = this.step === null ? [] : [told];
  }

  /** One more second. */
  add(now) {
    if (now.process !== this.process) this.begin(now.process);
    if (now.sequence <= this.sequence) return;
    this.sequence = now.sequence;
    const sample = this.sample(now);
    const goesOn = now.step === this.step && this.samples.length < SAMPLES_MAX;
    this.samples = goesOn ? [...this.samples, sample] : [sample];
    const values = new Map();
    for (const [name, { how }] of sample) {
      values.set(
        name,
        together(
          this.samples.map((one) => one.get(name)?.value),
          how,
        ),
      );
    }
    this.put(now.step, values);
  }

  sample(now) {
    const values = new Map([
      [CONNECTIONS, { value: now.connections?.open, how: LARGEST }],
      [PROBLEMS, { value: now.problems?.length, how: LARGEST }],
    ]);
    for (const lane of now.lanes ?? []) {
      for (const [figure, how] of Object.entries(LANE_FIGURES)) {
        values.set(seriesOf(lane.lane, figure), { value: lane[figure], how });
      }
    }
    return values;
  }

  /** Sets the values of a step, which may be the next, one behind a gap, or one that is there. */
  put(step, values) {
    const missing = this.step === null ? 1 : step - this.step;
    for (let left = Math.min(missing, STEPS_MAX); left > 0; left--) this.grow();
    if (this.step === null || step > this.step) this.step = step;
    const at = this.length - 1 - (this.step - step);
    if (at < 0) return;
    for (const [name, value] of values) {
      if (!this.series.has(name)) this.series.set(name, new Array(this.length).fill(null));
      this.series.get(name)[at] = value;
    }
  }

  /** One more step, of which nothing is known. */
  grow() {
    for (const list of this.series.values()) {
      list.push(null);
      if (list.length > STEPS_MAX) list.shift();
    }
    this.length = Math.min(STEPS_MAX, this.length + 1);
  }

  /** Steps that plots show. */
  get span() {
    return SPANS.find((span) => this.length <= span);
  }

  /** From the oldest step to the one that is not over. */
  values(name) {
    return this.series.get(name) ?? [];
  }
}
