import type { Cells } from './api';
import { plural, range } from './format';

/** A stretch of neighbouring cells of which something is so. */
export interface Run {
  from: number;
  to: number;
}

export function runs(n: number, is: (cell: number) => boolean): Run[] {
  const found: Run[] = [];
  for (let i = 0; i < n; i++) {
    if (!is(i)) continue;
    const last = found[found.length - 1];
    if (last && last.to === i) last.to = i + 1;
    else found.push({ from: i, to: i + 1 });
  }
  return found;
}

const at = (figures: number[], cell: number) => figures[cell] ?? 0;

/** Held by one and wanted by another that asks for it. */
export function contended(cells: Cells, cell: number): boolean {
  return at(cells.held, cell) > 0 && at(cells.waiting, cell) > 0;
}

/** Higher for more, but a single lock is seen beside thousands: 0, or from a quarter to one. */
export function height(n: number, most: number): number {
  if (n <= 0) return 0;
  return most <= 1 ? 1 : 0.25 + (0.75 * Math.log(n)) / Math.log(most);
}

export function cellStart(cells: Cells, cell: number): number {
  return cells.start + cell * cells.cellBytes;
}

export function cellEnd(cells: Cells, cell: number): number {
  return Math.min(cells.end, cells.start + (cell + 1) * cells.cellBytes);
}

/** A cell in words, for those who do not see the picture and those who want to know exactly. */
export function describe(cells: Cells, cell: number): string {
  const held = at(cells.held, cell);
  const parts: string[] = [];
  if (held === 0) parts.push('nothing is held');
  else {
    const writing = at(cells.writing, cell);
    parts.push(`${plural(held, 'lock')} held (${writing === 0 ? 'none' : writing === held ? 'all' : writing} to write)`);
  }
  if (at(cells.recalled, cell)) parts.push(`${at(cells.recalled, cell)} recalled`);
  if (at(cells.closing, cell)) parts.push(`${at(cells.closing, cell)} lost, not free yet`);
  if (at(cells.waiting, cell)) parts.push(`${at(cells.waiting, cell)} waiting`);
  if (at(cells.standby, cell)) parts.push(`${at(cells.standby, cell)} on standby`);
  if (contended(cells, cell)) parts.push('contended');
  return `${range(cellStart(cells, cell), cellEnd(cells, cell))}: ${parts.join(', ')}`;
}

/** What the whole picture says, in one sentence. */
export function summary(cells: Cells): string {
  const n = cells.held.length;
  const share = (is: (cell: number) => boolean) => {
    const hits = runs(n, is).reduce((sum, run) => sum + run.to - run.from, 0);
    return hits === 0 ? '0 %' : hits === n ? '100 %' : `${Math.min(99, Math.max(1, Math.round((hits / n) * 100)))} %`;
  };
  return (
    `Held: ${share((i) => at(cells.held, i) > 0)} of what is shown, waited for: ` +
    `${share((i) => at(cells.waiting, i) > 0)}, contended: ${share((i) => contended(cells, i))}.`
  );
}

/** Round offsets, at most so many of them, within what is shown. */
export function ticks(start: number, end: number, most: number): number[] {
  let step = 1;
  while ((end - start) / step > most) step *= 2;
  const found: number[] = [];
  for (let t = Math.ceil(start / step) * step; t <= end; t += step) found.push(t);
  return found;
}
