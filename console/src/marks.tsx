import type { Health, Progress, Replica } from './api';
import { bytes, seconds } from './format';

const HEALTH: Record<Health, { sign: string; word: string; kind: string }> = {
  WELL: { sign: '✔', word: 'well', kind: 'good' },
  DEGRADED: { sign: '▲', word: 'degraded', kind: 'warn' },
  DOWN: { sign: '✖', word: 'not served', kind: 'bad' },
  UNKNOWN: { sign: '?', word: 'unknown', kind: 'warn' },
  OUT_OF_USE: { sign: '■', word: 'out of use', kind: 'idle' },
};

/** A state by a sign, a word and a colour: each alone says it. */
export function Mark({ kind, sign, children }: { kind: string; sign: string; children: preact.ComponentChildren }) {
  return (
    <span class={`mark ${kind}`}>
      <span aria-hidden="true">{sign}</span> {children}
    </span>
  );
}

export function HealthMark({ health }: { health: Health | undefined }) {
  if (!health) {
    return (
      <Mark kind="idle" sign="○">
        locks only
      </Mark>
    );
  }
  const { sign, word, kind } = HEALTH[health];
  return (
    <Mark kind={kind} sign={sign}>
      {word}
    </Mark>
  );
}

export function SyncMark({ replica }: { replica: Replica }) {
  if (replica.role === 'FAILED') {
    return (
      <Mark kind="bad" sign="✖">
        failed
      </Mark>
    );
  }
  if (replica.copy) {
    return (
      <Mark kind="warn" sign="⇢">
        being copied to
      </Mark>
    );
  }
  return replica.inSync ? (
    <Mark kind="good" sign="✔">
      in sync
    </Mark>
  ) : (
    <Mark kind="warn" sign="▲">
      not in sync
    </Mark>
  );
}

export function Bar({ label, progress }: { label: string; progress: Progress }) {
  const share = progress.totalBytes > 0 ? progress.doneBytes / progress.totalBytes : 0;
  const left = progress.remainingSeconds >= 0 ? `, ${seconds(progress.remainingSeconds)} left` : '';
  const rate = progress.bytesPerSecond > 0 ? `, ${bytes(progress.bytesPerSecond)}/s` : '';
  const ended = progress.phase === 'COMPLETE' || progress.phase === 'GIVEN_UP';
  return (
    <div class="bar">
      <span>
        {label}: {progress.phase.toLowerCase().replace('_', ' ')} {bytes(progress.doneBytes)} of{' '}
        {bytes(progress.totalBytes)}
        {ended ? '' : rate + left}
        {progress.differingBlocks > 0 ? `, ${progress.differingBlocks} blocks differ` : ''}
        {progress.detail ? ` (${progress.detail})` : ''}
      </span>
      <progress max={1} value={share} aria-label={label} />
    </div>
  );
}
