// One line per set-up step, on stderr: stdout belongs to the program that is run.

/** @param {string} what what is done now, and why */
export function say(what) {
  process.stderr.write(`dawnfield: ${what}\n`);
}

/** An error of the set-up whose message is meant for the user: printed without a stack. */
export class SetupError extends Error {}

/**
 * Runs a script; where the set-up fails, its message is all that is printed.
 * @param {() => unknown} body
 */
export async function perform(body) {
  try {
    await body();
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    say(error.message);
    process.exitCode = 1;
  }
}
