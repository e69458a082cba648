import { useEffect, useState } from 'preact/hooks';

const TYPING_MILLIS = 200;

/** The head of a list: what it is, and a field that `/` goes to. Tells of a filter when nobody has typed for a moment. */
export function ListHead(props: { title: string; hint: string; filter: string; onFilter: (text: string) => void }) {
  const { title, hint, filter, onFilter } = props;
  const [typed, setTyped] = useState(filter);
  useEffect(() => setTyped(filter), [filter]);
  useEffect(() => {
    const timer = setTimeout(() => {
      if (typed !== filter) onFilter(typed);
    }, TYPING_MILLIS);
    return () => clearTimeout(timer);
  }, [typed]);
  return (
    <div class="head">
      <h1>{title}</h1>
      <label class="filter">
        <span class="hidden">{hint}</span>
        <input
          type="search"
          placeholder={`${hint}  ( / )`}
          value={typed}
          onInput={(e) => setTyped(e.currentTarget.value)}
          data-shortcut="/"
        />
      </label>
    </div>
  );
}

/** The head of a column of buttons, of which there is none for who may not press them. */
export function ActionsHead({ mayChange }: { mayChange: boolean }) {
  return mayChange ? (
    <th>
      <span class="hidden">Actions</span>
    </th>
  ) : null;
}

/** `after` holds the places of the pages before, so that there is a way back. */
export function Pager(props: { next: string | null; after: string[]; onAfter: (after: string[]) => void }) {
  const { next, after, onAfter } = props;
  if (!next && after.length === 0) return null;
  return (
    <nav class="pager" aria-label="Pages">
      <button disabled={after.length === 0} onClick={() => onAfter(after.slice(0, -1))}>
        ← Previous
      </button>
      <span>Page {after.length + 1}</span>
      <button disabled={!next} onClick={() => next && onAfter([...after, next])}>
        Next →
      </button>
    </nav>
  );
}
