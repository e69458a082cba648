/** Lines over time, as paths of an SVG. */

export interface Point {
  at: number;
  value: number | null;
}

/** A round figure that is not less. */
export function ceiling(value: number, binary: boolean): number {
  if (value <= 0) return 1;
  const base = binary ? 2 : 10;
  const steps = binary ? [1, 2] : [1, 2, 5, 10];
  const power = base ** Math.floor(Math.log(value) / Math.log(base));
  return steps.map((s) => s * power).find((s) => s >= value) ?? base * power;
}

/** A gap is a gap: no line over what nobody measured. A point between two gaps is a line of no length, which round ends show. */
export function path(points: Point[], from: number, to: number, top: number, width: number, height: number): string {
  let text = '';
  let drawing = false;
  for (const { at, value } of points) {
    if (value === null || at < from) {
      drawing = false;
      continue;
    }
    const x = ((at - from) / (to - from)) * width;
    const y = height - (Math.min(value, top) / top) * height;
    text += drawing ? `L${x.toFixed(1)} ${y.toFixed(1)}` : `M${x.toFixed(1)} ${y.toFixed(1)}h0`;
    drawing = true;
  }
  return text;
}

/** The newer points behind the older ones, and only those of the window. */
export function joined<T extends { atMillis: number }>(older: T[], newer: T[], spanMillis: number): T[] {
  const last = older[older.length - 1]?.atMillis ?? -Infinity;
  const all = [...older, ...newer.filter((point) => point.atMillis > last)];
  const newest = all[all.length - 1]?.atMillis ?? 0;
  return all.filter((point) => point.atMillis > newest - spanMillis);
}
