// Builds the page to static files that any host can serve: `dist/page`. Addresses are relative, so that it may lie in any folder.
import { defineConfig } from 'vite';

const here = (path: string): string => new URL(path, import.meta.url).pathname;

/** How long each part of the build took is nobody's concern. */
const quiet = { checks: { pluginTimings: false } };

export default defineConfig({
  root: here('.'),
  base: './',
  clearScreen: false,
  logLevel: 'warn',
  build: {
    outDir: here('../../dist/page'),
    emptyOutDir: true,
    target: 'es2022',
    sourcemap: true,
    chunkSizeWarningLimit: 1500,
    rolldownOptions: quiet,
  },
  worker: { format: 'es', rolldownOptions: quiet },
});
