// One line per set-up step, on stderr: stdout belongs to the program that is run.

/** @param {string} what what is done now, and why */
export function say(what) {
  process.stderr.write(`dawnfield: ${what}\n`);
}

/** An error of the set-up whose message is meant for the user: printed without a stack. */
export class SetupError extends Error {}
