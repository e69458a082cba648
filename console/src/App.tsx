import { useEffect, useState } from 'preact/hooks';
import { api } from './api';
import type { Deed } from './Confirm';
import { Confirm } from './Confirm';
import { count } from './format';
import { Mark } from './marks';
import { usePoll } from './poll';
import { useRoute } from './route';
import { SessionsPage } from './SessionsPage';
import { THEMES, useTheme } from './theme';
import { VolumePage } from './VolumePage';
import { VolumesPage } from './VolumesPage';

const PAGE = 50;

export function App() {
  const route = useRoute();
  const [theme, setTheme] = useTheme();
  const [filter, setFilter] = useState('');
  const [after, setAfter] = useState<string[]>([]);
  const [deed, setDeed] = useState<Deed>();
  const [word, setWord] = useState('');

  // The head of the page needs a little of it everywhere; the list only where the list is.
  const listed = route.page === 'volumes';
  const place = after[after.length - 1] ?? '';
  const overview = usePoll(listed ? `overview ${filter} ${place}` : 'head', (signal) =>
    listed ? api.overview(filter, place, PAGE, signal) : api.overview('', '', 1, signal),
  );
  const [head, setHead] = useState(overview.value);
  useEffect(() => {
    if (overview.value) setHead(overview.value);
  }, [overview.value]);
  const mayChange = head?.mayChange ?? false;

  useEffect(() => {
    document.title = route.page === 'volume' ? `${route.name} · Terminus` : 'Terminus';
  }, [route]);

  useEffect(() => {
    const pressed = (e: KeyboardEvent) => {
      const typing = e.target instanceof HTMLInputElement || e.ctrlKey || e.metaKey || e.altKey;
      const field = typing ? null : document.querySelector<HTMLElement>(`[data-shortcut="${CSS.escape(e.key)}"]`);
      if (field) {
        e.preventDefault();
        field.focus();
      }
    };
    addEventListener('keydown', pressed);
    return () => removeEventListener('keydown', pressed);
  }, []);

  const here = (page: string) => (page === 'sessions') === (route.page === 'sessions');
  return (
    <>
      <a
        class="skip"
        href="#main"
        onClick={(e) => {
          e.preventDefault();
          document.getElementById('main')?.focus();
        }}
      >
        To the content
      </a>
      <header>
        <a class="brand" href="#/volumes">
          <img src="/console/icon.svg" alt="" width="26" height="26" /> Terminus
        </a>
        <nav aria-label="Pages of the console">
          <a href="#/volumes" {...(here('volumes') ? { 'aria-current': 'page' as const } : {})}>
            Volumes
          </a>
          <a href="#/sessions" {...(here('sessions') ? { 'aria-current': 'page' as const } : {})}>
            Sessions{head ? <span class="badge">{count(head.sessions)}</span> : null}
          </a>
        </nav>
        <span class="grow" />
        {head?.recovering ? (
          <Mark kind="warn" sign="▲">
            recovering: grants nothing yet
          </Mark>
        ) : null}
        {head && !head.mayChange ? (
          <Mark kind="idle" sign="◎">
            view only
          </Mark>
        ) : null}
        {overview.failure ? (
          <Mark kind="bad" sign="✖">
            no answer
          </Mark>
        ) : head ? (
          <Mark kind="good" sign="●">
            live
          </Mark>
        ) : null}
        <span class="muted wide">{head ? `epoch ${head.epoch}, ${head.version}` : ''}</span>
        <label>
          <span class="hidden">Colours</span>
          <select
            value={theme}
            onChange={(e) => setTheme(THEMES.find((t) => t === e.currentTarget.value) ?? 'system')}
            aria-label="Colours"
          >
            {THEMES.map((t) => (
              <option key={t} value={t}>
                {t === 'system' ? '◐ as the system' : t === 'light' ? '☀ light' : '☾ dark'}
              </option>
            ))}
          </select>
        </label>
      </header>
      {overview.failure ? (
        <p class="banner" role="alert">
          The lock manager does not answer ({overview.failure}). What is shown is older; the page tries again by itself.
        </p>
      ) : null}
      <main id="main" tabIndex={-1}>
        {route.page === 'volumes' ? (
          <VolumesPage
            polled={overview}
            filter={filter}
            onFilter={(text) => {
              setAfter([]);
              setFilter(text);
            }}
            after={after}
            onAfter={setAfter}
          />
        ) : route.page === 'volume' ? (
          <VolumePage key={route.name} name={route.name} mayChange={mayChange} onDeed={setDeed} />
        ) : (
          <SessionsPage owner={route.owner} mayChange={mayChange} onDeed={setDeed} />
        )}
      </main>
      {deed ? (
        <Confirm
          deed={deed}
          onCancel={() => setDeed(undefined)}
          onDone={(said) => {
            setDeed(undefined);
            setWord(said);
          }}
        />
      ) : null}
      <div class="toast" role="status" aria-live="polite">
        {word ? (
          <p>
            ✔ {word}{' '}
            <button onClick={() => setWord('')} aria-label="Dismiss">
              ×
            </button>
          </p>
        ) : null}
      </div>
    </>
  );
}
