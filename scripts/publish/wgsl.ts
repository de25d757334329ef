// Shorter WGSL for the published build: no comments, no indentation, no blanks that nothing needs. Names stay as they are, so that the errors of
// a driver can be read; so do lines with directives of the preprocessor, and blanks beside a value that a template puts in.

/** `pieces`: a template's text between its `${…}`. */
export function minifyWgsl(pieces: readonly string[]): string[] {
  let comment = false; // whether a value stands in a comment, which goes on to the end of the line
  return pieces.map((piece, i) => {
    const lines = piece.split('\n');
    const begin = comment ? (lines.shift() ?? '') : null;
    if (begin !== null && lines.length === 0) return begin;
    const short: string[] = [];
    for (const [k, line] of lines.entries()) {
      const afterValue = k === 0 && begin === null && i > 0;
      const beforeValue = k === lines.length - 1 && i < pieces.length - 1;
      comment = beforeValue && line.includes('//');
      short.push(comment ? line : minifyLine(line, afterValue, beforeValue));
    }
    // Lines that are empty now go; the first and the last share theirs with what stands before and behind.
    const kept = short.filter((line, k) => line !== '' || (k === 0 && begin === null) || k === short.length - 1);
    return [...(begin === null ? [] : [begin]), ...kept].join('\n');
  });
}

/** `afterValue`, `beforeValue`: whether a value touches the line. */
function minifyLine(line: string, afterValue: boolean, beforeValue: boolean): string {
  const end = line.indexOf('//');
  const code = (end < 0 ? line : line.slice(0, end)).replace(/\s+/g, ' ');
  const body = code.trim();
  if (body === '') return code !== '' && afterValue && beforeValue ? ' ' : '';
  const before = afterValue && code.startsWith(' ') ? ' ' : '';
  const after = beforeValue && code.endsWith(' ') ? ' ' : '';
  // These signs are tokens by themselves, whatever stands beside them.
  const short = body.includes('#') ? body : body.replace(/ ?([,;{}()[\]]) ?/g, '$1');
  return before + short + after;
}
