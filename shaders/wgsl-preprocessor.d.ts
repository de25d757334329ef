// Types for wgsl-preprocessor, which ships none and names no main file: import it by this path.
declare module 'wgsl-preprocessor/wgsl-preprocessor.js' {
  /** Template tag: keeps or drops `#if ${bool}` / `#elif ${bool}` / `#else` / `#endif` parts, inserts every other value as text. */
  export function wgsl(strings: TemplateStringsArray, ...values: (string | number | boolean)[]): string;
}
