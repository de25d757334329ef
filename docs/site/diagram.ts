// A mermaid flowchart of the kind that docs/architecture.md has, a chain from the bottom up with branches that join it, as a list: GitHub draws
// the same text itself.
import { escaped } from './text';

/** One box a node, those that later ones stand on below. */
export function stack(text: string): string {
  const labels = new Map<string, string>();
  const below = new Map<string, string[]>();
  for (const [, from = '', fromLabel, to = '', toLabel] of text.matchAll(
    /^\s*(\w+)(?:\[([^\]]*)\])? --> (\w+)(?:\[([^\]]*)\])?$/gm,
  )) {
    for (const [name, label] of [
      [from, fromLabel],
      [to, toLabel],
    ] as const)
      if (label || !labels.has(name)) labels.set(name, label ?? name);
    below.set(to, [...(below.get(to) ?? []), from]);
  }
  // What stands on nothing comes last.
  const order = [...labels].reverse();
  const sorted = [...order.filter(([name]) => below.has(name)), ...order.filter(([name]) => !below.has(name))];
  const boxes = sorted.map(([name, label]) => {
    const on = (below.get(name) ?? []).map((other) => (labels.get(other) ?? other).split(':')[0]).join(' and ');
    return `<li><strong>${escaped(label)}</strong>${on ? `<span>stands on ${escaped(on)}</span>` : ''}</li>`;
  });
  return `<ol class="stack">${boxes.join('')}</ol>`;
}
