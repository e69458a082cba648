import { describe as group, expect, it } from 'vitest';
import type { Cells } from '../src/api';
import { cellEnd, contended, describe, height, runs, summary, ticks } from '../src/cells';

const cells: Cells = {
  start: 0,
  end: 4096 * 3 + 100,
  cellBytes: 4096,
  exact: true,
  held: [1, 3, 0, 2],
  writing: [1, 0, 0, 1],
  recalled: [0, 1, 0, 0],
  closing: [0, 0, 0, 2],
  waiting: [0, 2, 1, 0],
  standby: [1, 0, 0, 0],
};

group('cells', () => {
  it('are told in words', () => {
    expect(describe(cells, 0)).toBe('[0 B, 4 KiB): 1 lock held (all to write), 1 on standby');
    expect(describe(cells, 1)).toBe('[4 KiB, 8 KiB): 3 locks held (none to write), 1 recalled, 2 waiting, contended');
    expect(describe(cells, 2)).toBe('[8 KiB, 12 KiB): nothing is held, 1 waiting');
    expect(describe(cells, 3)).toBe('[12 KiB, 12,388 B): 2 locks held (1 to write), 2 lost, not free yet');
  });

  it('are contended where one holds what another asks for, and not for a standby', () => {
    expect([0, 1, 2, 3].map((i) => contended(cells, i))).toEqual([false, true, false, false]);
  });

  it('end with the picture', () => {
    expect(cellEnd(cells, 3)).toBe(cells.end);
  });

  it('are summed up', () => {
    expect(summary(cells)).toBe('Held: 75 % of what is shown, waited for: 50 %, contended: 25 %.');
  });

  it('join to runs', () => {
    expect(runs(6, (i) => i !== 2 && i !== 5)).toEqual([
      { from: 0, to: 2 },
      { from: 3, to: 5 },
    ]);
    expect(runs(0, () => true)).toEqual([]);
  });

  it('show one lock beside a thousand', () => {
    expect(height(0, 1000)).toBe(0);
    expect(height(1, 1000)).toBeCloseTo(0.25);
    expect(height(1000, 1000)).toBeCloseTo(1);
    expect(height(1, 1)).toBe(1);
  });
});

group('ticks', () => {
  it('are round, and few enough', () => {
    expect(ticks(0, 1024, 4)).toEqual([0, 256, 512, 768, 1024]);
    expect(ticks(5000, 13000, 4)).toEqual([6144, 8192, 10240, 12288]);
  });
});
