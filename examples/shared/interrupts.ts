// What asks a training to stop: Ctrl-C, the end of the terminal or of the session, a reader that closes the pipe.

import type { Report } from './report';

export interface Interrupts {
  /** Aborted when the run is to be saved and stopped. */
  readonly signal: AbortSignal;
  /** Says that from now on there is something to save. Before, the program ends at once, with what `remedy` says of starting again. */
  begin(): void;
  remedy: string;
}

/** The first signal asks to save and stop; a second Ctrl-C or SIGTERM ends the process at once. */
export function watchInterrupts(report: Report): Interrupts {
  const controller = new AbortController();
  let begun = false;
  let first = 0;
  const interrupts = { signal: controller.signal, begin: () => void (begun = true), remedy: '' };
  const stop = (signal: NodeJS.Signals) => {
    if (!begun) {
      report.end();
      report.say(`stopped before the first step: there is nothing to save.${interrupts.remedy}`);
      process.exit(130);
    }
    if (!controller.signal.aborted) {
      first = performance.now();
      controller.abort();
      report.say('saving after this step … (Ctrl-C again quits at once, without saving)');
    }
    // One Ctrl-C may arrive twice: from the terminal and from the npm process above. A terminal that closes may do so more often.
    else if ((signal === 'SIGINT' || signal === 'SIGTERM') && performance.now() - first >= 500) process.exit(130);
  };
  // Node raises no SIGPIPE; `runProgram` does, when nobody reads its output any more.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGPIPE'] as const) process.on(signal, stop);
  return interrupts;
}
