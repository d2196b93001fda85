// Numbers as people read them: with units, and with as many digits as help.

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
