// What is told once in a process.
const told = new Set<string>();

/** Writes a sentence to the console, unless it was written before. */
export function warnOnce(text: string): void {
  if (!told.has(text)) console.warn(text);
  told.add(text);
}
