/** Which part of a volume is to be seen: whole blocks, from a few of them to the whole volume. */

export const BLOCK = 4096;
const FEWEST_BLOCKS = 16;
/** Of a picture; there are half as many at least. */
const MOST_CELLS = 400;

export interface Window {
  start: number;
  end: number;
}

/** Cells are powers of two, so that they begin and end at offsets that can be read. */
export function cellBytes(span: number): number {
  let cell = BLOCK;
  while (span / cell > MOST_CELLS) cell *= 2;
  return cell;
}

/** How many cells to ask for, so that they are as long as that. */
export function cellsOf(w: Window): number {
  const span = w.end - w.start;
  return Math.ceil(span / cellBytes(span));
}

/** The window of about this length nearest to where it is wanted, of whole cells. */
function fit(start: number, span: number, size: number): Window {
  const all = Math.ceil(size / BLOCK) * BLOCK;
  const least = Math.min(all, FEWEST_BLOCKS * BLOCK);
  const wanted = Math.min(all, Math.max(least, span));
  const cell = cellBytes(wanted);
  const length = Math.max(least, Math.round(wanted / cell) * cell);
  const last = Math.max(0, Math.floor((all - length) / cell) * cell);
  const from = Math.min(last, Math.max(0, Math.round(start / cell) * cell));
  // At the right end the last cells may be more than were wanted: nothing is left out there.
  const end = from + length + cell > all ? all : from + length;
  return { start: from, end: Math.min(size, end) };
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
