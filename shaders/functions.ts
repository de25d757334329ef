// Scalar functions that expressions may call. Those with the names of WGSL's own (exp, log, tanh, …) take their place: WGSL promises little
// of them (exp may be off by 3 + 2|x| units in the last place, sin by 2⁻¹¹, tanh may overflow), and each driver keeps that differently.
//
// Each entry of a library is a complete WGSL function; one may call others. Those that most programs need are here for every expression; the rest are
// libraries of their own (trigonometric.ts, special.ts), which the expressions that call them bring along, so that bundles hold what they use.
import { arithmetic } from './arithmetic';
import type { Derivatives } from './derivative';
import { elementary } from './elementary';

/** Functions beyond those for every expression. */
export interface Library {
  readonly functions: Readonly<Record<string, string>>;
  readonly derivatives: Derivatives;
}

const common = new Map(Object.entries({ ...arithmetic, ...elementary }));

/** The source of all functions that `code` calls, directly or through others; `more` is its library. */
export function functionsFor(code: string, more?: Library): string {
  const library = more ? new Map([...common, ...Object.entries(more.functions)]) : common;
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
