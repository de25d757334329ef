// Which documents the site has, in the order of its navigation, and how their addresses follow from their files.
import { readdirSync, readFileSync } from 'node:fs';
import { join, posix } from 'node:path';
import { root } from './places';

export interface Entry {
  /** Below the root. */
  readonly source: string;
  /** As the navigation calls it. */
  readonly label: string;
}

export interface Section {
  readonly title: string;
  readonly entries: readonly Entry[];
}

const docs = (title: string, labels: Readonly<Record<string, string>>): Section => ({
  title,
  entries: Object.entries(labels).map(([name, label]) => ({ source: `docs/${name}.md`, label })),
});

const listed: readonly Section[] = [
  docs('Guides', {
    training: 'Train on CIFAR',
    modules: 'Your own module',
    'mean-field': 'Mean-field networks',
    'feature-flow': 'Feature flow',
    'from-pytorch': 'From PyTorch',
  }),
  docs('Going on', {
    gradients: 'Gradients of gradients',
    half: 'Half precision',
    extending: 'Extending',
    sweeps: 'Sweeps',
    page: 'The page',
    bundles: 'Package and bundles',
    runtimes: 'Runtimes',
  }),
  docs('Measured', {
    performance: 'Performance',
    results: 'Results',
    're-sorting': 'Re-sorting',
    accuracy: 'Accuracy',
  }),
  {
    title: 'The project',
    entries: [
      ...docs('', { architecture: 'Architecture', glossary: 'Glossary', size: 'Size' }).entries,
      { source: 'CONTRIBUTING.md', label: 'Contributing' },
      { source: 'CHANGELOG.md', label: 'Changes' },
    ],
  },
];

/** Documents that nobody has listed yet, under their own titles. */
const others = readdirSync(join(root, 'docs'))
  .filter((name) => name.endsWith('.md'))
  .map((name) => `docs/${name}`)
  .filter((source) => !listed.some(({ entries }) => entries.some((entry) => entry.source === source)))
  .map((source) => ({ source, label: /^# (.*)$/m.exec(readFileSync(join(root, source), 'utf8'))?.[1] ?? source }));

export const SECTIONS: readonly Section[] = listed.map((section) =>
  section.title === 'Going on' ? { ...section, entries: [...section.entries, ...others] } : section,
);

export const ENTRIES: readonly Entry[] = SECTIONS.flatMap(({ entries }) => entries);

/** The page that a document becomes, all in one folder, so that the site may lie in any. */
export const addressOf = (source: string): string =>
  source === 'README.md' ? 'index.html' : `${posix.basename(source, '.md').toLowerCase()}.html`;
