import { describe, expect, it } from 'vitest';
import { bytes, micros, offset, plural, range, seconds } from '../src/format';
import { ceiling, joined, path } from '../src/plot';
import { parse, toVolume } from '../src/route';

describe('figures', () => {
  it('of bytes have three digits or so', () => {
    expect([0, 4096, 1536, 157286400, 2 ** 46].map(bytes)).toEqual(['0 B', '4 KiB', '1.5 KiB', '150 MiB', '64 TiB']);
  });

  it('of offsets are exact', () => {
    expect([0, 4096, 1000, 2 ** 30 + 4096].map(offset)).toEqual(['0 B', '4 KiB', '1000 B', '1,073,745,920 B']);
    expect(range(0, 2 ** 63)).toBe('the whole volume');
    expect(range(4096, 2 ** 63)).toBe('[4 KiB, end)');
  });

  it('of time have the unit they need', () => {
    expect([12.34, 1200, 2_500_000].map(micros)).toEqual(['12.3 µs', '1.2 ms', '2.5 s']);
    expect([5, 200, 180, 7500].map(seconds)).toEqual(['5 s', '3 min 20 s', '3 min', '2 h 5 min']);
  });

  it('count one and many', () => {
    expect([plural(1, 'lock'), plural(1200, 'lock'), plural(0, 'loss', 'losses')]).toEqual([
      '1 lock',
      '1,200 locks',
      '0 losses',
    ]);
  });
});

describe('plots', () => {
  it('have a round top', () => {
    expect([0, 3, 70, 101].map((v) => ceiling(v, false))).toEqual([1, 5, 100, 200]);
    expect([5, 1024, 1025].map((v) => ceiling(v, true))).toEqual([8, 1024, 2048]);
  });

  it('draw no line over what nobody measured', () => {
    const points = [
      { at: 0, value: 1 },
      { at: 10, value: 0 },
      { at: 20, value: null },
      { at: 30, value: 1 },
    ];
    expect(path(points, 0, 30, 1, 300, 100)).toBe('M0.0 0.0h0L100.0 100.0M300.0 0.0h0');
  });

  it('go on where they were, without a point twice or one too old', () => {
    const at = (...times: number[]) => times.map((atMillis) => ({ atMillis }));
    expect(joined(at(1, 2, 3), at(3, 4), 3)).toEqual(at(2, 3, 4));
    expect(joined(at(), at(), 3)).toEqual([]);
  });
});

describe('addresses', () => {
  it('name a volume whatever its name', () => {
    expect(parse(toVolume('a b%/c'))).toEqual({ page: 'volume', name: 'a b%/c' });
  });

  it('that mean nothing show the volumes', () => {
    expect(parse('')).toEqual({ page: 'volumes' });
    expect(parse('#/nothing/here')).toEqual({ page: 'volumes' });
    expect(parse('#/volumes/%')).toEqual({ page: 'volume', name: '%' });
  });
});
