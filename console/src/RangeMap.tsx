import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import type { Cells } from './api';
import { api } from './api';
import { cellEnd, cellStart, contended, describe, height, runs, summary, ticks } from './cells';
import { bytes, offset, range } from './format';
import { usePoll } from './poll';
import { useColours } from './theme';
import type { Window } from './window';
import { around, cellsOf, isWhole, pan, whole, zoom } from './window';

const STRIP_CELLS = 180;

/** Heights in CSS pixels: held above the middle, recalls in it, waiting below it. */
const HELD = 64;
const RECALLS = 20;
const WAITING = 64;
const AXIS = 22;
const MAP = HELD + RECALLS + WAITING + AXIS;
const STRIP = 22;

interface Props {
  volume: string;
  size: number;
  window: Window;
  onWindow: (window: Window) => void;
}

/** The locks of a volume as a picture that is zoomed from the whole volume to single blocks. */
export function RangeMap({ volume, size, window: shown, onWindow }: Props) {
  const map = usePoll(`${volume} ${shown.start} ${shown.end}`, (signal) =>
    api.rangeMap(volume, shown.start, shown.end, cellsOf(shown), signal),
  );
  const strip = usePoll(`${volume} whole ${size}`, (signal) => api.rangeMap(volume, 0, size, STRIP_CELLS, signal));
  // While the next stretch is asked for, the last picture stands where it was: a page that blinks is hard to read.
  const last = useRef<Cells | undefined>(undefined);
  if (map.value) last.current = map.value;
  const cells = map.value ?? last.current;

  const [cursor, setCursor] = useState<number>();
  const n = cells?.held.length ?? 0;
  const cell = cursor !== undefined && cursor < n ? cursor : undefined;

  function onKeyDown(e: KeyboardEvent) {
    const step = e.shiftKey ? 10 : 1;
    const middle = Math.floor(n / 2);
    const at = cells && cell !== undefined ? (cellStart(cells, cell) + cellEnd(cells, cell)) / 2 : undefined;
    switch (e.key) {
      case 'ArrowLeft':
        // Without cells, as before the first answer, there is nothing to go to.
        if (n > 0) setCursor(Math.max(0, (cell ?? middle) - step));
        break;
      case 'ArrowRight':
        if (n > 0) setCursor(Math.min(n - 1, (cell ?? middle) + step));
        break;
      case '+':
      case '=':
        onWindow(zoom(shown, size, 0.5, at));
        break;
      case '-':
        onWindow(zoom(shown, size, 2, at));
        break;
      case 'PageUp':
        onWindow(pan(shown, size, -0.5));
        break;
      case 'PageDown':
        onWindow(pan(shown, size, 0.5));
        break;
      case 'Home':
        onWindow(whole(size));
        break;
      case 'Enter':
        if (cells && cell !== undefined) onWindow(around(cellStart(cells, cell), cellEnd(cells, cell), size));
        break;
      case 'Escape':
        setCursor(undefined);
        break;
      default:
        return;
    }
    e.preventDefault();
  }

  const cellAt = (e: MouseEvent) => {
    const box = (e.currentTarget as HTMLElement).getBoundingClientRect();
    return Math.min(n - 1, Math.max(0, Math.floor(((e.clientX - box.left) / box.width) * n)));
  };

  return (
    <div class="map">
      <div class="toolbar">
        <span class="figure">{range(shown.start, shown.end)}</span>
        <span class="muted">{cells ? `${bytes(cells.cellBytes)} a cell` : ''}</span>
        <span class="grow" />
        <button onClick={() => onWindow(pan(shown, size, -0.5))} disabled={shown.start === 0} title="Page Up">
          ← Left
        </button>
        <button onClick={() => onWindow(pan(shown, size, 0.5))} disabled={shown.end >= size} title="Page Down">
          Right →
        </button>
        <button onClick={() => onWindow(zoom(shown, size, 0.5))} title="+">
          Zoom in
        </button>
        <button onClick={() => onWindow(zoom(shown, size, 2))} disabled={isWhole(shown, size)} title="-">
          Zoom out
        </button>
        <button onClick={() => onWindow(whole(size))} disabled={isWhole(shown, size)} title="Home">
          Whole volume
        </button>
      </div>
      <Strip cells={strip.value} size={size} shown={shown} onWindow={onWindow} />
      <div
        class="lanes"
        tabIndex={0}
        role="application"
        aria-label={`Lock map of ${volume}. Left and right move over the cells, plus and minus zoom, Enter shows a cell larger, Home the whole volume.`}
        aria-describedby="map-words"
        onKeyDown={onKeyDown}
        onMouseMove={(e) => setCursor(cellAt(e))}
        onMouseLeave={() => setCursor(undefined)}
        onClick={(e) => {
          if (!cells) return;
          const hit = cellAt(e);
          onWindow(around(cellStart(cells, hit), cellEnd(cells, hit), size));
        }}
      >
        <span class="lane-name" style={{ top: '2px' }}>
          held
        </span>
        <span class="lane-name" style={{ top: `${HELD + RECALLS + WAITING - 18}px` }}>
          waiting
        </span>
        <Picture cells={cells} cursor={cell} />
      </div>
      <p id="map-words" class="words" aria-live="polite" data-testid="map-words">
        {cells ? (cell === undefined ? summary(cells) : describe(cells, cell)) : 'Looking…'}
        {cells && !cells.exact ? ' Some cells hold more than was counted.' : ''}
        {map.failure ? ` (${map.failure})` : ''}
      </p>
      <Legend />
    </div>
  );
}

function Legend() {
  return (
    <ul class="legend" aria-label="Legend">
      <li>
        <i class="key writing" /> held to write
      </li>
      <li>
        <i class="key reading" /> held, shared
      </li>
      <li>
        <i class="key closing" /> lost, not free yet
      </li>
      <li>
        <b class="diamond">◆</b> recalled
      </li>
      <li>
        <i class="key waiting" /> waiting
      </li>
      <li>
        <i class="key standby" /> on standby
      </li>
      <li>
        <i class="key contended" /> contended
      </li>
    </ul>
  );
}

type Ctx = CanvasRenderingContext2D;

/** A canvas as wide as there is room, painted anew when anything of `inputs` is another. */
function Canvas(props: { height: number; paint: (g: Ctx, width: number) => void; inputs: unknown[] }) {
  const ref = useRef<HTMLCanvasElement>(null);
  const [width, setWidth] = useState(0);
  const colours = useColours();
  useEffect(() => {
    const canvas = ref.current;
    if (!canvas) return;
    const observer = new ResizeObserver(() => setWidth(canvas.clientWidth));
    observer.observe(canvas);
    setWidth(canvas.clientWidth);
    return () => observer.disconnect();
  }, []);
  useEffect(() => {
    const canvas = ref.current;
    const g = canvas?.getContext('2d');
    if (!canvas || !g || width === 0) return;
    const scale = devicePixelRatio || 1;
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(props.height * scale);
    g.setTransform(scale, 0, 0, scale, 0, 0);
    g.clearRect(0, 0, width, props.height);
    props.paint(g, width);
  }, [width, colours, ...props.inputs]);
  return <canvas ref={ref} style={{ height: `${props.height}px` }} aria-hidden="true" />;
}

/** A canvas does not know the names of the style sheet, so an element that does is asked. */
let probe: HTMLElement | undefined;

function colour(name: string): string {
  if (!probe) {
    probe = document.createElement('i');
    probe.hidden = true;
    document.body.append(probe);
  }
  probe.style.color = `var(${name})`;
  return getComputedStyle(probe).color;
}

/** Stripes of one colour, so that no state is told by its colour alone. */
function stripes(g: Ctx, name: string, back: string | undefined, falling: boolean): CanvasPattern | string {
  const tile = document.createElement('canvas');
  tile.width = tile.height = 8;
  const t = tile.getContext('2d');
  if (!t) return colour(name);
  if (back) {
    t.fillStyle = colour(back);
    t.fillRect(0, 0, 8, 8);
  }
  t.strokeStyle = colour(name);
  t.lineWidth = 2.5;
  t.beginPath();
  for (const x of [-8, 0, 8]) {
    t.moveTo(x, falling ? 0 : 8);
    t.lineTo(x + 8, falling ? 8 : 0);
  }
  t.stroke();
  return g.createPattern(tile, 'repeat') ?? colour(name);
}

function Picture({ cells, cursor }: { cells: Cells | undefined; cursor: number | undefined }) {
  const most = useMemo(
    () => ({
      held: Math.max(1, ...(cells?.held ?? [])),
      waiting: Math.max(1, ...(cells?.waiting ?? []), ...(cells?.standby ?? [])),
    }),
    [cells],
  );
  function paint(g: Ctx, width: number) {
    const middle = HELD + RECALLS;
    const bottom = middle + WAITING;
    g.fillStyle = colour('--map-ground');
    g.fillRect(0, 0, width, bottom);
    g.fillStyle = colour('--map-middle');
    g.fillRect(0, HELD, width, RECALLS);
    if (!cells) return;
    const n = cells.held.length;
    // Whole pixels of the device: two cells that meet have no seam.
    const scale = devicePixelRatio || 1;
    const x = (cell: number) => Math.round((cell / n) * width * scale) / scale;

    // Contended: a band over all lanes, under what is in them, with a bar on top.
    const band = stripes(g, '--contended-soft', undefined, true);
    for (const run of runs(n, (i) => contended(cells, i))) {
      const w = Math.max(2, x(run.to) - x(run.from));
      g.fillStyle = band;
      g.fillRect(x(run.from), 0, w, bottom);
      g.fillStyle = colour('--contended');
      g.fillRect(x(run.from), 0, w, 3);
      g.fillRect(x(run.from), bottom - 3, w, 3);
    }

    const reading = stripes(g, '--reading', '--reading-soft', false);
    const closing = stripes(g, '--closing', '--map-ground', true);
    const waiting = stripes(g, '--waiting', '--waiting-soft', true);
    for (let i = 0; i < n; i++) {
      const left = x(i);
      const w = Math.max(1, x(i + 1) - left);
      const held = cells.held[i] ?? 0;
      if (held > 0) {
        const h = (HELD - 8) * height(held, most.held);
        g.fillStyle =
          (cells.closing[i] ?? 0) === held ? closing : (cells.writing[i] ?? 0) > 0 ? colour('--writing') : reading;
        g.fillRect(left, HELD - h, w, h);
      }
      const asking = cells.waiting[i] ?? 0;
      if (asking > 0) {
        g.fillStyle = waiting;
        g.fillRect(left, middle, w, (WAITING - 8) * height(asking, most.waiting));
      }
      const standby = cells.standby[i] ?? 0;
      if (standby > 0) {
        // A line at its height, so that it is seen beside what waits in earnest.
        g.fillStyle = colour('--standby');
        g.fillRect(left, middle + (WAITING - 8) * height(standby, most.waiting) - 2, w, 2);
      }
    }

    // Recalls: a line where, with a diamond in its middle.
    g.fillStyle = colour('--recalled');
    for (const run of runs(n, (i) => (cells.recalled[i] ?? 0) > 0)) {
      const from = x(run.from);
      const to = Math.max(from + 2, x(run.to));
      const y = HELD + RECALLS / 2;
      g.fillRect(from, y - 1, to - from, 2);
      const centre = (from + to) / 2;
      g.beginPath();
      g.moveTo(centre, y - 7);
      g.lineTo(centre + 6, y);
      g.lineTo(centre, y + 7);
      g.lineTo(centre - 6, y);
      g.fill();
    }

    axis(g, cells, width, bottom);
    if (cursor !== undefined) {
      g.strokeStyle = colour('--text');
      g.lineWidth = 1.5;
      g.strokeRect(x(cursor) - 0.5, 1, Math.max(3, x(cursor + 1) - x(cursor)), bottom - 2);
    }
  }
  return <Canvas height={MAP} paint={paint} inputs={[cells, cursor]} />;
}

function axis(g: Ctx, cells: Cells, width: number, top: number) {
  const span = cells.end - cells.start;
  g.fillStyle = colour('--muted');
  g.font = '11px system-ui, sans-serif';
  for (const t of ticks(cells.start, cells.end, Math.max(2, Math.floor(width / 130)))) {
    const x = ((t - cells.start) / span) * width;
    g.fillRect(Math.min(width - 1, x), top, 1, 5);
    const text = offset(t);
    const w = g.measureText(text).width;
    g.fillText(text, Math.min(width - w, Math.max(0, x - w / 2)), top + 17);
  }
}

/** The whole volume in a line, with a frame around what is seen. */
function Strip(props: {
  cells: Cells | undefined;
  size: number;
  shown: Window;
  onWindow: (window: Window) => void;
}) {
  const { cells, size, shown } = props;
  function paint(g: Ctx, width: number) {
    g.fillStyle = colour('--map-ground');
    g.fillRect(0, 0, width, STRIP);
    const n = cells?.held.length ?? 0;
    if (cells) {
      const waiting = stripes(g, '--waiting', '--waiting-soft', true);
      for (let i = 0; i < n; i++) {
        const left = Math.floor((i / n) * width);
        const w = Math.max(1, Math.floor(((i + 1) / n) * width) - left);
        if ((cells.held[i] ?? 0) > 0) {
          g.fillStyle = colour((cells.writing[i] ?? 0) > 0 ? '--writing' : '--reading');
          g.fillRect(left, 2, w, STRIP / 2 - 2);
        }
        if ((cells.waiting[i] ?? 0) > 0) {
          g.fillStyle = waiting;
          g.fillRect(left, STRIP / 2, w, STRIP / 2 - 2);
        }
      }
    }
    const left = (shown.start / size) * width;
    const w = Math.max(4, ((shown.end - shown.start) / size) * width);
    g.strokeStyle = colour('--text');
    g.lineWidth = 2;
    g.strokeRect(Math.min(left, width - w) + 1, 1, w - 2, STRIP - 2);
  }
  return (
    <div
      class="strip"
      title="The whole volume; click to look elsewhere"
      onClick={(e) => {
        const box = e.currentTarget.getBoundingClientRect();
        const at = ((e.clientX - box.left) / box.width) * size;
        const span = shown.end - shown.start;
        props.onWindow(pan({ start: at - span / 2, end: at + span / 2 }, size, 0));
      }}
    >
      <Canvas height={STRIP} paint={paint} inputs={[cells, shown.start, shown.end, size]} />
    </div>
  );
}
