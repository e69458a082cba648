import type { Point } from './plot';
import { ceiling, path } from './plot';

const WIDTH = 520;
const HEIGHT = 110;

export interface Line {
  name: string;
  points: Point[];
  style: 'first' | 'second';
}

/** The last minutes of one or two figures; what they are now is written beside their names. */
export function Plot(props: {
  title: string;
  lines: Line[];
  spanMillis: number;
  binary?: boolean;
  show: (value: number) => string;
}) {
  const { title, lines, spanMillis, show } = props;
  const all = lines.flatMap((line) => line.points);
  const to = Math.max(0, ...all.map((p) => p.at));
  const from = to - spanMillis;
  const top = ceiling(Math.max(0, ...all.map((p) => (p.at >= from ? (p.value ?? 0) : 0))), props.binary ?? false);
  const now = (line: Line) => line.points[line.points.length - 1]?.value ?? null;
  const words = lines.map((line) => {
    const value = now(line);
    return `${line.name} ${value === null ? '—' : show(value)}`;
  });
  return (
    <figure class="plot">
      <figcaption>
        <strong>{title}</strong>
        {lines.map((line, i) => (
          <span key={line.name} class={`line-name ${line.style}`}>
            <svg width="22" height="8" aria-hidden="true">
              <path d="M1 4h20" class={`line ${line.style}`} />
            </svg>
            {words[i]}
          </span>
        ))}
      </figcaption>
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT + 18}`} role="img" aria-label={`${title}: ${words.join(', ')}`}>
        <path class="grid" d={`M0 ${HEIGHT}H${WIDTH}M0 ${HEIGHT / 2}H${WIDTH}M0 0.5H${WIDTH}`} />
        {lines.map((line) => (
          <path
            key={line.name}
            class={`line ${line.style}`}
            d={path(line.points, from, to, top, WIDTH, HEIGHT)}
            vector-effect="non-scaling-stroke"
          />
        ))}
        <text x="2" y="12" class="tick">
          {show(top)}
        </text>
        <text x="2" y={HEIGHT + 14} class="tick">
          {Math.round(spanMillis / 60000)} min ago
        </text>
        <text x={WIDTH - 2} y={HEIGHT + 14} class="tick" text-anchor="end">
          now
        </text>
      </svg>
    </figure>
  );
}
