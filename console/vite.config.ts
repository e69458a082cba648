import { defineConfig } from 'vitest/config';

// Where a lock manager answers while the page is worked on with `npm run dev`.
const lockManager = process.env['TERMINUS_LOCK_MANAGER'] ?? 'http://localhost:10812';

export default defineConfig({
  base: '/console/',
  build: {
    outDir: 'target/web/static/console',
    emptyOutDir: true,
    target: 'es2022',
    // Old enough for everybody's browser, new enough for light-dark() as it is written.
    cssTarget: ['chrome123', 'firefox120', 'safari17.5'],
    // The page's Content-Security-Policy allows nothing that is written into it.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  server: { proxy: { '/api': lockManager } },
  test: { environment: 'happy-dom', include: ['test/**/*.test.{ts,tsx}'] },
});
