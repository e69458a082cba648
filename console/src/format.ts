/** Figures for people. */

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'];

/** Three digits or so: 0 B, 4 KiB, 1.5 MiB. */
export function bytes(n: number): string {
  let unit = 0;
  let value = n;
  while (Math.abs(value) >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${trim(value)} ${UNITS[unit]}`;
}

function trim(value: number): string {
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  const text = value.toFixed(digits);
  return digits === 0 ? text : text.replace(/\.?0+$/, '');
}

/** Locks of a whole volume end at 2^63 - 1, which is no place. */
const BEHIND_ALL = 2 ** 62;

/** An offset exactly: in the largest unit of which it is a whole number. */
export function offset(n: number): string {
  if (n >= BEHIND_ALL) return 'end';
  let unit = 0;
  let value = n;
  while (value !== 0 && value % 1024 === 0 && unit < UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  return value < 10_000 ? `${value} ${UNITS[unit]}` : `${n.toLocaleString('en')} B`;
}

export function range(start: number, end: number): string {
  return start === 0 && end >= BEHIND_ALL ? 'the whole volume' : `[${offset(start)}, ${offset(end)})`;
}

export function count(n: number): string {
  return n.toLocaleString('en');
}

/** 950 µs, 1.2 ms, 3 s. */
export function micros(us: number): string {
  if (us < 1000) return `${trim(us)} µs`;
  if (us < 1e6) return `${trim(us / 1000)} ms`;
  return `${trim(us / 1e6)} s`;
}

/** 5 s, 3 min 20 s, 2 h 5 min. */
export function seconds(s: number): string {
  const whole = Math.max(0, Math.round(s));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return whole % 60 === 0 ? `${whole / 60} min` : `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

export function plural(n: number, one: string, many = one + 's'): string {
  return `${count(n)} ${n === 1 ? one : many}`;
}

/** Ids are long, and begin differently. */
export function shortId(id: string): string {
  return id.length <= 12 ? id : id.slice(0, 8) + '…';
}
