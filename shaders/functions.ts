// Scalar functions that expressions may call. Those with the names of WGSL's own (exp, log, tanh, …) take their place: WGSL promises little
// of them (exp may be off by 3 + 2|x| units in the last place, sin by 2⁻¹¹, tanh may overflow), and each driver keeps that differently.
//
// Each entry of the library is a complete WGSL function; one may call others.
import { arithmetic } from './arithmetic';
import { elementary } from './elementary';
import { special } from './special';

const library = new Map(Object.entries({ ...arithmetic, ...elementary, ...special }));

/** The source of all functions of the library that `code` calls, directly or through others. */
export function functionsFor(code: string): string {
  const used = new Set<string>();
  const visit = (text: string) => {
    for (const [, name = ''] of text.matchAll(/\b(\w+)\(/g)) {
      const source = library.get(name);
      if (!source || used.has(source)) continue;
      used.add(source);
      visit(source);
    }
  };
  visit(code);
  return [...used].join('\n');
}
