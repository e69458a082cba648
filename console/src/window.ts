/** Which part of a volume is to be seen: whole blocks, from a few of them to the whole volume. */

export const BLOCK = 4096;
const FEWEST_BLOCKS = 16;

export interface Window {
  start: number;
  end: number;
}

/** The window of this length nearest to where it is wanted. */
function fit(start: number, span: number, size: number): Window {
  const whole = Math.ceil(size / BLOCK) * BLOCK;
  const least = Math.min(whole, FEWEST_BLOCKS * BLOCK);
  const length = Math.min(whole, Math.max(least, Math.round(span / BLOCK) * BLOCK));
  const from = Math.min(whole - length, Math.max(0, Math.round(start / BLOCK) * BLOCK));
  return { start: from, end: Math.min(size, from + length) };
}

export function whole(size: number): Window {
  return fit(0, size, size);
}

/** `factor` below 1 shows less; what is at `at` stays where it is on the screen. */
export function zoom(w: Window, size: number, factor: number, at = (w.start + w.end) / 2): Window {
  const span = (w.end - w.start) * factor;
  return fit(at - (at - w.start) * factor, span, size);
}

/** By a part of what is seen; negative to the left. */
export function pan(w: Window, size: number, part: number): Window {
  const span = w.end - w.start;
  return fit(w.start + span * part, span, size);
}

/** A cell with as much of its neighbourhood as makes it a tenth of the picture. */
export function around(start: number, end: number, size: number): Window {
  const span = (end - start) * 10;
  return fit((start + end) / 2 - span / 2, span, size);
}

export function isWhole(w: Window, size: number): boolean {
  return w.start === 0 && w.end === size;
}
