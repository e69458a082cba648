import { useEffect, useRef, useState } from 'preact/hooks';
import { Problem } from './api';

export interface Polled<T> {
  /** The newest answer; with a failure, the last one there was. */
  value: T | undefined;
  failure: string | undefined;
  /** Asks at once, as after something was done. */
  refresh: () => void;
}

const EVERY_MILLIS = 1000;
/** Nobody hears of a lock manager that is away sooner by asking it more often. */
const SLOWEST_MILLIS = 5000;

/**
 * Asks again a second after each answer, with one question open at a time, and not while nobody sees the page. `key` says what is
 * asked for: when it changes, the old value is forgotten.
 */
export function usePoll<T>(key: string, ask: (signal: AbortSignal) => Promise<T>): Polled<T> {
  const [state, setState] = useState<{ key: string; value?: T; failure?: string }>({ key });
  const question = useRef(ask);
  question.current = ask;
  const again = useRef(() => {});

  useEffect(() => {
    const abort = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    let open = false;
    let wait = EVERY_MILLIS;

    async function step() {
      clearTimeout(timer);
      if (open || document.hidden) return;
      open = true;
      try {
        const value = await question.current(abort.signal);
        wait = EVERY_MILLIS;
        if (!abort.signal.aborted) setState({ key, value });
      } catch (e) {
        if (abort.signal.aborted) return;
        wait = Math.min(SLOWEST_MILLIS, wait * 1.5);
        const failure = e instanceof Problem ? e.message : String(e);
        setState((s) => (s.key === key ? { ...s, failure } : { key, failure }));
      } finally {
        open = false;
      }
      if (!abort.signal.aborted) timer = setTimeout(step, wait);
    }

    const seen = () => {
      if (!document.hidden) void step();
    };
    again.current = () => void step();
    document.addEventListener('visibilitychange', seen);
    void step();
    return () => {
      abort.abort();
      clearTimeout(timer);
      document.removeEventListener('visibilitychange', seen);
    };
  }, [key]);

  const current = state.key === key;
  return {
    value: current ? state.value : undefined,
    failure: current ? state.failure : undefined,
    refresh: () => again.current(),
  };
}
