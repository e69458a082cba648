import { useEffect, useRef, useState } from 'preact/hooks';
import { Problem } from './api';

/** Something that is done only after a second word. */
export interface Deed {
  title: string;
  /** What will happen, and what then is so. */
  consequence: string;
  verb: string;
  /** To be typed before it may be done: for what cannot be taken back. */
  typed?: string;
  options?: { key: string; label: string; warning?: string; typed?: boolean }[];
  /** Returns what is said when it is done. */
  run: (chosen: ReadonlySet<string>) => Promise<string>;
}

interface Props {
  deed: Deed;
  onDone: (word: string) => void;
  onCancel: () => void;
}

export function Confirm({ deed, onDone, onCancel }: Props) {
  const ref = useRef<HTMLDialogElement>(null);
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  const [word, setWord] = useState('');
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<string>();
  const mustType =
    deed.typed !== undefined &&
    (deed.options === undefined || deed.options.some((option) => option.typed === true && chosen.has(option.key)));

  useEffect(() => {
    const before = document.activeElement as HTMLElement | null;
    ref.current?.showModal();
    return () => before?.focus?.();
  }, []);

  async function run() {
    setBusy(true);
    setFailure(undefined);
    try {
      onDone(await deed.run(chosen));
    } catch (e) {
      setBusy(false);
      const unknown = e instanceof Problem && (e.status === 0 || e.status === 504);
      setFailure((e instanceof Error ? e.message : String(e)) + (unknown ? '. It may have happened all the same.' : ''));
    }
  }

  function choose(key: string) {
    const next = new Set(chosen);
    if (!next.delete(key)) next.add(key);
    setChosen(next);
  }

  return (
    <dialog
      ref={ref}
      aria-labelledby="deed"
      onCancel={(e) => {
        e.preventDefault();
        if (!busy) onCancel();
      }}
    >
      <form
        method="dialog"
        onSubmit={(e) => {
          e.preventDefault();
          void run();
        }}
      >
        <h2 id="deed">{deed.title}</h2>
        <p>{deed.consequence}</p>
        {deed.options?.map((option) => (
          <label key={option.key} class="option">
            <input
              type="checkbox"
              checked={chosen.has(option.key)}
              disabled={busy}
              onChange={() => choose(option.key)}
            />
            {option.label}
            {option.warning && chosen.has(option.key) ? <span class="why">▲ {option.warning}</span> : null}
          </label>
        ))}
        {mustType ? (
          <label class="option">
            Type <code>{deed.typed}</code> to go on:
            <input value={word} disabled={busy} onInput={(e) => setWord(e.currentTarget.value)} autoComplete="off" />
          </label>
        ) : null}
        {failure ? (
          <p class="failure" role="alert">
            ✖ {failure}
          </p>
        ) : null}
        <div class="buttons">
          <button type="button" onClick={onCancel} disabled={busy} autoFocus>
            Cancel
          </button>
          <button type="submit" class="danger" disabled={busy || (mustType && word !== deed.typed)}>
            {busy ? 'Working…' : deed.verb}
          </button>
        </div>
      </form>
    </dialog>
  );
}
