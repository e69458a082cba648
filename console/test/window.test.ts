import { describe, expect, it } from 'vitest';
import { around, BLOCK, cellBytes, cellsOf, isWhole, pan, whole, zoom } from '../src/window';

const GIB = 2 ** 30;

describe('the window on a volume', () => {
  it('begins with the whole volume', () => {
    expect(whole(GIB)).toEqual({ start: 0, end: GIB });
    expect(isWhole(whole(GIB), GIB)).toBe(true);
  });

  it('ends where the volume ends, though that be within a block', () => {
    expect(whole(100)).toEqual({ start: 0, end: 100 });
    expect(whole(BLOCK + 1)).toEqual({ start: 0, end: BLOCK + 1 });
  });

  it('keeps what is under the cursor where it is', () => {
    const w = zoom(whole(GIB), GIB, 0.5, GIB / 4);
    expect(w).toEqual({ start: GIB / 8, end: (GIB / 8) * 5 });
  });

  it('is never smaller than sixteen blocks, of which each is whole', () => {
    let w = whole(GIB);
    for (let i = 0; i < 40; i++) w = zoom(w, GIB, 0.5, 12_345_678);
    expect(w.end - w.start).toBe(16 * BLOCK);
    expect(w.start % BLOCK).toBe(0);
    expect(w.start).toBeLessThanOrEqual(12_345_678);
    expect(w.end).toBeGreaterThan(12_345_678);
  });

  it('is never larger than the volume, and never beside it', () => {
    expect(zoom(whole(GIB), GIB, 2)).toEqual(whole(GIB));
    const small = zoom(whole(GIB), GIB, 0.25);
    expect(pan(small, GIB, -100)).toEqual({ start: 0, end: GIB / 4 });
    expect(pan(small, GIB, 100)).toEqual({ start: (GIB / 4) * 3, end: GIB });
  });

  it('shows a cell with its neighbourhood', () => {
    const w = around(GIB / 2, GIB / 2 + 10 * BLOCK, GIB);
    expect(w.end - w.start).toBe(100 * BLOCK);
    expect((w.start + w.end) / 2).toBe(GIB / 2 + 5 * BLOCK);
  });

  it('is of whole cells of a length that can be read', () => {
    for (const size of [GIB, 3 * GIB + 5 * BLOCK, 64 * 2 ** 20, 100 * BLOCK]) {
      let w = whole(size);
      for (let i = 0; i < 30; i++) {
        const cell = cellBytes(w.end - w.start);
        expect(Math.log2(cell) % 1).toBe(0);
        expect(w.start % cell).toBe(0);
        expect(cellsOf(w)).toBeLessThanOrEqual(401);
        w = zoom(w, size, 0.7, size * 0.77);
      }
      for (let i = 0; i < 60; i++) w = zoom(w, size, 1.5);
      expect(w).toEqual(whole(size));
    }
  });

  it('reaches the last byte of a volume whose size is no whole number of cells', () => {
    const size = 3 * GIB + 5 * BLOCK;
    const right = pan(zoom(whole(size), size, 0.5), size, 100);
    expect(right.end).toBe(size);
  });
});
