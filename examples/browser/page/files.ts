// Files in and out: data that are dropped or picked, checkpoints, metrics, figures, the link.

import { choose, chosen } from './controls';
import { byId, el } from './dom';
import { drawFigure, toPng } from './figure';
import { listen, send } from './link';
import { shownRun } from './particles';
import { onChange, store } from './store';

export function save(name: string, mime: string, content: BlobPart): void {
  const url = URL.createObjectURL(new Blob([content], { type: mime }));
  el('a', { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

export function makeFiles(): void {
  const picker = el('input', {
    type: 'file',
    multiple: true,
    id: 'data-files',
    class: 'visually-hidden',
    change: () => take(picked(picker)),
  });
  const folders = el('input', {
    type: 'file',
    webkitdirectory: true,
    id: 'data-folder',
    class: 'visually-hidden',
    change: () => take(picked(folders)),
  });
  const checkpoint = el('input', {
    type: 'file',
    accept: '.safetensors',
    id: 'checkpoint',
    class: 'visually-hidden',
    change: () => open(checkpoint.files?.[0]),
  });
  const there = el('p', { class: 'hint', id: 'stored' });
  const out = (id: string, text: string, click: () => void) =>
    el('button', { type: 'button', class: 'quiet', id, click }, text);
  const name = () => `dawnfield-${store.runs[0]?.model ?? 'run'}`;
  const exports = [
    out('export', 'Checkpoint', () => send({ type: 'export', what: 'checkpoint', run: shownRun() })),
    out('metrics', 'Metrics', () => send({ type: 'export', what: 'metrics', run: shownRun() })),
    out('svg', 'SVG', () => save(`${name()}.svg`, 'image/svg+xml', drawFigure())),
    out('png', 'PNG', async () => save(`${name()}.png`, 'image/png', await toPng(drawFigure()))),
  ];
  const link = out('link', 'Copy link', async () => {
    // A browser may refuse, as on pages without https; the address bar has the link too.
    const copied = await navigator.clipboard?.writeText(location.href).then(
      () => true,
      () => false,
    );
    link.textContent = copied ? 'Copied' : 'Copy it from the address bar';
    setTimeout(() => (link.textContent = 'Copy link'), copied ? 1500 : 4000);
  });
  byId('files').append(
    el(
      'label',
      { for: 'data-files', class: 'drop' },
      picker,
      el('strong', {}, 'Drop CIFAR here'),
      'cifar-10-binary.tar.gz, its .bin files, or a folder with one folder of images for each class',
    ),
    el(
      'div',
      { class: 'line' },
      el('label', { for: 'data-folder', class: 'button quiet' }, folders, 'Choose a folder'),
      el('label', { for: 'checkpoint', class: 'button quiet' }, checkpoint, 'Open a checkpoint'),
    ),
    there,
    el('h3', {}, 'Download'),
    el('div', { class: 'line' }, ...exports, link),
  );
  onChange(['data'], () => {
    const names: Record<string, string> = { cifar10: 'CIFAR-10', cifar100: 'CIFAR-100', own: 'your images' };
    const list = store.stored.map((key) => names[key] ?? key).join(', ');
    there.textContent = list ? `In this browser: ${list}.` : '';
  });
  onChange(['run'], () => {
    for (const button of exports) button.disabled = !store.runs.length;
  });
  listen((message) => {
    if (message.type === 'file') save(message.name, message.mime, message.bytes);
    if (message.type === 'stored') {
      const [first] = message.data.filter((data) => !data.startsWith('synthetic'));
      if (first && !store.runs.length) choose({ ...chosen(), data: first as 'cifar10' | 'cifar100' | 'own' });
    }
  });
  addEventListener('dragover', (event) => {
    event.preventDefault();
    document.body.classList.add('dragging');
  });
  addEventListener('dragleave', (event) => {
    if (!event.relatedTarget) document.body.classList.remove('dragging');
  });
  addEventListener('drop', async (event) => {
    event.preventDefault();
    document.body.classList.remove('dragging');
    take(await dropped(event.dataTransfer));
  });
}

const picked = ({ files }: HTMLInputElement) =>
  [...(files ?? [])].map((file) => ({ path: file.webkitRelativePath || file.name, file }));

function open(file: File | undefined): void {
  if (file) send({ type: 'import', file });
}

/** A checkpoint is opened; all else are data to keep. */
function take(files: readonly { path: string; file: File }[]): void {
  const saved = files.find(({ path }) => path.endsWith('.safetensors'));
  const loose = files.every(({ path, file }) => !path.includes('/') && file.type.startsWith('image/'));
  if (saved) open(saved.file);
  else if (files.length && loose) send({ type: 'look', files: files.map(({ file }) => file) });
  else if (files.length) send({ type: 'store', files });
}

/** All files that were dropped, those in folders with their paths. */
async function dropped(data: DataTransfer | null): Promise<{ path: string; file: File }[]> {
  const items = [...(data?.items ?? [])];
  const entries = items.flatMap((item) => item.webkitGetAsEntry() ?? []);
  // What another program drags may be a file without an entry in a file system.
  const files = entries.length ? [] : items.flatMap((item) => item.getAsFile() ?? []);
  const all: { path: string; file: File }[] = files.map((file) => ({ path: file.name, file }));
  const walk = async (entry: FileSystemEntry): Promise<void> => {
    if (entry.isFile) {
      const file = await new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject));
      all.push({ path: entry.fullPath.replace(/^\//, ''), file });
      return;
    }
    const reader = (entry as FileSystemDirectoryEntry).createReader();
    for (;;) {
      const some = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
      if (!some.length) return;
      for (const one of some) await walk(one);
    }
  };
  for (const entry of entries) await walk(entry);
  return all;
}
