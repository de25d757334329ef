// Scalar functions that expressions may call. Those with the names of WGSL's own (exp, log, tanh, …) take their place: WGSL promises little
// of them (exp may be off by 3 + 2|x| units in the last place, sin by 2⁻¹¹, tanh may overflow), and each driver keeps that differently.
//
// Each entry of the library is a complete WGSL function; one may call others.
import { arithmetic } from './arithmetic';
import { elementary } from './elementary';
import { special } from './special';

const library: Record<string, string> = { ...arithmetic, ...elementary, ...special };

/** The source of all functions of the library that `code` calls, directly or through others. */
export function functionsFor(code: string): string {
  const used = new Set<string>();
  const visit = (text: string) => {
    for (const [, name] of text.matchAll(/\b(\w+)\(/g))
      if (Object.hasOwn(library, name) && !used.has(name)) {
        used.add(name);
        visit(library[name]);
      }
  };
  visit(code);
  return [...used].map((name) => library[name]).join('\n');
}
