// Takes Dawn's two lines about limits that it halves out of what a program writes, however they arrive: stderr comes in pieces of any length.

const LINE = /^Warning: \w+ artificially reduced from .*\n/gm;
const START = 'Warning: ';

/**
 * Gets text in pieces and hands on what is left of it. What may become such a line is held back until it ends; all else passes at once, as
 * progress bars need it.
 * @param {(text: string) => unknown} write
 */
export function withoutLimits(write) {
  let held = '';
  return {
    /** @param {string} piece */
    write(piece) {
      const text = (held + piece).replace(LINE, '');
      const last = text.slice(text.lastIndexOf('\n') + 1);
      held = last && (START.startsWith(last) || last.startsWith(START)) ? last : '';
      const now = text.slice(0, text.length - held.length);
      if (now) write(now);
    },
    end() {
      if (held) write(held);
      held = '';
    },
  };
}
